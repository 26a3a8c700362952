"""Putting a finished run into the DuckDB file, and taking it out again."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import duckdb

from tui_mia.runs.space import full_by_words, full_message
from tui_mia.store.connect import WAIT_SECONDS, create_if_missing, writing
from tui_mia.store.dataset import Dataset, Layout, layout_of
from tui_mia.store.errors import DatabaseFull, RunNotFound, StoreError
from tui_mia.store.rows import RunRow
from tui_mia.store.schema import TABLES, as_utf8, rebuild_view

BATCH_ROWS: Final = 16_384
# A row group may hold a million rows; read through a buffer, it is never whole in memory.
BUFFER_BYTES: Final = 2**18
# About what a database of one run takes, whatever is in it, and its rows of what their files do.
NEW_BYTES: Final = 2**22
ROWS_SHARE: Final = 3


def ingest(
    database: Path,
    run: RunRow,
    tables: Path,
    wait_seconds: float = WAIT_SECONDS,
    layout: Layout = "table",
) -> None:
    """Replace what the database holds of a run by its row and its Parquet files, in one transaction.

    `tables` is the folder with `<table>.parquet`, none of which has to exist. The layout `parquet` is
    for the whole database from then on, whatever other runs ask for (`dataset.py`).
    Makes the database if it is missing. Raises `DatabaseLocked` if the file
    stays held by somebody else, `DatabaseFull` if there is no space for it, and
    `StoreError` if a file does not fit.
    """
    run_directory = shlex.quote(run.run_directory) if run.run_directory else "RUN_DIR"
    again = f"run `tui-mia ingest {run_directory}`"
    files = {table: tables / f"{table}.parquet" for table in TABLES if table != "runs"}
    files = {table: file for table, file in files.items() if file.exists()}
    try:
        create_if_missing(database)
        with writing(database, wait_seconds, again) as (connection, dataset):
            if layout == "parquet" and layout_of(connection) == "table":
                dataset.convert()
            _delete(connection, dataset, run.run_id)
            _insert_run(connection, run)
            for table, file in files.items():
                _insert_file(connection, dataset, run.run_id, table, file)
            _rebuild_views(connection, dataset)
    except StoreError as error:
        full = full_by_words(str(error))
        if full is None:
            raise
        needed = NEW_BYTES + ROWS_SHARE * sum(file.stat().st_size for file in files.values())
        where = full_message(database.absolute().parent, full, needed)
        raise DatabaseFull(
            f"{where} for {database.name}, which is as it was. Make space, then {again}."
        ) from error


def delete_run(database: Path, run_id: str, wait_seconds: float = WAIT_SECONDS) -> None:
    """Remove a run from every table; its run directory stays. Raises `RunNotFound`."""
    with writing(database, wait_seconds) as (connection, dataset):
        if not connection.execute("SELECT 1 FROM runs WHERE run_id = ?", [run_id]).fetchone():
            raise RunNotFound(f"there is no run {run_id!r} in {database}.")
        _delete(connection, dataset, run_id)
        _rebuild_views(connection, dataset)


def _delete(connection: duckdb.DuckDBPyConnection, dataset: Dataset, run_id: str) -> None:
    for table in TABLES:
        if not dataset.holds(table):
            connection.execute(f"DELETE FROM {table} WHERE run_id = ?", [run_id])
    if layout_of(connection) == "parquet":
        dataset.delete(run_id)


def _rebuild_views(connection: duckdb.DuckDBPyConnection, dataset: Dataset) -> None:
    if layout_of(connection) == "parquet":
        dataset.rebuild_views()
    rebuild_view(connection)


def _insert_run(connection: duckdb.DuckDBPyConnection, run: RunRow) -> None:
    columns = [column.name for column in dataclasses.fields(RunRow)]
    values = [_storable(getattr(run, column)) for column in columns]
    marks = ", ".join("?" for _ in columns)
    connection.execute(f"INSERT INTO runs ({', '.join(columns)}) VALUES ({marks})", values)


def _insert_file(
    connection: duckdb.DuckDBPyConnection, dataset: Dataset, run_id: str, table: str, file: Path
) -> None:
    """Add the rows of a Parquet file, a batch at a time; columns go by name, missing ones are null.

    Arrow reads the file, because DuckDB would take some characters in a path for wildcards.
    """
    # Here, for a front end that puts nothing in is 30 MB smaller without it.
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file, pre_buffer=False, buffer_size=BUFFER_BYTES) as parquet:
            batches = parquet.iter_batches(BATCH_ROWS)
            connection.register("incoming", pa.RecordBatchReader.from_batches(parquet.schema_arrow, batches))
            has_numbers = "number" in parquet.schema_arrow.names
            rows = "SELECT * FROM incoming" if has_numbers else _numbered(table)
            rows = f"SELECT $run_id AS run_id, * FROM ({rows})"
            if dataset.holds(table):
                dataset.write(table, as_utf8(run_id), rows)
            else:
                connection.execute(f"INSERT INTO {table} BY NAME {rows}", {"run_id": as_utf8(run_id)})
            connection.unregister("incoming")
    except (pa.ArrowException, OSError, duckdb.Error) as error:
        raise StoreError(f"{file} can't be read into the table {table}: {error}") from error


def _numbered(table: str) -> str:
    """The incoming rows of a run from before samples had numbers, with the numbers that they would have."""
    if table == "samples":
        return "SELECT *, row_number() OVER () - 1 AS number FROM incoming"
    if table in ("similarities", "scores"):
        return (
            "SELECT incoming.*, samples.number FROM incoming"
            " LEFT JOIN samples ON samples.run_id = $run_id AND samples.sample_id = incoming.sample_id"
        )
    return "SELECT * FROM incoming"


def _storable(value: object) -> object:
    """A mapping as JSON, and a text as one that can be stored."""
    if isinstance(value, Mapping):
        value = json.dumps(dict(value), ensure_ascii=False, allow_nan=False)
    return as_utf8(value) if isinstance(value, str) else value
