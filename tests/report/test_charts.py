from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from tui_mia.report.charts import IntervalRow, RateInterval, histogram_chart, interval_chart, roc_chart
from tui_mia.report.charts.svg import WIDTH, Scale, element, ticks
from tui_mia.store import RocCurve, ScoreHistogram

SVG = "{http://www.w3.org/2000/svg}"


def curve(attack: str = "csa", members: int = 50, nonmembers: int = 200, shift: float = 1.0) -> RocCurve:
    fpr = np.linspace(0, 1, nonmembers + 1)
    return RocCurve("run-a", attack, fpr, fpr ** (1 / (1 + shift)), members, nonmembers, 0.7, {})


def parsed(chart: Markup) -> ET.Element:
    return ET.fromstring(chart)


def paths(chart: Markup, class_: str) -> list[list[tuple[float, float]]]:
    return [
        [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.-]+),([\d.-]+)", path.attrib["d"])]
        for path in parsed(chart).iter(f"{SVG}path")
        if class_ in path.attrib["class"].split()
    ]


def texts(chart: Markup) -> list[str]:
    return [text.text or "" for text in parsed(chart).iter(f"{SVG}text")]


def test_a_roc_rises_from_left_to_right_within_the_chart() -> None:
    (line,) = paths(roc_chart([curve()]), "line-main")
    assert all(0 <= x <= WIDTH and 0 <= y <= 300 for x, y in line)
    assert [x for x, _ in line] == sorted(x for x, _ in line)
    assert [y for _, y in line] == sorted((y for _, y in line), reverse=True)


def test_what_is_below_the_resolution_is_marked_up_to_ten_false_positives() -> None:
    chart = roc_chart([curve(nonmembers=1000)])
    (area,) = (box for box in parsed(chart).iter(f"{SVG}rect") if box.attrib["class"] == "unresolved")
    left, right = float(area.attrib["x"]), float(area.attrib["x"]) + float(area.attrib["width"])
    # From 0.001 to 1, three decades wide, of which one is below 0.01.
    assert (right - left) * 3 == pytest.approx(WIDTH - 12 - 38, abs=0.5)
    assert "below resolution" in texts(chart)


def test_no_set_is_too_small_for_a_roc() -> None:
    chart = roc_chart([curve(nonmembers=1)])
    assert parsed(chart) is not None
    assert "below resolution" in " ".join(texts(chart))


def test_chance_is_bent_on_a_logarithmic_axis() -> None:
    (line,) = paths(roc_chart([curve(nonmembers=1000)]), "chance")
    assert len(line) > 40
    assert line[-1][1] == pytest.approx(22)


def test_every_attack_has_a_dash_or_a_colour_of_its_own_and_the_first_is_on_top() -> None:
    chart = roc_chart([curve(f"attack-{number}") for number in range(9)])
    classes = [
        path.attrib["class"] for path in parsed(chart).iter(f"{SVG}path") if "line" in path.attrib["class"]
    ]
    assert len(set(classes)) == 9
    assert classes[-1] == "line line-0 line-main"


def test_the_first_curve_has_bars_from_one_end_of_an_interval_to_the_other() -> None:
    chart = roc_chart([curve(nonmembers=1000)], [RateInterval(0.1, 0.25, 0.75), RateInterval(0.01, 0.0, 0.1)])
    bars = [
        {end: float(node.attrib[end]) for end in ("x1", "y1", "x2", "y2")}
        for node in parsed(chart).iter(f"{SVG}line")
        if node.attrib["class"] == "bar"
    ]
    upright = [bar for bar in bars if bar["x1"] == bar["x2"]]
    assert len(upright) == 2
    assert len(bars) == 6
    # Three decades from 38 to the right edge, and the rates from the foot to 22.
    decade, foot = (WIDTH - 12 - 38) / 3, 300 - 40
    assert upright[0] == pytest.approx(
        {
            "x1": 38 + 2 * decade,
            "y1": foot - 0.25 * (foot - 22),
            "x2": 38 + 2 * decade,
            "y2": foot - 0.75 * (foot - 22),
        },
        abs=0.1,
    )
    assert upright[1]["x1"] == pytest.approx(38 + decade, abs=0.1)
    assert "csa at FPR 0.1: TPR from 0.250 to 0.750" in parsed(chart).attrib["aria-label"]
    assert not [node for node in parsed(roc_chart([curve()])).iter() if "bar" in node.attrib.get("class", "")]


