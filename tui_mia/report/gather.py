"""Asks the store for all that a report tells."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tui_mia.board.board_run import parsed_spec
from tui_mia.report.contents import Include, Report
from tui_mia.report.exposed import deciding_attack, most_exposed
from tui_mia.report.pictures import PictureFinder
from tui_mia.store import (
    RocCurve,
    RunSummary,
    ScoreHistogram,
    StoredRun,
    roc_curve,
    score_histogram,
    summarise,
)
from tui_mia.store.pool_rows import read_pools

MOST_BINS: Final = 40
# Beyond this the thin tails are left out of a histogram: its middle would be a few bins.
_TAILS_TOO_LONG: Final = 1.5


def gather(database: Path, run_id: str, include: Include | None = None) -> Report:
    """All that a report on a run tells, pictures too. Raises `StoreError`."""
    include = include or Include()
    summary = summarise(database, run_id)
    spec = parsed_spec(summary.run.spec or "")
    decided_by = deciding_attack(summary)
    attacks = sorted(summary.attacks, key=lambda attack: attack != decided_by)
    pictures = PictureFinder(spec) if include.pictures else None
    has_p_values = decided_by is not None and bool(summary.attacks[decided_by].compared)
    return Report(
        summary=summary,
        spec=spec,
        pools=read_pools(database, run_id),
        decided_by=decided_by,
        curves=_curves(summary, attacks),
        histograms=[found for attack in attacks if (found := _histogram(summary, attack)) is not None],
        exposed=most_exposed(StoredRun(database, run_id), decided_by, has_p_values, include, pictures)
        if decided_by is not None
        else [],
        include=include,
        made_at=datetime.now(UTC),
    )


def _curves(summary: RunSummary, attacks: list[str]) -> list[RocCurve]:
    curves = (roc_curve(summary.database, summary.run.run_id, attack) for attack in attacks)
    return [curve for curve in curves if curve is not None]


def _histogram(summary: RunSummary, attack: str) -> ScoreHistogram | None:
    # Rice's rule: a small set in many bins is all gaps.
    bins = min(MOST_BINS, max(8, math.ceil(2 * sum(summary.samples.values()) ** (1 / 3))))
    found = score_histogram(summary.database, summary.run.run_id, attack, bins)
    if found is None:
        return None
    low, high = found.middle
    if float(found.edges[-1]) - float(found.edges[0]) <= _TAILS_TOO_LONG * (high - low):
        return found
    return score_histogram(summary.database, summary.run.run_id, attack, bins, low, high)
