from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tui_mia.store import (
    DatabaseLocked,
    DatabaseMissing,
    Interrupted,
    QueryHandle,
    RunRow,
    SampleFilter,
    SampleOrder,
    SampleSort,
    ScoredAttack,
    ScoreRange,
    StoredRun,
    attacks_of,
    count_samples,
    find_sample,
    first_samples,
    ingest,
    open_samples,
    order_and_first_samples,
    order_samples,
    peek_samples,
    read_samples,
)

MakeRun = Callable[..., RunRow]
WriteTables = Callable[..., Path]

NAN, INFINITY = math.nan, math.inf
# caption, key, pool, member, score of csa (absent where there is no row), p-value; q-values are below
SAMPLES: list[tuple[str | None, str, str, bool | None, float | str | None, float | None]] = [
    ("b dog", "k3", "candidates", True, 0.5, 0.02),
    ("A cat", "k1", "candidates", False, 0.1, 0.5),
    ("a Dog 100%", "k2", "candidates", None, NAN, NAN),
    (None, "k_", "candidates", True, 0.5, 0.02),
    ("c[x]* 'quoted'", "k%", "nonmembers", None, -INFINITY, None),
    ("ÅRHUS", "K5", "nonmembers", None, INFINITY, None),
    ("b dog", "k0", "general", None, "absent", None),
    ("", "k6", "general", None, None, None),
]
Q_VALUES = {0: 0.3, 1: 0.5, 2: NAN, 3: 0.3, 4: 0.0}


@pytest.fixture
def source(database: Path, write_tables: WriteTables, make_run: MakeRun) -> StoredRun:
    """The samples above as `run-a`, beside another run with other samples of the same numbers."""
    samples = [
        {
            "sample_id": f"{place}f{place:014}ab",
            "caption": caption,
            "key": key,
            "pool": pool,
            "member": member,
        }
        for place, (caption, key, pool, member, _, _) in enumerate(SAMPLES)
    ]
    scores: list[dict[str, Any]] = []
    for number, (sample, (*_, score, p_value)) in enumerate(zip(samples, SAMPLES, strict=True)):
        if score != "absent":
            identity = {"sample_id": sample["sample_id"]}
            values = {"score": score, "p_value": p_value, "q_value": Q_VALUES.get(number)}
            scores.append({**identity, "attack": "csa", **values})
            scores.append({**identity, "attack": "it's", "score": 1.0})
    ingest(database, make_run("run-a"), write_tables("a", samples=samples, scores=scores))
    other = [{**sample, "caption": "of another run"} for sample in samples]
    other_scores = [{**score, "score": -7.0} for score in scores]
    ingest(database, make_run("run-b"), write_tables("b", samples=other, scores=other_scores))
    return StoredRun(database, "run-a", wait_seconds=0)


def test_the_attacks_of_a_run_come_with_whether_they_have_p_values(source: StoredRun) -> None:
    assert attacks_of(source) == [ScoredAttack("csa", True), ScoredAttack("it's", False)]


def test_samples_are_counted_by_pool_in_the_order_of_their_numbers(source: StoredRun) -> None:
    assert list(count_samples(source).items()) == [("candidates", 4), ("nonmembers", 2), ("general", 2)]
    assert count_samples(StoredRun(source.database, "no such run")) == {}


def test_a_run_is_opened_with_its_first_rows_in_an_order_chosen_for_its_attacks(source: StoredRun) -> None:
    by_csa = SampleSort("score", True, "csa")

    def choose(attacks: Sequence[ScoredAttack]) -> SampleSort:
        return SampleSort("score", True, attacks[0].attack)

    assert open_samples(source, choose, limit=3) == (
        attacks_of(source),
        count_samples(source),
        first_samples(source, by_csa, limit=3),
    )
    assert open_samples(source, choose, limit=0)[2] == []


def test_a_text_that_many_have_is_found_at_the_top_of_an_order_and_one_that_few_have_everywhere(
    database: Path, write_tables: WriteTables, make_run: MakeRun
) -> None:
    size = 12_000
    samples = [
        # Upside down, so that the order by number and the order by key are not the same.
        {
            "sample_id": f"{place:032}",
            "caption": "dog" if place % 2 else "cat",
            "key": f"{size - place:05}",
            "pool": "candidates",
        }
        for place in range(size)
    ]
    samples[3]["caption"] = samples[11]["caption"] = "a rare Dog"
    ingest(database, make_run("run-a"), write_tables("a", samples=samples))
    source, by_key = StoredRun(database, "run-a"), SampleSort("key")
    everything = order_samples(source, by_key)
    for text, is_whole, count in (("DOG", False, 200), ("rare", True, 2), ("no such", True, 0)):
        where = SampleFilter(text)
        fitting = order_samples(source, by_key, where).numbers
        found, rows, whole = peek_samples(source, everything, by_key, where)
        assert whole == is_whole
        assert found.numbers.tolist() == fitting[:count].tolist()
        assert rows == read_samples(source, fitting[:count])


