"""The lines of the Checks pane, without a screen."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tui_mia.store import AttackFigures, CheckRow, Figure, RunRow, RunSummary, VerdictRow
from tui_mia.tui.panes.checks.check_lines import (
    AttackLine,
    CheckLine,
    as_csv,
    bar,
    detail_text,
    is_heading,
    line_text,
    lines_of,
    scale,
    title,
)

HOSTILE = "[/x] \x1b]2;PWNED\x07界"


def a_check(name: str, outcome: str = "ok", attack: str | None = None, value: float | None = 0.5) -> CheckRow:
    return CheckRow(name, attack, value, 0.4, 0.6, 1400, outcome, f"words of {name}")


def a_summary(*checks: CheckRow, verdict: str | None = "leak") -> RunSummary:
    figures = {
        "auc": Figure(0.8, 0.75, 0.85, 1400),
        "auc_above_blind": Figure(0.3, 0.2, 0.4, 1400),
        "auc_above_reference": Figure(-0.05, -0.1, 0.01, 1400),
    }
    attack = AttackFigures(
        0.8, figures=figures, verdict=VerdictRow("inconclusive: underpowered", ["Too few."])
    )
    said = VerdictRow(verdict, ["csa: because"]) if verdict else None
    return RunSummary(
        Path("a.duckdb"),
        RunRow(run_id="run-7", status="done"),
        {},
        0,
        [],
        {"csa": attack},
        said,
        list(checks),
    )


def test_attacks_come_first_and_then_groups_with_something_amiss() -> None:
    summary = a_summary(
        a_check("power"),
        a_check("blind_all"),
        a_check("negative_control", "defect", "csa"),
        a_check("negative_control", "ok", "wsa"),
    )
    texts = [line_text(line, 77) for line in lines_of(summary)]
    assert [text.split()[0] for text in texts] == [
        "Attacks",
        "csa",
        "Negative",
        "▲",
        "✓",
        "Blind",
        "✓",
        "Power",
        "✓",
    ]
    assert [is_heading(line) for line in lines_of(summary)].count(True) == 4
    assert texts[1].split() == ["csa", "0.800", "0.750-0.850", "-", "+0.300", "-0.050", "underpowered"]
    assert texts[3].split()[:5] == ["▲", "defect", "csa", "0.500", "0.400-0.600"]
    assert title(summary) == "run run-7: leak; 4 checks, 1 amiss"
    assert title(a_summary(verdict=None)) == "run run-7: no verdict; 0 checks, none amiss"


def test_counts_are_of_how_many_and_have_no_bar() -> None:
    line = lines_of(a_summary(a_check("duplicates_in_nonmembers", "note", value=9.0)))[-1]
    assert line_text(line, 140).split() == ["•", "note", "image", "in", "non-members", "9", "of", "1,400"]


def test_the_whole_words_of_a_line_say_what_it_asks_and_what_an_attack_has() -> None:
    attack, check = (
        line for line in lines_of(a_summary(a_check("blind_all", "shift"))) if not is_heading(line)
    )
    assert isinstance(attack, AttackLine)
    assert isinstance(check, CheckLine)
    assert detail_text(attack).splitlines() == [
        "csa: inconclusive: underpowered",
        "Too few.",
        "0.800 (0.750 to 0.850)  AUC of members against non-members",
        "+0.300 (+0.200 to +0.400)  minus the best blind baseline, paired",
        "-0.050 (-0.100 to +0.010)  minus the same attack on the reference, paired",
    ]
    assert detail_text(check).splitlines() == [
        "blind_all: shift",
        "words of blind_all",
        "Asks: Can the two sides be told apart without the model?",
    ]


@pytest.mark.parametrize("width", [0, 1, 20, 40, 77, 117, 157])
def test_a_line_is_never_wider_than_its_place_and_obeys_nothing(width: int) -> None:
    checks = [
        a_check(name, "odd", HOSTILE) for name in ("reference", HOSTILE, "stability_seed", "control_failed")
    ]
    for line in lines_of(a_summary(*checks)):
        text = line_text(line, width)
        assert cell_len(text) <= width
        assert "\x1b" not in text + detail_text(line)


@given(
    st.lists(st.floats(0, 1), min_size=3, max_size=3).map(sorted),
    st.integers(5, 30).map(lambda half: 2 * half + 1),
)
def test_a_bar_has_its_value_within_its_interval(values: list[float], cells: int) -> None:
    low, value, high = values
    drawn = bar(value, low, high, cells)
    assert len(drawn) == cells == len(scale(cells))
    place = drawn.index("●")
    assert abs(place / (cells - 1) - value) <= 0.5 / (cells - 1) + 1e-9
    if "├" in drawn and "┤" in drawn:
        assert drawn.index("├") < place < drawn.index("┤") or value in (low, high)


def test_a_value_without_interval_and_an_interval_beyond_the_ends_are_drawn() -> None:
    assert bar(0.5, None, None, 5) == "  ●  "
    assert bar(None, None, None, 5) == "  ┊  "
    assert bar(0.5, -1, 2, 5) == "├─●─┤"
    assert bar(0.5, 0, 1, 0) == scale(0) == ""


def test_all_checks_can_be_had_as_csv() -> None:
    (row,) = csv.DictReader(io.StringIO(as_csv(a_summary(a_check("blind_all", "shift")))))
    assert (row["check"], row["attack"], row["n"], row["words"]) == (
        "blind_all",
        "",
        "1400",
        "words of blind_all",
    )
