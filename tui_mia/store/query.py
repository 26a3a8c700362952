"""SQL that a user wrote: it can read the database, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import duckdb

from tui_mia.store.connect import WAIT_SECONDS, open_reader
from tui_mia.store.errors import QueryError

FETCH_ROWS: Final = 10_000

_TIME_WITH_ZONE: Final = "TIMESTAMP WITH TIME ZONE"


class QueryResult:
    """The columns, their DuckDB types, and an iterator over the rows, which are read in chunks.

    It keeps the database open for reading until the last row has been read or
    it is closed, so use it in a `with` block. Times with a zone come as UTC.
    An error that DuckDB meets on the way is a `QueryError`.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, columns: list[str], types: list[str]) -> None:
        self.columns = columns
        self.types = types
        self._connection = connection
        self._zoned = [index for index, name in enumerate(types) if name == _TIME_WITH_ZONE]

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        try:
            while rows := self._connection.fetchmany(FETCH_ROWS):
                yield from (self._with_zones(row) for row in rows) if self._zoned else rows
        except duckdb.Error as error:
            raise QueryError(str(error)) from error
        finally:
            self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the database; the rows that were not read are lost."""
        self._connection.close()

    def _with_zones(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        values = list(row)
        for index in self._zoned:
            if isinstance(values[index], datetime):
                values[index] = values[index].replace(tzinfo=UTC)
        return tuple(values)


def query(
    database: Path, sql: str, parameters: Sequence[object] = (), wait_seconds: float = WAIT_SECONDS
) -> QueryResult:
    """Run one statement that reads; `?` in it takes the parameters in turn.

    The file is open read-only, DuckDB may touch no other file, load no
    extension and change no setting, and only statements of the kind SELECT are
    let through: DuckDB lets its own .wal and temporary files be written by
    COPY, even from inside EXPLAIN ANALYZE. Raises `QueryError` with DuckDB's
    message.
    """
    connection = open_reader(database, wait_seconds)
    try:
        statement = _only_select(connection, sql)
        shape = connection.sql(statement, params=list(parameters))
        columns, types = list(shape.columns), [str(kind) for kind in shape.types]
        connection.execute(_without_zones(statement, types), list(parameters))
    except duckdb.Error as error:
        connection.close()
        raise QueryError(str(error)) from error
    except QueryError:
        connection.close()
        raise
    return QueryResult(connection, columns, types)


def _only_select(connection: duckdb.DuckDBPyConnection, sql: str) -> str:
    """The one statement in the text, without the semicolon and comments after it."""
    statements = connection.extract_statements(sql)
    if len(statements) != 1:
        raise QueryError(f"a query is one statement, and this is {len(statements)}.")
    try:
        kind = statements[0].type.name
    except ValueError:  # a kind that DuckDB's Python package has no name for
        kind = "unknown"
    if kind != "SELECT":
        hint = " (PIVOT reads if it names its values: ON column IN (...))" if kind == "MULTI" else ""
        raise QueryError(
            "a query can only read: SELECT, FROM, WITH, VALUES, DESCRIBE, SHOW or SUMMARIZE. This statement"
            f" is of the kind {kind}{hint}."
        )
    text = statements[0].query
    ends = [start for start, token in duckdb.tokenize(text) if token == duckdb.token_type.operator]
    encoded = text.encode()
    while ends and encoded[ends[-1] : ends[-1] + 1] == b";":
        encoded = encoded[: ends.pop()]
    return encoded.decode()


def _without_zones(statement: str, types: list[str]) -> str:
    """Let times with a zone come as plain UTC times, for Python could take them only with pytz installed."""
    if _TIME_WITH_ZONE not in types:
        return statement
    columns = ", ".join(
        f"#{number} AT TIME ZONE 'UTC'" if kind == _TIME_WITH_ZONE else f"#{number}"
        for number, kind in enumerate(types, start=1)
    )
    return f"SELECT {columns} FROM (\n{statement}\n)"
