"""ROC curves of all attacks over one another, on a logarithmic axis of false positive rates."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from tui_mia.report.charts.svg import WIDTH, Scale, chart, element, line, line_class, path, text
from tui_mia.store import RocCurve

_HEIGHT: Final = 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 38, 12, 22, 40
# Between two points the curve is straight, but not on this axis: further apart than this it is drawn bent.
_LONGEST_STEP: Final = 0.05
_LOWEST_RATE: Final = 1e-6
_LABEL_UNITS: Final = 150
_HALF_A_CAP: Final = 5

_Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class RateInterval:
    """The 95 % interval of a true positive rate, at a false positive rate."""

    fpr: float
    low: float
    high: float


def roc_chart(curves: Sequence[RocCurve], intervals: Sequence[RateInterval] = ()) -> Markup:
    """The curves with the area below the resolution marked; the first is drawn boldest and on top.

    `intervals` are those of the first, as the bars of all would hide the curves.
    All curves are of one run, so they share their non-members. Raises `ValueError` without a curve.
    """
    if not curves:
        raise ValueError("there is no curve to draw")
    nonmembers, resolution = max(curve.nonmembers for curve in curves), max(c.resolution for c in curves)
    lowest = _decade_below(max(_LOWEST_RATE, min(1 / nonmembers, resolution / 10)))
    across = Scale(math.log10(lowest), 0.0, _LEFT, WIDTH - _RIGHT)
    up = Scale(0.0, 1.0, _HEIGHT - _BOTTOM, _TOP)
    drawn = [
        path(
            [(across(math.log10(fpr)), up(tpr)) for fpr, tpr in _bent(_points(curve), lowest)],
            line_class(place, is_first=place == 0),
        )
        for place, curve in enumerate(curves)
    ]
    chance = _bent([(0.0, 0.0), (1.0, 1.0)], lowest)
    title = "ROC curves of " + ", ".join(f"{curve.attack} (AUC {curve.auc:.3f})" for curve in curves)
    title += "".join(
        f"; {curves[0].attack} at FPR {at.fpr:g}: TPR from {at.low:.3f} to {at.high:.3f}" for at in intervals
    )
    return chart(
        title,
        _HEIGHT,
        [
            *_below_resolution(across, up, resolution),
            *_axes(across, up, lowest),
            path([(across(math.log10(fpr)), up(tpr)) for fpr, tpr in chance], "chance"),
            *reversed(drawn),
            *(part for at in intervals for part in _bar(at, across, up)),
        ],
    )


def _bar(at: RateInterval, across: Scale, up: Scale) -> Iterator[Markup]:
    """From the lower to the upper end, with a line across each; edged, so that it shows on a curve."""
    x, low, high = across(math.log10(at.fpr)), up(at.low), up(at.high)
    for class_ in ("bar bar-edge", "bar"):
        yield line(x, low, x, high, class_)
        for end in (low, high):
            yield line(x - _HALF_A_CAP, end, x + _HALF_A_CAP, end, class_)


def _points(curve: RocCurve) -> list[_Point]:
    return list(zip(curve.fpr.tolist(), curve.tpr.tolist(), strict=True))


def _bent(points: Sequence[_Point], lowest: float) -> list[_Point]:
    """The points from `lowest` on, with more of them where a straight line would be bent on this axis."""
    bent: list[_Point] = []
    before: _Point | None = None
    for fpr, tpr in points:
        if before is not None and fpr > before[0] and tpr > before[1]:
            start, stop = math.log10(max(before[0], lowest)), math.log10(max(fpr, lowest))
            steps = math.ceil((stop - start) / _LONGEST_STEP)
            for step in range(1, steps):
                rate = 10 ** (start + (stop - start) * step / steps)
                share = (rate - before[0]) / (fpr - before[0])
                bent.append((rate, before[1] + share * (tpr - before[1])))
        bent.append((max(fpr, lowest), tpr))
        before = fpr, tpr
    return bent


def _below_resolution(across: Scale, up: Scale, resolution: float) -> Iterator[Markup]:
    """The area where fewer than ten false positives are expected."""
    left, right = across(across.low), across(math.log10(resolution))
    if right - left < 1:
        return
    yield element(
        "rect", x=left, y=up(1.0), width=right - left, height=up(0.0) - up(1.0), class_="unresolved"
    )
    yield line(right, up(0.0), right, up(1.0), "resolution")
    # Beside the line where there is more room.
    if right - left > _LABEL_UNITS:
        yield text(right - 4, up(1.0) - 6, "← below resolution", "label", "end")
    else:
        yield text(left, up(1.0) - 6, "below resolution", "label", "start")


def _axes(across: Scale, up: Scale, lowest: float) -> Iterator[Markup]:
    for power in range(round(math.log10(lowest)), 1):
        x = across(power)
        yield line(x, up(0.0), x, up(1.0), "grid")
        yield text(x, up(0.0) + 14, f"{10.0**power:g}", anchor="end" if power == 0 else "middle")
    for tenths in range(0, 11, 2):
        y = up(tenths / 10)
        yield line(across(across.low), y, across(0.0), y, "grid")
        yield text(across(across.low) - 5, y + 4, f"{tenths / 10:g}", anchor="end")
    yield text((across(across.low) + across(0.0)) / 2, _HEIGHT - 8, "false positive rate (logarithmic)")
    middle = (up(0.0) + up(1.0)) / 2
    yield element(
        "text",
        "true positive rate",
        class_="label",
        text_anchor="middle",
        transform=f"translate(11 {middle:g}) rotate(-90)",
    )


def _decade_below(rate: float) -> float:
    return 10.0 ** math.floor(math.log10(rate) + 1e-9)