def test_a_roc_without_a_curve_is_an_error() -> None:
    with pytest.raises(ValueError, match="no curve"):
        roc_chart([])


def histogram(low: float = 0.0, high: float = 1.0, attack: str = "csa") -> ScoreHistogram:
    edges = np.linspace(low, high, 5)
    counts = {"members": np.array([0, 1, 2, 1]), "known non-members": np.array([30, 10, 0, 0])}
    return ScoreHistogram(
        "run-a", attack, edges, counts, {"members": 4, "known non-members": 40}, (low, high)
    )


def test_a_histogram_compares_shares_so_that_a_small_group_can_be_seen() -> None:
    chart = histogram_chart(histogram())
    (members,), (known,) = paths(chart, "group-members"), paths(chart, "group-known-non-members")
    bottom = members[0][1]
    assert bottom - min(y for _, y in members) == pytest.approx((bottom - 18) * 0.5 / 0.75, abs=0.2)
    assert min(y for _, y in known) == pytest.approx(18)


def test_only_those_in_question_are_filled() -> None:
    assert len(paths(histogram_chart(histogram()), "filled")) == 1


@given(st.floats(-1e308, 1e308), st.floats(1e-3, 1e308))
def test_scores_of_any_size_are_drawn_within_the_chart(low: float, width: float) -> None:
    high = low + width
    if math.isinf(high) or high - low < 1e-9 * max(abs(low), abs(high)):
        return
    with np.errstate(over="ignore"):
        edges = low + (high / 4 - low / 4) * np.arange(5, dtype=np.float64)
    found = ScoreHistogram(
        "run-a", "csa", edges, {"members": np.ones(4, np.int64)}, {"members": 4}, (low, high)
    )
    for x, y in paths(histogram_chart(found), "group-members")[0]:
        assert 0 <= x <= WIDTH
        assert 0 <= y <= 170


def test_an_interval_chart_has_a_row_for_each_and_marks_chance() -> None:
    rows = [
        IntervalRow("csa", 0.7, 0.6, 0.8, "attack"),
        IntervalRow("all", 0.5, None, None, "blind"),
        IntervalRow("csa", 0.55, 0.45, 0.65, "reference"),
    ]
    chart = interval_chart(rows, "csa")
    assert texts(chart)[-3:] == ["csa", "all", "csa"]
    kinds = [node.attrib.get("class", "") for node in parsed(chart).iter()]
    assert sum("mark-attack" in kind for kind in kinds) == 1
    assert sum(kind.startswith("whisker") for kind in kinds) == 2
    assert "even" in kinds
    assert sum(kind == "label label-main" for kind in kinds) == 1


def test_names_from_outside_are_text_in_a_chart() -> None:
    hostile = '"><script>\x1b'
    for chart in (
        roc_chart([curve(hostile)]),
        histogram_chart(histogram(attack=hostile)),
        interval_chart([IntervalRow(hostile, 0.5, None, None, "attack")]),
    ):
        assert not list(parsed(chart).iter(f"{SVG}script"))
        assert "\x1b" not in chart
    assert "&lt;script&gt;" in element("text", hostile, x=1.0)


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_are_a_few_round_values_within_the_axis(low: float, span: float) -> None:
    found = ticks(low, low + span)
    assert len(found) <= 6
    assert all(low - 1e-6 * span <= value <= low + span + 1e-6 * span for value in found)


def test_a_scale_without_width_has_one_place() -> None:
    assert Scale(1.0, 1.0, 10.0, 20.0)(5.0) == 10.0
