"""SQL that a user wrote: it can read the database, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import duckdb

from tui_mia.store.connect import WAIT_SECONDS, exporting, open_reader
from tui_mia.store.errors import ExportError, QueryError, StoreError
from tui_mia.store.export import COPY_OPTIONS, finite
from tui_mia.store.files import appearing
from tui_mia.store.schema import quote_name
from tui_mia.store.source import QueryHandle

FETCH_ROWS: Final = 10_000

_TIME_WITH_ZONE: Final = "TIMESTAMP WITH TIME ZONE"


class QueryResult:
    """The columns, their DuckDB types, and an iterator over the rows, which are read in chunks.

    It keeps the database open for reading until the last row has been read or
    it is closed, so use it in a `with` block. Times with a zone come as UTC.
    An error that DuckDB meets on the way is a `QueryError`.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        columns: list[str],
        types: list[str],
        handle: QueryHandle,
    ) -> None:
        self.columns = columns
        self.types = types
        self._connection = connection
        self._handle = handle
        self._zoned = [index for index, name in enumerate(types) if name == _TIME_WITH_ZONE]

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        try:
            while rows := self._fetch():
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

    def interrupt(self) -> None:
        """From another thread: let whoever reads the rows get `Interrupted` instead of more of them."""
        self._handle.interrupt()

    def _fetch(self) -> list[tuple[Any, ...]]:
        with self._handle.holding(self._connection):
            return self._connection.fetchmany(FETCH_ROWS)

    def _with_zones(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        values = list(row)
        for index in self._zoned:
            if isinstance(values[index], datetime):
                values[index] = values[index].replace(tzinfo=UTC)
        return tuple(values)


def query(
    database: Path,
    sql: str,
    parameters: Sequence[object] = (),
    wait_seconds: float = WAIT_SECONDS,
    handle: QueryHandle | None = None,
) -> QueryResult:
    """Run one statement that reads; `?` in it takes the parameters in turn.

    The file is open read-only, DuckDB may touch no other file, load no
    extension and change no setting, and only statements of the kind SELECT are
    let through: DuckDB lets its own .wal and temporary files be written by
    COPY, even from inside EXPLAIN ANALYZE. Raises `QueryError` with DuckDB's
    message. With the handle another thread can stop the query, and the reading of its rows.
    """
    handle = handle or QueryHandle()
    connection = open_reader(database, wait_seconds)
    try:
        with handle.holding(connection):
            statement = _only_select(connection, sql)
            shape = connection.sql(statement, params=list(parameters))
            columns, types = list(shape.columns), [str(kind) for kind in shape.types]
            connection.execute(_without_zones(statement, types), list(parameters))
    except duckdb.Error as error:
        connection.close()
        raise QueryError(str(error)) from error
    except StoreError:
        connection.close()
        raise
    return QueryResult(connection, columns, types, handle)


def export_query(
    database: Path,
    sql: str,
    output: Path,
    overwrite: bool = False,
    wait_seconds: float = WAIT_SECONDS,
    handle: QueryHandle | None = None,
) -> int:
    """Write all rows of a statement that reads to a file, and return how many.

    The suffix of `output` says how: .csv, .parquet or .json, which is one array
    of objects. Of columns with one name, the second becomes `name_2`. The file
    appears complete or not at all, readable by its owner only. While it is
    written, nothing else of this process can open the database. Raises
    `QueryError`, `ExportError` and, if another thread uses the handle, `Interrupted`.
    """
    format_ = output.suffix.removeprefix(".").lower()
    if format_ not in COPY_OPTIONS:
        endings = ", ".join(f".{name}" for name in COPY_OPTIONS)
        raise ExportError(f"{output} does not say in which format: end its name in one of {endings}.")
    with (
        appearing(output, overwrite=overwrite) as unfinished,
        exporting(database, unfinished.parent, wait_seconds) as connection,
        (handle or QueryHandle()).holding(connection),
    ):
        try:
            statement = _only_select(connection, sql)
            copied = connection.execute(
                f"COPY ({_for_a_file(connection, statement, format_)}) TO ? ({COPY_OPTIONS[format_]})",
                [str(unfinished)],
            ).fetchone()
        except duckdb.InterruptException:
            raise
        except duckdb.Error as error:
            raise QueryError(str(error)) from error
    return int(copied[0]) if copied else 0


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


def _for_a_file(connection: duckdb.DuckDBPyConnection, statement: str, format_: str) -> str:
    """The statement as one with a name of its own for each column, and for JSON without NaN."""
    shape = connection.sql(statement)
    names = unique_names(shape.columns)
    selected = "*"
    if format_ == "json":
        selected = ", ".join(finite(name, str(kind)) for name, kind in zip(names, shape.types, strict=True))
    return f"SELECT {selected} FROM (\n{statement}\n) AS result({', '.join(map(quote_name, names))})"


def unique_names(names: Sequence[str]) -> list[str]:
    """The names, of which those that are taken, to DuckDB whatever their case, get `_2`, `_3` and so on."""
    unique: list[str] = []
    taken: set[str] = set()
    for name in names:
        free, number = name, 2
        while free.casefold() in taken:
            free, number = f"{name}_{number}", number + 1
        taken.add(free.casefold())
        unique.append(free)
    return unique


def _without_zones(statement: str, types: list[str]) -> str:
    """Let times with a zone come as plain UTC times, for Python could take them only with pytz installed."""
    if _TIME_WITH_ZONE not in types:
        return statement
    columns = ", ".join(
        f"#{number} AT TIME ZONE 'UTC'" if kind == _TIME_WITH_ZONE else f"#{number}"
        for number, kind in enumerate(types, start=1)
    )
    return f"SELECT {columns} FROM (\n{statement}\n)"
