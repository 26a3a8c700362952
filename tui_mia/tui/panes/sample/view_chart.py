"""The similarities of a sample's views as bars, one line a view."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Final

from textual.content import Content
from textual.geometry import Size
from textual.widget import Widget

_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"
_BLOCKS: Final = re.compile("[█-▐]+")
_SHORTEST_BAR: Final = 4
_LONGEST_BAR: Final = 60


def chart_lines(similarities: Sequence[float], width: int) -> list[str]:
    """A line for each view: its name, a bar from 0, its cosine and how far that is from the plain image's.

    All bars have one scale, which reaches from the lowest to the highest cosine and
    over 0. Where `width` is too small for bars there are only numbers.
    """
    names = [_name(view) for view in range(len(similarities))]
    numbers = [_number(cosine) for cosine in similarities]
    drops = [_drop(similarities, view) for view in range(len(similarities))]
    fixed = (
        max(map(len, names), default=0) + max(map(len, numbers), default=0) + max(map(len, drops), default=0)
    )
    room = min(width - fixed - 3, _LONGEST_BAR)
    known = [cosine for cosine in similarities if math.isfinite(cosine)]
    low, high = min([0.0, *known]), max([0.0, *known])
    lines = []
    for name, number, drop, cosine in zip(names, numbers, drops, similarities, strict=True):
        parts = [
            name.ljust(max(map(len, names))),
            *([bar(cosine, low, high, room)] if room >= _SHORTEST_BAR else []),
            number.rjust(max(map(len, numbers))),
            drop.rjust(max(map(len, drops))),
        ]
        lines.append(" ".join(parts).rstrip())
    return lines


def bar(value: float, low: float, high: float, columns: int) -> str:
    """A bar from 0 to `value`, in eighths of a cell; `low` (at most 0) to `high` are `columns` cells."""
    if not math.isfinite(value) or high <= low:
        return " " * columns
    eighths = 8 * columns
    zero = round(eighths * -low / (high - low) / 8) * 8
    end = min(max(round(eighths * (value - low) / (high - low)), 0), eighths)
    if value >= 0:
        whole, rest = divmod(max(end - zero, 0), 8)
        drawn = " " * (zero // 8) + "█" * whole + (_EIGHTHS[rest] if rest else "")
    else:
        # There are no cells filled from the right in eighths: to the nearest half.
        whole, rest = divmod(round((zero - end) / 4), 2)
        drawn = ("▐" * rest + "█" * whole).rjust(zero // 8)
    return drawn.ljust(columns)


class ViewChart(Widget):
    """Bars as wide as the widget and as high as there are views."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._similarities: Sequence[float] = ()

    def show(self, similarities: Sequence[float]) -> None:
        """Show the cosines by view, the plain image's first."""
        self._similarities = tuple(similarities)
        self.refresh(layout=True)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return len(self._similarities)

    def render(self) -> Content:
        lines = "\n".join(chart_lines(self._similarities, self.content_size.width))
        return Content(lines).highlight_regex(_BLOCKS, style="$primary")


def _name(view: int) -> str:
    return f"view {view}" if view else "plain"


def _number(cosine: float) -> str:
    return f"{cosine:.4f}" if math.isfinite(cosine) else "no number"


def _drop(similarities: Sequence[float], view: int) -> str:
    difference = similarities[view] - similarities[0]
    return f"{difference:+.4f}" if view and math.isfinite(difference) else ""
