"""Databases of earlier versions: their rows go into a new file, and the old one is kept beside it."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

import duckdb

from tui_mia.runs.files import put_in_place
from tui_mia.runs.space import full_by_words, full_message
from tui_mia.store.connect import (
    NO_EXTENSIONS,
    WAIT_SECONDS,
    half_made_prefix,
    open_file,
    take_in_journal,
)
from tui_mia.store.errors import DatabaseFull, DatabaseLocked, OlderDatabase, StoreError
from tui_mia.store.schema import (
    SCHEMA_VERSION,
    TABLES,
    check_version,
    create_schema,
    rebuild_view,
    text_literal,
)
from tui_mia.store.turnstile import locked

# What earlier versions had not, as SQL on their rows; what is not here is null.
_NUMBERED: Final = {
    "samples": "SELECT *, row_number() OVER (PARTITION BY run_id ORDER BY rowid) - 1 AS number FROM {old}",
    "similarities": "SELECT * FROM {old} LEFT JOIN (SELECT run_id, sample_id, number FROM samples)"
    " USING (run_id, sample_id)",
}
_NUMBERED["scores"] = _NUMBERED["similarities"]


def bring_up_to_date(database: Path, wait_seconds: float = WAIT_SECONDS) -> str | None:
    """Give a database of an earlier version the tables of this one; what to tell the user of it.

    None if there was nothing to do. The file as it was stays beside it, and until
    the new one is whole it is the database. `wait_seconds` is for one that somebody holds.

    Raises:
        NotADatabase, DatabaseVersion: for a file that this version can't make use of.
        DatabaseLocked, DatabaseFull: where the new file can't be made now.
    """
    path = Path(os.path.realpath(database))
    if not path.exists() or _version_to_leave(path, wait_seconds) is None:
        return None
    with locked(path.parent, fcntl.LOCK_EX, wait_seconds) as is_alone:
        if not is_alone:
            raise DatabaseLocked(f"{path} is being brought up to date by another tui-mia; try again.")
        # Somebody else may have done it meanwhile.
        version = _version_to_leave(path, wait_seconds)
        if version is None:
            return None
        take_in_journal(path, wait_seconds)
        kept = _name_to_keep(path, version)
        try:
            _replace_with_new(path, kept)
        except (OSError, duckdb.Error) as error:
            full = full_by_words(str(error))
            if full is None:
                raise StoreError(f"{path} can't be given the tables of this version: {error}") from error
            where = full_message(path.parent, full, path.stat().st_size)
            raise DatabaseFull(
                f"{where} to bring {path.name} to version {SCHEMA_VERSION}; it is as it was. Make space, "
                "then try again."
            ) from error
    return (
        f"{database} had tables of version {version} and has those of version {SCHEMA_VERSION} now; "
        f"as it was it is {kept}"
    )


def _version_to_leave(path: Path, wait_seconds: float) -> int | None:
    """The version of a file that has to be brought up to date."""
    connection = open_file(path, wait_seconds)
    try:
        check_version(connection, path)
    except OlderDatabase as error:
        return error.version
    finally:
        connection.close()
    return None


def _name_to_keep(path: Path, version: int) -> Path:
    kept, number = path.with_name(f"{path.name}.version-{version}"), 2
    while os.path.lexists(kept):
        kept, number = path.with_name(f"{path.name}.version-{version}-{number}"), number + 1
    return kept


def _replace_with_new(path: Path, kept: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=half_made_prefix(path), dir=path.parent) as private:
        new = Path(private, "new.duckdb")
        with duckdb.connect(str(new), config=NO_EXTENSIONS) as connection:
            create_schema(connection)
            connection.execute(f"ATTACH {text_literal(str(path))} AS old (READ_ONLY)")
            # Whoever made the old file must not have it read others.
            connection.execute("SET enable_external_access = false")
            connection.execute("SET lock_configuration = true")
            connection.execute("BEGIN")
            for table in TABLES:
                _copy(connection, table)
            rebuild_view(connection)
            connection.execute("COMMIT")
            connection.execute("CHECKPOINT")
        new.chmod(path.stat().st_mode & 0o777)
        try:
            os.link(path, kept)
        except FileExistsError:  # somebody else's, made in this moment
            raise
        except OSError:  # a file system without hard links
            shutil.copy2(path, kept)
        put_in_place(new, path)


def _copy(connection: duckdb.DuckDBPyConnection, table: str) -> None:
    """The rows of a table of the old file, in the columns that it has of the new one's.

    A view of that name has none: it is a query of whoever made the file.
    """
    found = connection.execute(
        "SELECT column_name FROM duckdb_columns()"
        " JOIN duckdb_tables() USING (database_name, schema_name, table_name)"
        " WHERE database_name = 'old' AND schema_name = 'main' AND table_name = ?",
        [table],
    ).fetchall()
    if not found:
        return
    old, names = f"old.main.{table}", {name for (name,) in found}
    rows = f"SELECT * FROM {old}"
    if table in _NUMBERED and "number" not in names:
        rows, names = _NUMBERED[table].format(old=old), names | {"number"}
    described = connection.execute(f"DESCRIBE {table}").fetchall()
    shared = ", ".join(f'"{name}"' for name, *_ in described if name in names)
    connection.execute(f"INSERT INTO {table} BY NAME SELECT {shared} FROM ({rows})")
