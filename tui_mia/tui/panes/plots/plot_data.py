"""What is plotted, as it was read: kept by series until the database is another one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from tui_mia.store import RocCurve, ScoredRun, ScoreHistogram, roc_curve, score_histogram, scored_runs

Tell: TypeAlias = Callable[[str], None]

# Short, because the end of the app waits for a thread that waits for the database.
WAIT_SECONDS: Final = 2.0
BINS: Final = 60


class PlotData:
    """Reads curves and histograms in threads, each once; raises `StoreError` where that can't be done.

    A series that has no curve, or no histogram, has None for it. `tell` is given
    a few words on what is being read, before each piece that takes a while.
    """

    def __init__(self, database: Path, tell: Tell) -> None:
        self._database, self._tell = database, tell
        self.available: list[ScoredRun] = []
        self.curves: dict[ScoredRun, RocCurve | None] = {}
        self.histograms: dict[ScoredRun, ScoreHistogram | None] = {}
        self._overviews: dict[ScoredRun, ScoreHistogram | None] = {}
        self._stamp: object = None

    @property
    def runs(self) -> list[str]:
        """The runs that have scores, the newest first."""
        return list(dict.fromkeys(series.run_id for series in self.available))

    async def refresh(self) -> None:
        """Find what there is, and forget what was read, if the file has changed since."""
        stamp = await asyncio.to_thread(_stamp, self._database)
        if stamp is None or stamp != self._stamp:
            self._tell("reading")
            self.curves.clear()
            self.histograms.clear()
            self._overviews.clear()
            self.available = []
            self.available = await asyncio.to_thread(scored_runs, self._database, WAIT_SECONDS)
            self._stamp = stamp

    async def read_curves(self, chosen: Sequence[ScoredRun]) -> None:
        for number, series in enumerate(chosen, start=1):
            if series not in self.curves:
                self._tell(f"reading {number} of {len(chosen)}")
                self.curves[series] = await asyncio.to_thread(
                    roc_curve, self._database, series.run_id, series.attack, wait_seconds=WAIT_SECONDS
                )

    async def read_histograms(self, chosen: Sequence[ScoredRun], *, leaves_out_tails: bool) -> None:
        """The histograms; those of one attack on one axis, so that they can be compared."""
        for number, series in enumerate(chosen, start=1):
            if series not in self._overviews:
                self._tell(f"reading {number} of {len(chosen)}")
                self._overviews[series] = await self._histogram(series)
        for series in chosen:
            of_attack = [self._overviews[other] for other in chosen if other.attack == series.attack]
            low, high = _limits([found for found in of_attack if found is not None], leaves_out_tails)
            found = self.histograms.get(series)
            if self._overviews[series] is None:
                self.histograms[series] = None
            elif found is None or (found.edges[0], found.edges[-1]) != (low, high):
                self.histograms[series] = await self._histogram(series, low, high)

    async def _histogram(
        self, series: ScoredRun, low: float | None = None, high: float | None = None
    ) -> ScoreHistogram | None:
        return await asyncio.to_thread(
            score_histogram,
            self._database,
            series.run_id,
            series.attack,
            BINS,
            low,
            high,
            wait_seconds=WAIT_SECONDS,
        )


def _limits(overviews: Sequence[ScoreHistogram], leaves_out_tails: bool) -> tuple[float, float]:
    """From where to where the scores of an attack are shown."""
    ends = [
        found.middle if leaves_out_tails else (float(found.edges[0]), float(found.edges[-1]))
        for found in overviews
    ]
    return min((low for low, _ in ends), default=0.0), max((high for _, high in ends), default=0.0)


def _stamp(database: Path) -> object:
    """What changes when the file does; None where there is none."""
    try:
        status = database.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
