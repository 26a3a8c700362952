"""A run's rows as a file for other tools."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Final, Literal, TypeAlias

import duckdb

from tui_mia.store.connect import WAIT_SECONDS, exporting
from tui_mia.store.errors import ExportError, RunNotFound
from tui_mia.store.schema import (
    SAMPLE_SCORES,
    TABLES,
    quote_name,
    score_columns,
    scored_attacks,
)

Format: TypeAlias = Literal["csv", "parquet", "json"]

EXPORTABLE: Final = (SAMPLE_SCORES, *TABLES)

_COPY_OPTIONS: Final[dict[str, str]] = {
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
    if format not in _COPY_OPTIONS:
        raise ExportError(f"{format!r} is no export format: choose one of {', '.join(_COPY_OPTIONS)}.")
    if output.is_dir():
        raise ExportError(f"{output} is a folder: name a file in it.")
    if output.exists() and not overwrite:
        raise ExportError(f"{output} exists already: choose another name, or write over it with --force.")
    try:
        with tempfile.TemporaryDirectory(prefix=".tui-mia-", dir=output.parent) as private:
            unfinished = Path(private).resolve() / "export"
            with exporting(database, unfinished.parent, wait_seconds) as connection:
                rows = _copy(connection, run_id, table, format, unfinished)
            unfinished.chmod(0o600)
            os.replace(unfinished, output)
    except OSError as error:
        raise ExportError(f"can't write {output}: {error.strerror}.") from error
    return rows


def _copy(
    connection: duckdb.DuckDBPyConnection,
    run_id: str,
    table: str,
    format: Format,  # noqa: A002
    file: Path,
) -> int:
    if not connection.execute("SELECT 1 FROM runs WHERE run_id = ?", [run_id]).fetchone():
        raise RunNotFound(f"there is no run {run_id!r} in the database.")
    columns = _columns(connection, run_id, table)
    if format == "json":
        selected = ", ".join(_finite(name, kind) for name, kind in columns.items())
    else:
        selected = ", ".join(quote_name(name) for name in columns)
    copied = connection.execute(
        f"COPY (SELECT {selected} FROM {table} WHERE run_id = ?) TO ? ({_COPY_OPTIONS[format]})",
        [run_id, str(file)],
    ).fetchone()
    return int(copied[0]) if copied else 0


def _columns(connection: duckdb.DuckDBPyConnection, run_id: str, table: str) -> dict[str, str]:
    """The columns to write, with their types."""
    described = connection.execute(f"DESCRIBE {table}").fetchall()
    columns = {name: kind for name, kind, *_ in described}
    if table == SAMPLE_SCORES:
        p_values_of_run = dict(scored_attacks(connection, run_id))
        for column in score_columns(scored_attacks(connection)):
            has_p_values = p_values_of_run.get(column.attack)
            if has_p_values is None or (column.value == "p_value" and not has_p_values):
                columns.pop(column.name, None)
    return columns


def _finite(name: str, kind: str) -> str:
    """A column for JSON, which has no NaN and no infinity."""
    quoted = quote_name(name)
    return f"CASE WHEN isfinite({quoted}) THEN {quoted} END AS {quoted}" if kind in _FLOATS else quoted
