from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.app import App, ComposeResult

from tui_mia.tui.panes.sample.view_chart import ViewChart, bar, chart_lines


def test_every_view_has_a_line_with_its_cosine_and_how_far_that_is_from_the_plain_one() -> None:
    assert chart_lines([0.5, 0.25, 1.0], 36) == [
        "plain  ███████        0.5000",
        "view 1 ███▌           0.2500 -0.2500",
        "view 2 ██████████████ 1.0000 +0.5000",
    ]


@pytest.mark.parametrize(
    ("value", "low", "high", "expected"),
    [
        (1.0, 0.0, 1.0, "████"),
        (0.5, 0.0, 1.0, "██  "),
        (0.53125, 0.0, 1.0, "██▏ "),
        (0.96875, 0.0, 1.0, "███▉"),
        (0.0, 0.0, 1.0, "    "),
        (-1.0, -1.0, 1.0, "██  "),
        (-0.25, -1.0, 1.0, " ▐  "),
        (1.0, -1.0, 1.0, "  ██"),
        (math.nan, 0.0, 1.0, "    "),
        (0.0, 0.0, 0.0, "    "),
    ],
)
def test_a_bar_reaches_from_zero_to_its_value(value: float, low: float, high: float, expected: str) -> None:
    assert bar(value, low, high, 4) == expected


@given(st.lists(st.floats(-1, 1) | st.just(math.nan), max_size=20), st.integers(0, 150))
def test_lines_are_no_wider_than_there_is_room_if_there_is_any(similarities: list[float], width: int) -> None:
    lines = chart_lines(similarities, width)
    assert len(lines) == len(similarities)
    assert all(len(line) <= max(width, 27) for line in lines)
    for line, cosine in zip(lines, similarities, strict=True):
        assert (f"{cosine:.4f}" if math.isfinite(cosine) else "no number") in line


def test_without_room_for_bars_there_are_numbers() -> None:
    assert chart_lines([0.5, -0.25], 20) == ["plain   0.5000", "view 1 -0.2500 -0.7500"]


async def test_the_widget_is_as_high_as_there_are_views() -> None:
    class Charts(App[int]):
        CSS = "ViewChart { height: auto; }"

        def compose(self) -> ComposeResult:
            yield ViewChart()

    app = Charts()
    async with app.run_test() as pilot:
        for views in (9, 1, 0, 65):
            app.query_one(ViewChart).show([0.3] * views)
            await pilot.pause()
            assert app.query_one(ViewChart).size.height == views
