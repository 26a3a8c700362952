"""The layout `parquet`: similarities and scores in a folder beside the DuckDB file, which has views of them.

Which files those are is in the table `data_files`, which only a database of this layout has. So
the catalog decides: a file counts from the commit that lists it, until the one that no longer
does, and whatever else lies in the folder is what a killed writer left, for the next one to
remove. DuckDB keeps readers out while somebody writes, so no file goes while it is read.
"""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from typing import Final, Literal, TypeAlias

import duckdb

from tui_mia.runs.files import to_disk
from tui_mia.store.errors import StoreError
from tui_mia.store.schema import TABLES, text_literal

Layout: TypeAlias = Literal["table", "parquet"]

KEPT_AS_PARQUET: Final = ("similarities", "scores")
DATA_FILES: Final = "data_files"
# Where a connection finds the folder: a path in the views themselves would not survive a move.
FOLDER_VARIABLE: Final = "tui_mia_data"
# Sorted by number, a page of any order reads a few of these; of larger ones it would read most.
ROW_GROUP_ROWS: Final = 20_480

_SUFFIX: Final = ".data"
_ORDER: Final = {"similarities": "number, view", "scores": "number, attack"}


def data_folder(database: Path) -> Path:
    """The folder beside a database that its Parquet files are in."""
    return database.with_name(database.name + _SUFFIX)


def layout_of(connection: duckdb.DuckDBPyConnection) -> Layout:
    """How the open database keeps similarities and scores."""
    found = connection.execute(
        "SELECT 1 FROM duckdb_tables() WHERE database_name = current_database()"
        " AND schema_name = 'main' AND table_name = ?",
        [DATA_FILES],
    ).fetchone()
    return "parquet" if found else "table"


class Dataset:
    """The Parquet files of a database that is open for writing, within one transaction.

    `discard` removes what was written if it is not committed, `sweep` what is no longer listed once it is.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, database: Path) -> None:
        self._connection = connection
        self._folder = data_folder(database)
        self._written: list[Path] = []

    def holds(self, table: str) -> bool:
        """Whether the rows of a table are in files."""
        return table in KEPT_AS_PARQUET and layout_of(self._connection) == "parquet"

    def convert(self) -> None:
        """Give a database of tables this layout: their rows go out to files, a run at a time."""
        self._connection.execute(
            f"CREATE TABLE {DATA_FILES} (run_id VARCHAR, table_name VARCHAR, file VARCHAR)"
        )
        for table in KEPT_AS_PARQUET:
            run_ids = self._connection.execute(f"SELECT DISTINCT run_id FROM {table}").fetchall()
            for (run_id,) in sorted(run_ids, key=str):
                self.write(table, run_id, f"SELECT * FROM {table} WHERE run_id IS NOT DISTINCT FROM $run_id")
            self._connection.execute(f"DROP TABLE {table}")
        self.rebuild_views()

    def write(self, table: str, run_id: str | None, rows: str) -> None:
        """Write rows to a new file and list it: a SELECT with a $run_id, whose columns go by name."""
        folder = self._folder / table
        for path in (self._folder, folder):
            path.mkdir(mode=0o700, exist_ok=True)
        readable = re.sub(r"[^A-Za-z0-9_-]", "_", run_id or "")[:60]
        path = folder / f"{readable}-{secrets.token_hex(8)}.parquet"
        self._written.append(path)
        columns = ", ".join(f"{name}::{kind} AS {name}" for name, kind in _columns(table))
        self._connection.execute(
            f"COPY (SELECT {columns} FROM ({_nothing(table)} UNION ALL BY NAME ({rows})) ORDER BY"
            f" {_ORDER[table]}) TO {text_literal(str(path))}"
            f" (FORMAT parquet, ROW_GROUP_SIZE {ROW_GROUP_ROWS})",
            {"run_id": run_id},
        )
        path.chmod(0o600)
        for written in (path, folder, self._folder, self._folder.parent):
            to_disk(written)
        self._connection.execute(f"INSERT INTO {DATA_FILES} VALUES (?, ?, ?)", [run_id, table, path.name])

    def delete(self, run_id: str) -> None:
        """List the files of a run no longer."""
        self._connection.execute(f"DELETE FROM {DATA_FILES} WHERE run_id = ?", [run_id])

    def rebuild_views(self) -> None:
        """Let the views read the files that are listed now."""
        for table in KEPT_AS_PARQUET:
            rows = _view(table, self._folder.name, self._listed(table))
            self._connection.execute(f"CREATE OR REPLACE VIEW {table} AS {rows}")

    def discard(self) -> None:
        """Remove the files that were written."""
        for path in self._written:
            path.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove every file that is not listed."""
        for table in filter(self.holds, KEPT_AS_PARQUET):
            listed = set(self._listed(table))
            for path in (self._folder / table).glob("*.parquet"):
                if path.name not in listed:
                    path.unlink(missing_ok=True)

    def _listed(self, table: str) -> list[str]:
        found = self._connection.execute(
            f"SELECT file FROM {DATA_FILES} WHERE table_name = ? ORDER BY file", [table]
        ).fetchall()
        return [file for (file,) in found]


def require_own_folder(database: Path) -> Path:
    """The folder that connections may read, as it is named. Raises `StoreError` for a link to another."""
    folder = data_folder(database)
    if folder.is_symlink():
        raise StoreError(
            f"{folder} is a link, and tui-mia reads no files but those beside its database: "
            f"put the folder itself beside {database.name}."
        )
    return folder


def _view(table: str, folder: str, files: list[str]) -> str:
    """All rows of a table, as SQL; without tui-mia the folder is looked for in the current one."""
    if not files:
        return _nothing(table)
    names = ", ".join(name for name, _ in _columns(table))
    where = f"coalesce(getvariable({text_literal(FOLDER_VARIABLE)}), {text_literal(folder)})"
    # Hive partitioning would take a folder above that is named `score=1` for the column.
    return (
        f"SELECT {names} FROM read_parquet(list_transform([{', '.join(map(text_literal, files))}],"
        f" lambda file: {where} || '/{table}/' || file), hive_partitioning = false)"
    )


def _columns(table: str) -> list[tuple[str, str]]:
    """Names and types of a table's columns."""
    return [(name, kind) for name, kind in (column.split() for column in TABLES[table].split(","))]


def _nothing(table: str) -> str:
    """No row, of a table's columns."""
    columns = ", ".join(f"NULL::{kind} AS {name}" for name, kind in _columns(table))
    return f"SELECT {columns} WHERE false"
