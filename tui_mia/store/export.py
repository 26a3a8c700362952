"""A run's rows as a file for other tools."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import duckdb
import numpy as np
from numpy.typing import NDArray

from tui_mia.store.connect import WAIT_SECONDS, exporting, file_writer
from tui_mia.store.errors import ExportError, RunNotFound
from tui_mia.store.files import appearing
from tui_mia.store.schema import (
    SAMPLE_SCORES,
    TABLES,
    VIEW_SAMPLE_COLUMNS,
    ScoreColumn,
    quote_name,
    sample_scores,
    score_columns,
    scored_attacks,
)
from tui_mia.store.source import QueryHandle, SampleSource

if TYPE_CHECKING:
    import pyarrow as pa

Format: TypeAlias = Literal["csv", "parquet", "json"]

EXPORT_ROWS: Final = 20_000
EXPORTABLE: Final = (SAMPLE_SCORES, *TABLES)

COPY_OPTIONS: Final[dict[str, str]] = {
    "csv": "FORMAT csv, HEADER true",
    "parquet": "FORMAT parquet",
    "json": "FORMAT json, ARRAY true",
}
_FLOATS: Final = ("FLOAT", "DOUBLE")


def export_run(
    database: Path,
    run_id: str,
    output: Path,
    format: Format,  # noqa: A002
    table: str = SAMPLE_SCORES,
    *,
    overwrite: bool = False,
    wait_seconds: float = WAIT_SECONDS,
) -> int:
    """Write a run's rows of a table, or of the view `sample_scores`, to a file, and return how many.

    JSON is one array of objects. The view comes without the columns of attacks
    that this run does not have. The file appears complete or not at all,
    readable by its owner only. Raises `RunNotFound` and `ExportError`.
    """
    if table not in EXPORTABLE:
        raise ExportError(f"there is no table {table!r} to export: choose one of {', '.join(EXPORTABLE)}.")
    _require_format(format)
    with (
        appearing(output, overwrite=overwrite) as unfinished,
        exporting(database, unfinished.parent, wait_seconds) as connection,
    ):
        _require_run(connection, run_id)
        selected = _selected(_columns(connection, run_id, table), format)
        copied = connection.execute(
            f"COPY (SELECT {selected} FROM {table} WHERE run_id = ?) TO ? ({COPY_OPTIONS[format]})",
            [run_id, str(unfinished)],
        ).fetchone()
    return int(copied[0]) if copied else 0


def export_samples(
    source: SampleSource,
    numbers: Sequence[int] | NDArray[np.uint32],
    output: Path,
    format: Format,  # noqa: A002
    *,
    overwrite: bool = False,
    handle: QueryHandle | None = None,
) -> int:
    """Write rows of `sample_scores`, those with these numbers in this order, and return how many.

    The file is as that of `export_run`. Others may read the database meanwhile,
    and a million rows take no more memory than a few thousand.
    """
    _require_format(format)
    with (
        appearing(output, overwrite=overwrite) as unfinished,
        source.connected(handle) as reader,
        file_writer(unfinished.parent) as writer,
    ):
        columns = _score_columns(reader, source.run_id)
        rows = _chunks(reader, source.run_id, columns, numbers)
        writer.register("rows", rows)
        kinds = {**dict.fromkeys(VIEW_SAMPLE_COLUMNS, ""), **{column.name: "DOUBLE" for column in columns}}
        copied = writer.execute(
            f"COPY (SELECT {_selected(kinds, format)} FROM rows) TO ? ({COPY_OPTIONS[format]})",
            [str(unfinished)],
        ).fetchone()
    return int(copied[0]) if copied else 0


def _chunks(
    reader: duckdb.DuckDBPyConnection,
    run_id: str,
    columns: list[ScoreColumn],
    numbers: Sequence[int] | NDArray[np.uint32],
) -> pa.RecordBatchReader:
    """Rows of `sample_scores`, read a chunk at a time while somebody takes them."""
    import pyarrow as pa

    rows = sample_scores(columns, "run_id = $run_id AND number IN (SELECT unnest($numbers::BIGINT[]))")
    chosen = (
        f"SELECT rows.* FROM ({rows}) AS rows"
        " JOIN (SELECT unnest($numbers::BIGINT[]) AS number, unnest(range(len($numbers))) AS place) AS chosen"
        " USING (number) WHERE run_id = $run_id ORDER BY place"
    )

    def read(some: Sequence[int] | NDArray[np.uint32]) -> pa.Table:
        which = {"run_id": run_id, "numbers": [int(number) for number in some]}
        return reader.sql(chosen, params=which).to_arrow_table()

    starts = range(0, len(numbers), EXPORT_ROWS)
    batches = (batch for start in starts for batch in read(numbers[start : start + EXPORT_ROWS]).to_batches())
    return pa.RecordBatchReader.from_batches(read([]).schema, batches)


def _require_format(format: str) -> None:  # noqa: A002
    if format not in COPY_OPTIONS:
        raise ExportError(f"{format!r} is no export format: choose one of {', '.join(COPY_OPTIONS)}.")


def _require_run(connection: duckdb.DuckDBPyConnection, run_id: str) -> None:
    if not connection.execute("SELECT 1 FROM runs WHERE run_id = ?", [run_id]).fetchall():
        raise RunNotFound(f"there is no run {run_id!r} in the database.")


def _selected(columns: dict[str, str], format: Format) -> str:  # noqa: A002
    if format == "json":
        return ", ".join(finite(name, kind) for name, kind in columns.items())
    return ", ".join(quote_name(name) for name in columns)


def _columns(connection: duckdb.DuckDBPyConnection, run_id: str, table: str) -> dict[str, str]:
    """The columns to write, with their types."""
    described = connection.execute(f"DESCRIBE {table}").fetchall()
    columns = {name: kind for name, kind, *_ in described}
    if table == SAMPLE_SCORES:
        ours = {column.name for column in _score_columns(connection, run_id)}
        for column in score_columns(scored_attacks(connection)):
            if column.name not in ours:
                columns.pop(column.name, None)
    return columns


def _score_columns(connection: duckdb.DuckDBPyConnection, run_id: str) -> list[ScoreColumn]:
    """The columns of the view that the run has values for."""
    has_p_values = dict(scored_attacks(connection, run_id))
    return [
        column
        for column in score_columns(scored_attacks(connection))
        if column.attack in has_p_values and (column.value == "score" or has_p_values[column.attack])
    ]


def finite(name: str, kind: str) -> str:
    """A column as SQL for JSON, which has no NaN and no infinity."""
    quoted = quote_name(name)
    return f"CASE WHEN isfinite({quoted}) THEN {quoted} END AS {quoted}" if kind in _FLOATS else quoted