@pytest.mark.parametrize("sort", [SampleSort(), SampleSort("score", True, "csa")])
def test_an_order_comes_with_its_first_rows(source: StoredRun, sort: SampleSort) -> None:
    where = SampleFilter(pool="candidates")
    order, first = order_and_first_samples(source, sort, where, limit=2)
    assert order.numbers.tolist() == order_samples(source, sort, where).numbers.tolist()
    assert first == read_samples(source, order.numbers[:2])


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        (SampleSort(), [0, 1, 2, 3, 4, 5, 6, 7]),
        (SampleSort("number", True), [7, 6, 5, 4, 3, 2, 1, 0]),
        (SampleSort("score", attack="csa"), [4, 1, 0, 3, 5, 2, 6, 7]),
        (SampleSort("score", True, "csa"), [5, 0, 3, 1, 4, 2, 6, 7]),
        (SampleSort("p_value", attack="csa"), [0, 3, 1, 2, 4, 5, 6, 7]),
        (SampleSort("p_value", True, "csa"), [1, 0, 3, 2, 4, 5, 6, 7]),
        (SampleSort("q_value", attack="csa"), [4, 0, 3, 1, 2, 5, 6, 7]),
        (SampleSort("q_value", True, "csa"), [1, 0, 3, 4, 2, 5, 6, 7]),
        (SampleSort("q_value", attack="it's"), [0, 1, 2, 3, 4, 5, 6, 7]),
        (SampleSort("score", attack="it's"), [0, 1, 2, 3, 4, 5, 7, 6]),
        (SampleSort("score", attack="no such attack"), [0, 1, 2, 3, 4, 5, 6, 7]),
        (SampleSort("member", True), [0, 3, 1, 2, 4, 5, 6, 7]),
        (SampleSort("member"), [1, 0, 3, 2, 4, 5, 6, 7]),
        (SampleSort("pool", True), [4, 5, 6, 7, 0, 1, 2, 3]),
        (SampleSort("key"), [5, 4, 6, 1, 2, 0, 7, 3]),
        (SampleSort("caption"), [7, 1, 2, 0, 6, 4, 5, 3]),
        (SampleSort("caption", True), [5, 4, 0, 6, 2, 1, 7, 3]),
    ],
)
def test_what_has_no_value_comes_last_and_equals_go_by_number(
    source: StoredRun, sort: SampleSort, expected: list[int]
) -> None:
    order = order_samples(source, sort)
    assert order.numbers.tolist() == expected
    assert order.numbers.dtype == np.uint32
    assert len(order) == 8


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"text": "DOG"}, [0, 2, 6]),
        ({"text": "århus"}, [5]),
        ({"text": "100%"}, [2]),
        ({"text": "%"}, [2, 4]),
        ({"text": "_"}, [3]),
        ({"text": "k"}, [0, 1, 2, 3, 4, 5, 6, 7]),
        ({"text": "x]* '"}, [4]),
        ({"text": "\ud800"}, []),
        ({"pool": "nonmembers"}, [4, 5]),
        ({"pool": "'; --"}, []),
        ({"member": "yes"}, [0, 3]),
        ({"member": "no"}, [1]),
        ({"member": "unknown"}, [2, 4, 5, 6, 7]),
        ({"ranges": (ScoreRange("csa"),)}, [0, 1, 3, 4, 5]),
        ({"ranges": (ScoreRange("csa", low=0.1),)}, [0, 1, 3, 5]),
        ({"ranges": (ScoreRange("csa", 0.1, 0.5),)}, [0, 1, 3]),
        ({"ranges": (ScoreRange("csa", high=0.1), ScoreRange("it's", 1, 1))}, [1, 4]),
        ({"ranges": (ScoreRange("csa", 0.2),), "text": "dog", "member": "yes", "pool": "candidates"}, [0]),
    ],
)
def test_a_filter_takes_text_literally_and_all_that_is_asked_together(
    source: StoredRun, where: dict[str, Any], expected: list[int]
) -> None:
    assert order_samples(source, where=SampleFilter(**where)).numbers.tolist() == expected


