"""Which columns there is room for, and what is in them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from rich.cells import cell_len

from tui_mia.store import SampleFilter, SampleOrder, SampleRow, SampleSort, ScoredAttack, ScoreRange
from tui_mia.tui.panes.results.run_samples import filter_parts
from tui_mia.tui.panes.results.sample_columns import (
    Column,
    all_sorts,
    columns_for,
    first_sort,
    flipped,
    headline,
    number_text,
    p_value_text,
    sort_name,
)
from tui_mia.tui.panes.results.sample_rows import AT_HAND, SampleRows

ATTACKS = [ScoredAttack(name, name != "aea") for name in ("aea", "csa", "loss", "wsa", "wsa_rich")]


def row(number: int = 7, **values: Any) -> SampleRow:
    known: dict[str, Any] = {
        "number": number,
        "sample_id": "ab",
        "pool": "candidates",
        "key": "k",
        "caption": "a dog",
        "member": None,
        "scores": {"csa": 0.25},
        "p_values": {},
    }
    return SampleRow(**{**known, **values})


def labels(width: int, sort: SampleSort, *, wide: bool, attacks: list[ScoredAttack] = ATTACKS) -> list[str]:
    return [column.label for column in columns_for(width, attacks, sort, 999, wide=wide)]


def test_a_narrow_table_has_the_attack_sorted_by_or_else_the_best() -> None:
    by_csa = SampleSort("score", attack="csa")
    assert labels(79, by_csa, wide=False) == ["#", "M", "pool", "csa", "p-value", "q-value", "caption"]
    assert labels(79, SampleSort("caption"), wide=False)[3] == "wsa_rich"
    assert labels(79, SampleSort("score", attack="aea"), wide=False) == ["#", "M", "pool", "aea", "caption"]
    assert labels(79, SampleSort(), wide=False, attacks=[]) == ["#", "M", "pool", "caption"]


def test_a_wide_table_has_all_attacks_as_far_as_they_fit_and_always_the_one_sorted_by() -> None:
    assert labels(159, SampleSort(), wide=True)[3:-3] == [attack.attack for attack in ATTACKS]
    many = [ScoredAttack(f"attack-{number:02}", False) for number in range(30)]
    shown = labels(119, SampleSort("score", attack="attack-29"), wide=True, attacks=many)
    assert shown[-2] == "attack-29"
    assert shown[3] == "attack-00"
    assert len(shown) < 15


def test_p_and_q_stand_beside_one_another_and_a_dash_where_there_is_none() -> None:
    p_value, q_value = columns_for(79, ATTACKS, SampleSort("score", attack="csa"), 999, wide=False)[4:6]
    found = row(p_values={"csa": 0.01}, q_values={"csa": 0.25, "wsa": 0.5})
    assert (p_value.text(found).strip(), q_value.text(found).strip()) == ("0.0100", "0.2500")
    assert q_value.text(row()).strip() == "-"


def test_every_header_stands_for_an_order_and_says_whether_it_is_the_one() -> None:
    by_q_value = SampleSort("q_value", attack="csa")
    columns = columns_for(79, ATTACKS, by_q_value, 999, wide=False)
    assert all(column.sort in all_sorts(ATTACKS) for column in columns)
    assert [column.header(by_q_value).strip() for column in columns[4:6]] == ["p-value", "q-value▲"]
    assert sort_name(by_q_value) == "q-value of csa"


@pytest.mark.parametrize("width", [1, 20, 60, 79, 119, 159, 300])
@pytest.mark.parametrize("wide", [False, True])
def test_a_line_is_never_wider_than_the_table(width: int, wide: bool) -> None:
    columns = columns_for(width, ATTACKS, SampleSort("score", True, "csa"), 999_999, wide=wide)
    caption = "日本 [/x] \x1b]2;PWNED " * 30
    texts = [
        column.text(row(caption=caption, pool="\x1b[2J", scores={"csa": -math.inf})) for column in columns
    ]
    assert [cell_len(text) for text in texts] == [column.width for column in columns]
    if width > 60:
        assert sum(column.width + 1 for column in columns) + 1 == width
    assert "\x1b" not in "".join(texts)


def test_a_column_says_if_rows_are_sorted_by_it() -> None:
    column = Column(
        "aea_standardised", 9, lambda row: "", SampleSort("score", True, "aea_standardised"), True
    )
    assert column.header(SampleSort()) == "aea_stan…"
    assert column.header(SampleSort("score", True, "aea_standardised")) == "aea_sta…▼"
    assert column.header(SampleSort("score", False, "aea_standardised")) == "aea_sta…▲"
    assert column.header(SampleSort("p_value", False, "aea_standardised")) == "aea_stan…"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.0, "0.0000"),
        (0.123456, "0.1235"),
        (-12.5, "-12.5000"),
        (123456.789, "1.23e+05"),
        (0.00001234, "1.23e-05"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
    ],
)
def test_a_score_is_short(value: float | None, text: str) -> None:
    assert number_text(value) == text


def test_a_small_p_value_stays_one() -> None:
    assert [p_value_text(value) for value in (None, 1.0, 0.05, 0.00001, 0.0)] == [
        "-",
        "1.0000",
        "0.0500",
        "1.0e-05",
        "0.0e+00",
    ]


def test_a_run_is_shown_at_first_by_its_best_attack() -> None:
    assert first_sort(ATTACKS) == SampleSort("score", True, "wsa_rich")
    assert first_sort([ScoredAttack("mine", False), ScoredAttack("csa", False)]).attack == "csa"
    assert first_sort([ScoredAttack("mine", False)]).attack == "mine"
    assert first_sort([]) == SampleSort()
    assert headline([]) is None


def test_every_column_has_an_order_once() -> None:
    sorts = all_sorts(ATTACKS)
    assert len(set(sorts)) == len(sorts) == 5 + 4 + 4 + 5
    assert all(flipped(flipped(sort)) == sort for sort in sorts)


def test_a_filter_is_put_into_words() -> None:
    where = SampleFilter(
        "\x1b" + "x" * 50, "nonmembers", "unknown", (ScoreRange("csa", 0.1), ScoreRange("a", None, 2))
    )
    assert filter_parts(where) == [
        'text "\\x1b' + "x" * 39 + '…"',
        "non-members",
        "membership not known",
        "0.1 ≤ csa",
        "a ≤ 2",
    ]
    assert filter_parts(SampleFilter()) == []


def order(count: int) -> SampleOrder:
    return SampleOrder(np.arange(count, dtype=np.uint32)[::-1])


def test_nothing_is_asked_for_that_is_at_hand() -> None:
    rows = SampleRows()
    assert rows.missing(order(10), 0, 4, margin=2) == [9, 8, 7, 6, 5, 4, 3]
    rows.put([row(number) for number in range(10)])
    assert rows.missing(order(10), 0, 9, margin=5) == []
    assert rows.missing(order(0), 0, 9, margin=5) == []


def test_what_is_seen_is_read_with_its_neighbours_before_one_gets_there() -> None:
    rows = SampleRows()
    rows.put([row(number) for number in range(100)])
    assert rows.missing(order(300), 220, 229, margin=20) == []
    assert rows.missing(order(300), 205, 214, margin=20) == [*range(114, 99, -1)]


def test_a_sample_that_is_gone_is_not_asked_for_again() -> None:
    rows = SampleRows()
    rows.put([row(1)], asked=[1, 2])
    assert rows.missing(SampleOrder(np.array([1, 2], np.uint32)), 0, 1, margin=0) == []
    assert rows.get(2) is None


def test_a_few_screens_of_rows_are_remembered_and_no_more() -> None:
    rows = SampleRows()
    rows.put([row(number) for number in range(AT_HAND)])
    assert rows.get(0) is not None
    rows.put([row(AT_HAND)])
    assert rows.get(0) is not None
    assert rows.get(1) is None
