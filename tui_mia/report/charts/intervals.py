"""AUCs with their intervals one below another: attacks, and what they are held against."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from markupsafe import Markup

from tui_mia.report.charts.svg import WIDTH, Scale, chart, element, line, text, ticks

_ROW: Final = 20
_LEFT, _RIGHT, _TOP, _BOTTOM = 128, 14, 8, 36
_LONGEST_NAME: Final = 20
_NARROWEST: Final = 0.2


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
    low, high = min(ends) - 0.02, max(ends) + 0.02
    spare = max(0.0, _NARROWEST - (high - low)) / 2
    across = Scale(max(0.0, low - spare), min(1.0, high + spare), _LEFT, WIDTH - _RIGHT)
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
        return element("circle", cx=x, cy=y, r=4.5, class_="mark mark-attack")
    if kind == "blind":
        corners = f"{x:.1f},{y - 5.5:.1f} {x + 5.5:.1f},{y:.1f} {x:.1f},{y + 5.5:.1f} {x - 5.5:.1f},{y:.1f}"
        return element("polygon", points=corners, class_="mark mark-blind")
    return element("rect", x=x - 4, y=y - 4, width=8, height=8, class_="mark mark-reference")


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
    yield mark(row.kind, across(row.value), y)


def _axis(across: Scale, bottom: float) -> Iterator[Markup]:
    for value in ticks(across.low, across.high):
        x = across(value)
        yield line(x, _TOP, x, bottom, "grid")
        yield text(x, bottom + 14, f"{value:.2f}".rstrip("0").rstrip(".") or "0")
    yield line(across(0.5), _TOP, across(0.5), bottom, "even")
    yield text((across.start + across.stop) / 2, bottom + 29, "AUC (0.5 is a coin)")