def test_the_first_rows_are_those_of_the_whole_order(source: StoredRun) -> None:
    sorts = [
        SampleSort(column, descending, "csa")
        for column in ("number", "key", "caption", "member", "pool", "score", "p_value", "q_value")
        for descending in (False, True)
    ]
    filters = [SampleFilter(), SampleFilter(text="dog"), SampleFilter(ranges=(ScoreRange("csa", 0.2),))]
    for sort, where in product(sorts, filters):
        whole = order_samples(source, sort, where).numbers.tolist()
        assert [row.number for row in first_samples(source, sort, where, limit=3)] == whole[:3]


def test_rows_come_in_the_order_asked_and_what_is_gone_is_left_out(source: StoredRun) -> None:
    rows = read_samples(source, [6, 99, 2, 0])
    assert [row.number for row in rows] == [6, 2, 0]
    assert rows[2].caption == "b dog"
    assert (rows[2].member, rows[2].pool, rows[2].key) == (True, "candidates", "k3")
    assert rows[2].scores == {"csa": 0.5, "it's": 1.0}
    assert rows[2].p_values == {"csa": 0.02}
    assert rows[1].scores == {"it's": 1.0}
    assert (rows[0].scores, rows[0].p_values) == ({}, {})
    assert read_samples(source, []) == []


def test_a_null_caption_is_an_empty_one(source: StoredRun) -> None:
    (row,) = read_samples(source, np.array([3], np.uint32))
    assert row.caption == ""


def test_an_order_knows_where_a_sample_is(source: StoredRun) -> None:
    order = order_samples(source, SampleSort("score", True, "csa"), SampleFilter(pool="candidates"))
    assert [order.position(number) for number in (0, 3, 1, 2)] == [0, 1, 2, 3]
    assert order.position(5) is None
    assert SampleOrder(np.empty(0, np.uint32)).position(0) is None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("#3", 3),
        (" # 3 ", 3),
        ("#8", None),
        ("#-1", None),
        ("#", None),
        ("#99999999999999999999999", None),
        ("#²", None),
        ("k2", 2),
        ("k%", 4),
        ("k", None),
        ("5f", 5),
        ("5g", None),
        ("5F00000000000005AB", 5),
        ("5f00000000000005abc", None),
        ("", None),
        ("'; --", None),
        ("\ud800", None),
    ],
)
def test_a_sample_is_found_by_number_key_or_the_start_of_its_id(
    source: StoredRun, text: str, number: int | None
) -> None:
    assert find_sample(source, text) == number


def test_a_key_goes_before_the_start_of_an_id(
    database: Path, write_tables: WriteTables, make_run: MakeRun
) -> None:
    samples = [{"sample_id": "77aa", "key": "00"}, {"sample_id": "bb", "key": "77"}]
    ingest(database, make_run(), write_tables(samples=samples))
    assert find_sample(StoredRun(database, "run-a"), "77") == 1
    assert find_sample(StoredRun(database, "run-a"), "77A") == 0


def test_a_run_that_is_not_there_has_no_samples(source: StoredRun) -> None:
    nobody = StoredRun(source.database, "nobody")
    assert attacks_of(nobody) == []
    assert len(order_samples(nobody, SampleSort("score", attack="csa"))) == 0
    assert first_samples(nobody, SampleSort("score", attack="csa")) == []
    assert find_sample(nobody, "#0") is None


def test_what_is_interrupted_ends_as_such_even_before_it_began(source: StoredRun) -> None:
    handle = QueryHandle()
    handle.interrupt()
    with pytest.raises(Interrupted):
        order_samples(source, handle=handle)


def test_a_query_that_goes_on_is_interrupted_from_another_thread(source: StoredRun) -> None:
    handle = QueryHandle()
    endless = "SELECT count(*) FROM range(1000000000000) AS a(x), range(100000) AS b(y) WHERE x % 7 = y % 3"
    over = threading.Event()

    def interrupt() -> None:
        while not over.wait(0.01):
            handle.interrupt()

    stopper = threading.Thread(target=interrupt)

    def ask() -> None:
        with source.connected(handle) as connection:
            stopper.start()
            connection.execute(endless).fetchall()

    with pytest.raises(Interrupted):
        ask()
    over.set()
    stopper.join()


def test_a_locked_and_a_missing_database_are_told_apart(
    source: StoredRun, hold: Callable[[Path, str], object], tmp_path: Path
) -> None:
    with pytest.raises(DatabaseMissing):
        attacks_of(StoredRun(tmp_path / "none.duckdb", "run-a"))
    hold(source.database, "writer")
    with pytest.raises(DatabaseLocked):
        order_samples(source)
