"""How the scores of an attack are spread, by what is known of the samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from tui_mia.report.charts.svg import Scale, chart, line, path, text, ticks
from tui_mia.store import ScoreHistogram

# Smaller than the others: there is one for each attack.
_WIDTH: Final = 300
_HEIGHT: Final = 160
_LEFT, _RIGHT, _TOP, _BOTTOM = 12, 12, 18, 26
# What those in question are drawn under, so that the others are outlines over it.
_FILLED: Final = ("members", "candidates")


def histogram_chart(histogram: ScoreHistogram) -> Markup:
    """Outlines of the share of each group that scores in a bin; groups of any size can be compared."""
    shares = {group: counts / max(1, histogram.totals[group]) for group, counts in histogram.counts.items()}
    highest = max((float(share.max(initial=0.0)) for share in shares.values()), default=0.0) or 1.0
    low, high = float(histogram.edges[0]), float(histogram.edges[-1])
    across = Scale(low, high, _LEFT, _WIDTH - _RIGHT)
    up = Scale(0.0, highest, _HEIGHT - _BOTTOM, _TOP)
    sizes = ", ".join(f"{total:,} {group}" for group, total in histogram.totals.items())
    return chart(
        f"Scores of {histogram.attack}: {sizes}",
        _HEIGHT,
        [
            *_axis(across, up, highest),
            *(
                part
                for group, share in sorted(shares.items(), key=lambda item: item[0] not in _FILLED)
                for part in _outline(group, histogram.edges, share, across, up)
            ),
        ],
        _WIDTH,
    )


def group_class(group: str) -> str:
    """How the outline of a group is drawn."""
    return "group group-" + group.replace(" ", "-")


def _outline(
    group: str, edges: NDArray[np.float64], share: NDArray[np.float64], across: Scale, up: Scale
) -> Iterator[Markup]:
    left, right, height = edges[:-1].tolist(), edges[1:].tolist(), share.tolist()
    steps = [
        (across(x), up(y)) for start, stop, y in zip(left, right, height, strict=True) for x in (start, stop)
    ]
    foot = [(across(left[0]), up(0.0)), *((x, y) for x, y in steps), (across(right[-1]), up(0.0))]
    # Neighbours on one level are one line.
    corners = [
        point
        for place, point in enumerate(foot)
        if not 0 < place < len(foot) - 1 or not foot[place - 1][1] == point[1] == foot[place + 1][1]
    ]
    if group in _FILLED:
        yield path(corners, "filled", closed=True)
    yield path(corners, group_class(group))


def _axis(across: Scale, up: Scale, highest: float) -> Iterator[Markup]:
    yield line(across.start, up(0.0), across.stop, up(0.0), "axis")
    for value in ticks(across.low, across.high):
        x = across(value)
        yield line(x, up(0.0), x, up(0.0) + 4, "axis")
        anchor = "start" if x < 24 else "end" if x > _WIDTH - 24 else "middle"
        yield text(x, up(0.0) + 16, f"{value:.4g}" if abs(value) > 1e-12 else "0", anchor=anchor)
    yield line(across.start, up(highest), across.stop, up(highest), "grid")
    yield text(across.start, up(highest) - 5, f"{highest:.2g} of a group in one bin", anchor="start")
