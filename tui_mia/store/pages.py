"""The samples of a run, a page at a time: an order is found once, and then read where it is looked at.

Nothing here hands a million rows to Python; what is as long as the run are
arrays of numbers, which DuckDB fills without holding up other threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import duckdb
import numpy as np
from numpy.typing import NDArray

from tui_mia.store.samples import SampleFilter, SampleOrder, SampleRow, SampleSort, ScoredAttack
from tui_mia.store.schema import as_utf8
from tui_mia.store.source import QueryHandle, SampleSource

_Parameters = dict[str, object]

BY_NUMBER: Final = SampleSort()
ALL_SAMPLES: Final = SampleFilter()

_SORTED_BY: Final = {
    "number": "number",
    "key": "key",
    "caption": "lower(caption)",
    "member": "member",
    "pool": "pool",
    "score": "score",
    "p_value": "p_value",
    "q_value": "q_value",
}
_OF_A_SCORE: Final = ("score", "p_value", "q_value")
# At so many samples at the top of an order a text is looked for first, and so many must have it.
_PEEK: Final = 10_000
_ENOUGH: Final = 60


def attacks_of(source: SampleSource, handle: QueryHandle | None = None) -> list[ScoredAttack]:
    """The attacks with scores in the run, by name."""
    with source.connected(handle) as connection:
        return _attacks(connection, source)


def count_samples(source: SampleSource, handle: QueryHandle | None = None) -> dict[str, int]:
    """How many samples each pool of the run has, in the order of their numbers."""
    with source.connected(handle) as connection:
        return _counts(connection, source)


def open_samples(
    source: SampleSource,
    sort_of: Callable[[Sequence[ScoredAttack]], SampleSort],
    limit: int = 200,
    handle: QueryHandle | None = None,
) -> tuple[list[ScoredAttack], dict[str, int], list[SampleRow]]:
    """`attacks_of`, `count_samples` and `first_samples` of one moment, for less than the three by themselves.

    The first `limit` rows are in the order that `sort_of` chooses for these attacks.
    """
    with source.connected(handle) as connection:
        attacks, counts = _attacks(connection, source), _counts(connection, source)
        if not limit:
            return attacks, counts, []
        numbers = _first_numbers(connection, source, sort_of(attacks), ALL_SAMPLES, limit)
        return attacks, counts, rows_of(connection, source, numbers)


def order_samples(
    source: SampleSource,
    sort: SampleSort = BY_NUMBER,
    where: SampleFilter = ALL_SAMPLES,
    handle: QueryHandle | None = None,
) -> SampleOrder:
    """The numbers of all samples that fit, in order."""
    with source.connected(handle) as connection:
        return _order(connection, source, sort, where)


def order_and_first_samples(
    source: SampleSource,
    sort: SampleSort = BY_NUMBER,
    where: SampleFilter = ALL_SAMPLES,
    limit: int = 200,
    handle: QueryHandle | None = None,
) -> tuple[SampleOrder, list[SampleRow]]:
    """The whole order and its first rows: what suits a filter, for which the first take as long as all."""
    with source.connected(handle) as connection:
        order = _order(connection, source, sort, where)
        return order, rows_of(connection, source, order.numbers[:limit].tolist())


def peek_samples(
    source: SampleSource,
    order: SampleOrder,
    sort: SampleSort,
    where: SampleFilter,
    limit: int = 200,
    handle: QueryHandle | None = None,
) -> tuple[SampleOrder, list[SampleRow], bool]:
    """The first rows that fit, looked for at the top of `order`, that of all samples by `sort`.

    A text that many samples have is found there for a fraction of the cost of
    the whole order. Where the top has too few, this is `order_and_first_samples`;
    the last of what is returned says whether the order is the whole one.
    """
    with source.connected(handle) as connection:
        found = _fitting_among(connection, source, where, order.numbers[:_PEEK])
        whole = len(found) < _ENOUGH
        numbers = SampleOrder(found[:limit]) if not whole else _order(connection, source, sort, where)
        return numbers, rows_of(connection, source, numbers.numbers[:limit].tolist()), whole


def first_samples(
    source: SampleSource,
    sort: SampleSort = BY_NUMBER,
    where: SampleFilter = ALL_SAMPLES,
    limit: int = 200,
    handle: QueryHandle | None = None,
) -> list[SampleRow]:
    """The first rows of an order, for a fraction of the cost of the whole."""
    with source.connected(handle) as connection:
        numbers = _first_numbers(connection, source, sort, where, limit)
        return rows_of(connection, source, numbers)


def read_samples(
    source: SampleSource, numbers: Sequence[int] | NDArray[np.uint32], handle: QueryHandle | None = None
) -> list[SampleRow]:
    """The samples with these numbers, in this order; those that are gone are left out."""
    with source.connected(handle) as connection:
        return rows_of(connection, source, [int(number) for number in numbers])


def find_sample(source: SampleSource, text: str, handle: QueryHandle | None = None) -> int | None:
    """The number of the sample that is meant by `#number`, by its key, or by its id or the start of it."""
    text = text.strip()
    meant: list[int] | list[str]
    if text.startswith("#"):
        digits = text[1:].strip().replace(",", "").replace("_", "")
        if not digits.isascii() or not digits.isdigit() or int(digits) > np.iinfo(np.int64).max:
            return None
        sql, meant = "SELECT number FROM samples WHERE run_id = ? AND number = ?", [int(digits)]
    elif text:
        sql = (
            "SELECT number FROM samples WHERE run_id = ? AND (key = ? OR starts_with(sample_id, lower(?)))"
            " ORDER BY key = ? DESC NULLS LAST, number LIMIT 1"
        )
        meant = 3 * [as_utf8(text)]
    else:
        return None
    with source.connected(handle) as connection:
        found = connection.execute(sql, [source.run_id, *meant]).fetchone()
    return int(found[0]) if found else None


def _attacks(connection: duckdb.DuckDBPyConnection, source: SampleSource) -> list[ScoredAttack]:
    attacks = connection.execute(
        "SELECT DISTINCT attack FROM scores WHERE run_id = ? AND attack IS NOT NULL ORDER BY attack",
        [source.run_id],
    ).fetchall()
    # To ask for the first p-value of each takes half as long as to group all scores.
    a_p_value = "SELECT 1 FROM scores WHERE run_id = ? AND attack = ? AND p_value IS NOT NULL LIMIT 1"
    return [
        ScoredAttack(attack, bool(connection.execute(a_p_value, [source.run_id, attack]).fetchall()))
        for (attack,) in attacks
    ]


def _counts(connection: duckdb.DuckDBPyConnection, source: SampleSource) -> dict[str, int]:
    pools = connection.execute(
        "SELECT pool, count(*) FROM samples WHERE run_id = ? GROUP BY pool ORDER BY min(number)",
        [source.run_id],
    ).fetchall()
    return dict(pools)


def _order(
    connection: duckdb.DuckDBPyConnection, source: SampleSource, sort: SampleSort, where: SampleFilter
) -> SampleOrder:
    fitting, parameters = _fitting(source, where)
    if sort.column not in _OF_A_SCORE:
        ordered = f"SELECT number::UINTEGER AS number FROM {fitting} ORDER BY {_by(sort)}"
        return SampleOrder(_column(connection, ordered, parameters))
    # Sorted here and not by DuckDB, which would have to join scores to samples for it: this takes
    # 20 bytes a sample instead of about 80.
    numbers = _column(connection, f"SELECT number::UINTEGER AS number FROM {fitting}", parameters)
    numbers.sort()
    keys = _values(connection, source, sort, int(numbers.max(initial=0)) + 1)
    if len(keys) > len(numbers):
        keys = keys[numbers]
    if sort.descending:
        np.negative(keys, out=keys)
    return SampleOrder(numbers[np.argsort(keys, kind="stable")])


def _fitting(source: SampleSource, where: SampleFilter, samples: str = "samples") -> tuple[str, _Parameters]:
    """The samples that a filter lets through, as SQL to select from."""
    parameters: _Parameters = {"run_id": source.run_id}
    conditions = ["run_id = $run_id"]
    if where.text:
        conditions.append("(contains(lower(caption), lower($text)) OR contains(lower(key), lower($text)))")
        parameters["text"] = as_utf8(where.text)
    if where.pool is not None:
        conditions.append("pool = $pool")
        parameters["pool"] = where.pool
    if where.member is not None:
        conditions.append({"yes": "member", "no": "NOT member", "unknown": "member IS NULL"}[where.member])
    for place, limits in enumerate(where.ranges):
        parameters[f"attack_{place}"] = limits.attack
        # To DuckDB, NaN is the highest of all numbers.
        scored = [f"run_id = $run_id AND attack = $attack_{place} AND NOT isnan(score)"]
        for name, sign, limit in (("low", ">=", limits.low), ("high", "<=", limits.high)):
            if limit is not None:
                scored.append(f"score {sign} ${name}_{place}")
                parameters[f"{name}_{place}"] = float(limit)
        conditions.append(f"number IN (SELECT number FROM scores WHERE {' AND '.join(scored)})")
    return f"(SELECT * FROM {samples} WHERE {' AND '.join(conditions)})", parameters


def _fitting_among(
    connection: duckdb.DuckDBPyConnection,
    source: SampleSource,
    where: SampleFilter,
    numbers: NDArray[np.uint32],
) -> NDArray[np.uint32]:
    """Those of the samples with these numbers that fit, as they are ordered."""
    # Materialized, because DuckDB would otherwise look for the text in all captions.
    few = "SELECT * FROM samples WHERE run_id = $run_id AND number IN (SELECT unnest($numbers::BIGINT[]))"
    fitting, parameters = _fitting(source, where, "few")
    sql = f"WITH few AS MATERIALIZED ({few}) SELECT number::UINTEGER AS number FROM {fitting}"
    found = _column(connection, sql, {**parameters, "numbers": numbers.tolist()})
    return numbers[np.isin(numbers, found)]


def _first_numbers(
    connection: duckdb.DuckDBPyConnection,
    source: SampleSource,
    sort: SampleSort,
    where: SampleFilter,
    limit: int,
) -> list[int]:
    fitting, parameters = _fitting(source, where)
    ask = partial(_numbers, connection, sort, limit)
    if sort.column not in _OF_A_SCORE:
        return ask(fitting, parameters)
    value = f"nullif({sort.column}, 'NaN'::DOUBLE) AS {sort.column}"
    parameters["attack"] = sort.attack
    scored = f"SELECT number, {value} FROM scores WHERE run_id = $run_id AND attack = $attack"
    # Most of the time the first rows all have a score, and no score has to be joined to its sample.
    fits = "" if where == ALL_SAMPLES else f" AND number IN (SELECT number FROM {fitting})"
    found = ask(f"({scored} AND NOT isnan({sort.column}){fits})", parameters)
    return (
        found if len(found) == limit else ask(f"({fitting} LEFT JOIN ({scored}) USING (number))", parameters)
    )


def _numbers(
    connection: duckdb.DuckDBPyConnection,
    sort: SampleSort,
    limit: int,
    rows: str,
    parameters: _Parameters,
) -> list[int]:
    sql = f"SELECT number FROM {rows} ORDER BY {_by(sort)} LIMIT $limit"
    return [number for (number,) in connection.execute(sql, {**parameters, "limit": limit}).fetchall()]


def _by(sort: SampleSort) -> str:
    direction = "DESC" if sort.descending else "ASC"
    return f"{_SORTED_BY[sort.column]} {direction} NULLS LAST, number"


def _column(connection: duckdb.DuckDBPyConnection, sql: str, parameters: _Parameters) -> NDArray[np.uint32]:
    column: NDArray[np.uint32] = connection.execute(sql, parameters).fetchnumpy()["number"]
    return column


def _values(
    connection: duckdb.DuckDBPyConnection, source: SampleSource, sort: SampleSort, at_least: int
) -> NDArray[np.float64]:
    """Scores, p- or q-values of an attack at the places of their numbers, else NaN: [`at_least`] or more."""
    found = connection.execute(
        f"SELECT number::UINTEGER AS number, coalesce({sort.column}, 'NaN'::DOUBLE) AS value FROM scores"
        " WHERE run_id = ? AND attack = ? AND number IS NOT NULL",
        [source.run_id, sort.attack],
    ).fetchnumpy()
    values = np.full(max(at_least, int(found["number"].max(initial=0)) + 1), np.nan)
    values[found["number"]] = found["value"]
    return values


def rows_of(
    connection: duckdb.DuckDBPyConnection, source: SampleSource, numbers: list[int]
) -> list[SampleRow]:
    """The samples with these numbers, in this order, over a connection of the source."""
    # Numbers as a list in one parameter: to parse them as SQL takes longer than the query.
    which = {"run_id": source.run_id, "numbers": numbers}
    chosen = "run_id = $run_id AND number IN (SELECT unnest($numbers::BIGINT[]))"
    scores: dict[int, dict[str, float]] = {number: {} for number in numbers}
    p_values: dict[int, dict[str, float]] = {number: {} for number in numbers}
    q_values: dict[int, dict[str, float]] = {number: {} for number in numbers}
    for number, attack, *found in connection.execute(
        f"SELECT number, attack, score, p_value, q_value FROM scores WHERE {chosen} AND attack IS NOT NULL",
        which,
    ).fetchall():
        for values, value in zip((scores, p_values, q_values), found, strict=True):
            if value is not None and value == value:
                values[number][attack] = value
    samples = connection.execute(
        f"SELECT number, sample_id, pool, key, caption, member FROM samples WHERE {chosen}", which
    ).fetchall()
    rows = {
        sample[0]: _row(sample, scores[sample[0]], p_values[sample[0]], q_values[sample[0]])
        for sample in samples
    }
    return [rows[number] for number in numbers if number in rows]


def _row(sample: tuple[Any, ...], *values: dict[str, float]) -> SampleRow:
    number, sample_id, pool, key, caption, member = sample
    return SampleRow(number, sample_id or "", pool or "", key or "", caption or "", member, *values)
