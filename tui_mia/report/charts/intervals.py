"""AUCs with their intervals one below another: attacks, and what they are held against."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from markupsafe import Markup

from tui_mia.report.charts.svg import WIDTH, Scale, chart, element, line, text, ticks

_ROW: Final = 20
_LEFT, _RIGHT, _TOP, _BOTTOM = 128, 14, 8, 36
_LONGEST_NAME: Final = 20


@dataclass(frozen=True, slots=True)
class IntervalRow:
    """A name, an AUC and its interval; `kind` picks the mark, so that colour is not the only sign."""

    name: str
    value: float
    low: float | None
    high: float | None
    kind: Literal["attack", "blind", "reference"]


def interval_chart(rows: Sequence[IntervalRow], main: str | None = None) -> Markup:
    """A line for each row over one axis, with chance at 0.5; the attack called `main` stands out."""
    ends = [end for row in rows for end in (row.value, row.low, row.high) if end is not None] + [0.5]
    # To the next tenth, so that both ends of the axis have a label.
    low, high = math.floor(min(ends) * 10) / 10, math.ceil(max(ends) * 10) / 10
    across = Scale(max(0.0, min(low, 0.4)), min(1.0, max(high, 0.6)), _LEFT, WIDTH - _RIGHT)
    height = _TOP + _ROW * len(rows) + _BOTTOM
    title = "AUC of " + ", ".join(f"{row.name} {row.value:.3f}" for row in rows)
    return chart(
        title,
        height,
        [
            *_axis(across, height - _BOTTOM),
            *(
                part
                for place, row in enumerate(rows)
                for part in _row(
                    row, across, _TOP + _ROW * (place + 0.5), row.kind == "attack" and row.name == main
                )
            ),
        ],
    )


def mark(kind: Literal["attack", "blind", "reference"], x: float, y: float) -> Markup:
    """A disc, a diamond or a square."""
    if kind == "attack":
        return element("circle", cx=x, cy=y, r=3.5, class_="mark mark-attack")
    if kind == "blind":
        corners = f"{x:.1f},{y - 4.5:.1f} {x + 4.5:.1f},{y:.1f} {x:.1f},{y + 4.5:.1f} {x - 4.5:.1f},{y:.1f}"
        return element("polygon", points=corners, class_="mark mark-blind")
    return element("rect", x=x - 3.2, y=y - 3.2, width=6.4, height=6.4, class_="mark mark-reference")


def mark_swatch(kind: Literal["attack", "blind", "reference"]) -> Markup:
    """A mark for a legend."""
    return element(
        "svg",
        line(1, 6, 31, 6, f"whisker whisker-{kind}") + mark(kind, 16, 6),
        class_="swatch",
        viewBox="0 0 32 12",
        aria_hidden="true",
    )


def _row(row: IntervalRow, across: Scale, y: float, is_main: bool) -> Iterator[Markup]:
    short = row.name if len(row.name) <= _LONGEST_NAME else row.name[: _LONGEST_NAME - 1] + "…"
    yield text(_LEFT - 8, y + 4, short, "label label-main" if is_main else "label", "end")
    if row.low is not None and row.high is not None:
        yield line(across(row.low), y, across(row.high), y, f"whisker whisker-{row.kind}")
        for end in (row.low, row.high):
            yield line(across(end), y - 5, across(end), y + 5, f"cap whisker-{row.kind}")
    yield mark(row.kind, across(row.value), y)


def _axis(across: Scale, bottom: float) -> Iterator[Markup]:
    for value in ticks(across.low, across.high, about=6):
        x = across(value)
        yield line(x, _TOP, x, bottom, "grid")
        yield text(x, bottom + 14, f"{value:.2f}".rstrip("0").rstrip(".") or "0")
    yield line(across(0.5), _TOP, across(0.5), bottom, "even")
    yield text((across.start + across.stop) / 2, bottom + 29, "AUC (0.5 is a coin)")
