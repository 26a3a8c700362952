"""What a plot shows, in numbers: the part of a curve that is more than chance, scales, ticks, lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Final, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from tui_mia.store import RocCurve, ScoredRun, ScoreHistogram

Floats: TypeAlias = NDArray[np.float64]
Scale: TypeAlias = Literal["log", "log-log", "linear"]

SCALES: Final[tuple[Scale, ...]] = get_args(Scale)
LETTERS: Final = "ABCDEFGH"
GROUP_LETTERS: Final = {"members": "M", "non-members": "N", "candidates": "C", "known non-members": "K"}

# The narrowest a logarithmic axis is.
_HIGHEST_START: Final = 0.1
_POINTS_BETWEEN: Final = 200
_LETTERS_A_LINE: Final = 5
_DOTS: Final = 24
_ATTACKS_OF_ONE_RUN: Final = 4
_SERIES_OF_SEVERAL_RUNS: Final = 6


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """A line in the coordinates of its panel; the letter tells it from others whatever its colour."""

    letter: str
    label: str
    x: Floats
    y: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """A plot as it is drawn: along a logarithmic axis the coordinates are logarithms to base 10."""

    title: str
    x_label: str
    y_label: str
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    lines: Sequence[Line]
    reference: Line | None = None
    are_bins: bool = False
    is_log_x: bool = False
    is_log_y: bool = False


def roc_panel(curves: Mapping[str, RocCurve], scale: Scale) -> Panel:
    """The curves over one another, by letter; a logarithmic axis begins where ten false positives do."""
    is_log_x, is_log_y = scale != "linear", scale == "log-log"
    start = min([_HIGHEST_START, *(curve.resolution for curve in curves.values())])
    along = np.geomspace(start, 1, _POINTS_BETWEEN) if is_log_x else np.linspace(0, 1, _POINTS_BETWEEN)
    left = float(np.log10(start)) if is_log_x else 0.0
    right = 0.0 if is_log_x else 1.0

    def line(letter: str, label: str, fpr: Floats, tpr: Floats) -> Line:
        x = np.log10(fpr) if is_log_x else fpr
        return Line(letter, label, x, np.log10(np.maximum(tpr, start)) if is_log_y else tpr)

    return Panel(
        title="ROC",
        x_label="false positive rate",
        y_label="true positive rate",
        x_range=(left, right),
        y_range=(left, right) if is_log_y else (0.0, 1.0),
        lines=[
            line(letter, curve.attack, *(resolved(curve) if is_log_x else (curve.fpr, curve.tpr)))
            for letter, curve in curves.items()
        ],
        reference=line("", "chance", along, along),
        is_log_x=is_log_x,
        is_log_y=is_log_y,
    )


def resolved(curve: RocCurve) -> tuple[Floats, Floats]:
    """The curve from its resolution on, with points between its corners: straight is not straight in logs."""
    start = curve.resolution
    begin = curve.tpr[curve.fpr <= start * (1 + 1e-9)].max()
    beyond = curve.fpr > start * (1 + 1e-9)
    between = np.geomspace(start, 1, _POINTS_BETWEEN)[1:-1]
    fpr = np.concatenate([[start], curve.fpr[beyond], between])
    tpr = np.concatenate([[begin], curve.tpr[beyond], np.interp(between, curve.fpr, curve.tpr)])
    order = np.lexsort((tpr, fpr))
    return fpr[order], tpr[order]


def histogram_panel(histogram: ScoreHistogram, title: str) -> Panel:
    """The share of all of each group in each bin, in percent: groups of any size can be compared."""
    corners = np.repeat(histogram.edges, 2)[1:-1]
    lines = []
    for group, counts in histogram.counts.items():
        shares = 100 * counts / max(1, histogram.totals[group])
        lines.append(Line(GROUP_LETTERS[group], group, corners, np.repeat(shares, 2)))
    highest = max((float(line.y.max()) for line in lines), default=0.0)
    return Panel(
        title=title,
        x_label="score",
        y_label="% of each group",
        x_range=(float(histogram.edges[0]), float(histogram.edges[-1])),
        y_range=(0.0, 1.05 * highest or 1.0),
        lines=lines,
        are_bins=True,
    )


def log_ticks(low: float, high: float) -> list[float]:
    """Positions of round numbers along a logarithmic axis: decades, and their parts where it is short."""
    parts = [1] if high - low > 1.5 else [1, 2, 5] if high - low > 0.5 else list(range(1, 10))
    decades = range(floor(low), ceil(high) + 1)
    ticks = [decade + float(np.log10(part)) for decade in decades for part in parts]
    return [tick for tick in ticks if low - 1e-9 <= tick <= high + 1e-9]


def linear_ticks(low: float, high: float) -> list[float]:
    """Positions of round numbers along a linear axis, some five of them."""
    if not high > low:
        return [low]
    power = 10.0 ** floor(np.log10((high - low) / 5))
    step = power * next(part for part in (1, 2, 5, 10) if power * part >= (high - low) / 6)
    # Added to nothing, as a zero may be -0.
    return [round(tick * step, 12) + 0.0 for tick in range(ceil(low / step), floor(high / step) + 1)]


def marks(panel: Panel, which: int, x_range: tuple[float, float]) -> tuple[Floats, Floats]:
    """Where in this part of the axis a line's letter stands, elsewhere than those of the other lines."""
    line, of = panel.lines[which], len(panel.lines)
    if panel.are_bins:
        # Two corners a bin; a line has every `of`-th bin for its letters, the highest of them first.
        x, y = (line.x[0::2] + line.x[1::2]) / 2, line.y[1::2]
        mine = (np.arange(len(x)) % of == which) & (x >= x_range[0]) & (x <= x_range[1]) & (y > 0)
        highest = np.argsort(-y[mine], kind="stable")[:_LETTERS_A_LINE]
        return x[mine][highest], y[mine][highest]
    at = _evenly(x_range, _LETTERS_A_LINE, (which + 0.5) / of)
    at = at[(at >= line.x[0]) & (at <= line.x[-1])]
    return at, np.interp(at, line.x, line.y)


def dots(line: Line, x_range: tuple[float, float]) -> tuple[Floats, Floats]:
    """Points along a line that is dotted."""
    at = _evenly(x_range, _DOTS, 0.5)
    return at, np.interp(at, line.x, line.y, left=np.nan, right=np.nan)


def _evenly(x_range: tuple[float, float], count: int, offset: float) -> Floats:
    low, high = x_range
    return low + (high - low) * (np.arange(count) + offset) / count


def first_choice(
    available: Sequence[ScoredRun], run_ids: Sequence[str], auc: Mapping[ScoredRun, float]
) -> list[ScoredRun]:
    """What to plot before anybody has chosen: of one run its best attacks, of several the same of each."""
    attacks = {
        run_id: {series.attack for series in available if series.run_id == run_id} for run_id in run_ids
    }
    attacks = {run_id: found for run_id, found in attacks.items() if found}
    if not attacks:
        return []
    common = set.intersection(*attacks.values()) or set.union(*attacks.values())

    def rank(attack: str) -> tuple[float, str]:
        known = [auc.get(ScoredRun(run_id, attack), 0.0) for run_id in attacks]
        return -sum(known), attack

    several = max(1, _SERIES_OF_SEVERAL_RUNS // len(attacks))
    best = sorted(common, key=rank)[: _ATTACKS_OF_ONE_RUN if len(attacks) == 1 else several]
    chosen = [ScoredRun(run_id, attack) for attack in best for run_id in attacks if attack in attacks[run_id]]
    return chosen[: len(LETTERS)]
