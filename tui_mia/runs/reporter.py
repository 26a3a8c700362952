"""The worker's side of the events: phases, their times, and progress at a pace that no display drowns in."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace

import psutil

from tui_mia.runs.directory import RunDirectory
from tui_mia.runs.events import Event, Progress, Stage

SECONDS_BETWEEN_EVENTS = 0.5


@dataclass(frozen=True)
class Pace:
    """How fast a phase goes, named and meant as in `Progress`; None for what is not known."""

    per_second: float | None = None
    eta_seconds: float | None = None
    views_per_second: float | None = None
    encodings_per_second: float | None = None
    share_of_peak: float | None = None
    bottleneck: Stage | None = None


class Reporter:
    """Writes the events of one attempt at a run.

    `seconds` is what each phase took so far, `encoded` the share of the pairs that is encoded.
    """

    def __init__(self, directory: RunDirectory) -> None:
        self.seconds: dict[str, float] = {}
        self.encoded = 0.0
        self.device: str | None = None
        self.device_memory: Callable[[], int | None] = lambda: None
        self._directory = directory
        self._process = psutil.Process()
        self._phase = ""
        self._phase_began = self._told_at = 0.0
        self._untold: Progress | None = None

    def tell(self, event: Event) -> None:
        self._directory.append(event)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Name the phase that the work inside belongs to, and time it."""
        self._phase, self._phase_began, self._told_at = name, time.monotonic(), -math.inf
        self.progress(0.0)
        try:
            yield
        finally:
            self.seconds[name] = round(time.monotonic() - self._phase_began, 3)
            if self._untold is not None:
                self._tell_progress(self._untold)

    def progress(
        self,
        fraction: float,
        samples: int = 0,
        rejects: int = 0,
        pool: str | None = None,
        pace: Pace | None = None,
    ) -> None:
        """Say how far the phase is: at its start and end, and in between a few times a second at most.

        Without a `pace` all of it is taken for the work of this attempt.
        """
        if self._phase == "encode":
            self.encoded = fraction
        pace = pace or self._pace(fraction, samples)
        self._untold = Progress(
            phase=self._phase,
            fraction=round(min(fraction, 1.0), 4),
            samples=samples,
            rejects=rejects,
            pool=pool,
            device=self.device,
            **asdict(pace),
        )
        if time.monotonic() - self._told_at >= SECONDS_BETWEEN_EVENTS:
            self._tell_progress(self._untold)

    def _pace(self, fraction: float, samples: int) -> Pace:
        elapsed = time.monotonic() - self._phase_began
        return Pace(
            per_second=round(samples / elapsed, 2) if samples and elapsed > 0 else None,
            eta_seconds=round(elapsed * (1 - fraction) / fraction, 1) if 0 < fraction < 1 else None,
        )

    def _tell_progress(self, progress: Progress) -> None:
        self._untold, self._told_at = None, time.monotonic()
        memory, of_device = self._process.memory_info().rss, self.device_memory()
        self.tell(replace(progress, memory_bytes=memory, device_memory_bytes=of_device))
