"""Which letter of a plot is which, and the figures that belong to it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from tui_mia.clean import printable
from tui_mia.store import RocCurve, ScoredRun, ScoreHistogram
from tui_mia.tui.panes.plots.drawing import GROUP_LETTERS


def roc_table(rows: Sequence[tuple[str, ScoredRun, RocCurve | None, str]], *, is_wide: bool) -> Table:
    """A line for each letter, series, curve and name of its run; a dash for each figure that it lacks."""
    rates = (0.1, 0.01, 0.001) if is_wide else (0.01,)
    headings = ["AUC", "95 %", *(f"TPR@{100 * rate:g}%" for rate in rates)]
    headings += ["members", "non-members"] if is_wide else ["M/N"]
    table = _table(headings, run_width=60 if is_wide else 24, gap=2 if is_wide else 1)
    for letter, series, curve, name in rows:
        cells = ["-"] * len(headings)
        if curve is not None:
            cells = [f"{curve.auc:.3f}", _interval(curve.auc_interval)]
            cells += [_rate(curve.tpr_at_fpr[rate]) for rate in rates]
            counts = [f"{curve.members:,}", f"{curve.nonmembers:,}"]
            cells += counts if is_wide else ["/".join(counts)]
        _add(table, letter, series.attack, name, cells)
    return table


def histogram_table(rows: Sequence[tuple[str, ScoreHistogram, str]]) -> Table:
    """A line for each letter, histogram and name of its run: how many scores each group has, shown or not."""
    groups = [group for group in GROUP_LETTERS if any(group in found.counts for _, found, _ in rows)]
    table = _table([GROUP_LETTERS[group] for group in groups], run_width=60)
    for letter, found, name in rows:
        counts = [found.totals.get(group) for group in groups]
        cells = ["-" if count is None else f"{count:,}" for count in counts]
        _add(table, letter, found.attack, name, cells)
    return table


def _table(headings: Sequence[str], run_width: int, gap: int = 2) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0))
    table.add_column("")
    table.add_column("attack", max_width=20, no_wrap=True)
    table.add_column("run", max_width=run_width, no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _add(table: Table, letter: str, attack: str, name: str, cells: Sequence[str]) -> None:
    table.add_row(*map(Text, [letter, printable(attack), printable(name), *cells]))


def _interval(ends: tuple[float, float] | None) -> str:
    return "-" if ends is None else f"{ends[0]:.3f}-{ends[1]:.3f}"


def _rate(rate: float | None) -> str:
    """A rate, or a dash where it is below the resolution of the set."""
    return "-" if rate is None else f"{rate:.3f}"
