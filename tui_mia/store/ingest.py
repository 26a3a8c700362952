"""Putting a finished run into the DuckDB file, and taking it out again."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Mapping
from pathlib import Path

import duckdb

from tui_mia.store.connect import TRY_AGAIN, WAIT_SECONDS, create_if_missing, writing
from tui_mia.store.errors import RunNotFound
from tui_mia.store.rows import RunRow
from tui_mia.store.schema import TABLES, rebuild_view


def ingest(database: Path, run: RunRow, tables: Path, wait_seconds: float = WAIT_SECONDS) -> None:
    """Replace what the database holds of a run by its row and its Parquet files, in one transaction.

    `tables` is the folder with `<table>.parquet`, none of which has to exist.
    Makes the database if it is missing. Raises `DatabaseLocked` if the file
    stays held by somebody else, and `StoreError` if a file does not fit.
    """
    create_if_missing(database)
    folder = tables.resolve()
    run_directory = shlex.quote(run.run_directory) if run.run_directory else "RUN_DIR"
    with writing(database, folder, wait_seconds, f"run `tui-mia ingest {run_directory}`") as connection:
        _delete(connection, run.run_id)
        _insert_run(connection, run)
        for table in TABLES:
            file = folder / f"{table}.parquet"
            if table != "runs" and file.exists():
                # A run directory may be named like a Hive partition (`model=B-32`), which it is not.
                connection.execute(
                    f"INSERT INTO {table} BY NAME"
                    " SELECT ? AS run_id, * FROM read_parquet(?, hive_partitioning = false)",
                    [_storable(run.run_id), str(file)],
                )
        rebuild_view(connection)


def delete_run(database: Path, run_id: str, wait_seconds: float = WAIT_SECONDS) -> None:
    """Remove a run from every table; its run directory stays. Raises `RunNotFound`."""
    with writing(database, None, wait_seconds, TRY_AGAIN) as connection:
        if not connection.execute("SELECT 1 FROM runs WHERE run_id = ?", [run_id]).fetchone():
            raise RunNotFound(f"there is no run {run_id!r} in {database}.")
        _delete(connection, run_id)
        rebuild_view(connection)


def _delete(connection: duckdb.DuckDBPyConnection, run_id: str) -> None:
    for table in TABLES:
        connection.execute(f"DELETE FROM {table} WHERE run_id = ?", [run_id])


def _insert_run(connection: duckdb.DuckDBPyConnection, run: RunRow) -> None:
    columns = [column.name for column in dataclasses.fields(RunRow)]
    values = [_storable(getattr(run, column)) for column in columns]
    marks = ", ".join("?" for _ in columns)
    connection.execute(f"INSERT INTO runs ({', '.join(columns)}) VALUES ({marks})", values)


def _storable(value: object) -> object:
    """A mapping as JSON, and a text as UTF-8: a path may hold bytes that are not."""
    if isinstance(value, Mapping):
        value = json.dumps(dict(value), ensure_ascii=False, allow_nan=False)
    return value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else value
