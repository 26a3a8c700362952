"""Opening the DuckDB file: one writer or many readers, so everybody waits for a while and holds it briefly.

A connection of this room can't load extensions, reach the network or touch any file but the
database, the Parquet files of its own folder (`dataset.py`) and, for an export, one named folder.
"""

from __future__ import annotations

import fcntl
import glob
import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

import duckdb

from tui_mia.store.dataset import FOLDER_VARIABLE, Dataset, data_folder, require_own_folder
from tui_mia.store.errors import (
    DatabaseLocked,
    DatabaseMissing,
    DatabaseVersion,
    NotADatabase,
    OlderDatabase,
    StoreError,
)
from tui_mia.store.schema import check_version, create_schema, text_literal
from tui_mia.store.turnstile import ahead_of_readers, let_writers_pass, locked

WAIT_SECONDS: Final = 30.0
TRY_AGAIN: Final = "try again"

_FIRST_PAUSE_SECONDS: Final = 0.02
_LONGEST_PAUSE_SECONDS: Final = 0.5

_Config = dict[str, str | bool | int | float | list[str]]

NO_EXTENSIONS: Final[_Config] = {
    "autoload_known_extensions": "false",
    "autoinstall_known_extensions": "false",
    "allow_community_extensions": "false",
    "allow_persistent_secrets": "false",
    "python_enable_replacements": "false",
    # Nor such as are installed: DuckDB would load one for a file that is a database of another kind.
    "extension_directory": os.devnull,
}
# All readers of a process share one setup, because DuckDB refuses a second one on the same file. The
# name keeps them apart from an export, which may write.
_READER: Final[_Config] = {**NO_EXTENSIONS, "custom_user_agent": "tui-mia-reader"}
# With these a commit goes straight into the file, which is private, and not through a .wal beside it,
# which would get the permissions of the umask.
_WRITER: Final[_Config] = {
    **_READER,
    "checkpoint_threshold": "0KB",
    "auto_checkpoint_skip_wal_threshold": "0",
}

# What DuckDB keeps beside a file until its changes are in it, the last two while it takes them in.
_JOURNAL_SUFFIXES: Final = (".wal", ".wal.checkpoint", ".wal.recovery")

# What an app that stays open for hours may take; a command that ends has no limits.
_limits: _Config = {}

_alone_in_this_process = threading.Lock()
# Connections of a process to one file share a database, which the first of them confines.
_confining = threading.Lock()


def limit_memory(memory: str, threads: int) -> None:
    """Let every connection of this process from now on make do with this much memory and these threads.

    One setting for all, because DuckDB refuses a second one on the same file.
    What does not fit goes to a temporary folder beside the database.
    """
    _limits.update(
        memory_limit=memory,
        threads=threads,
        allocator_flush_threshold="1MB",
        allocator_bulk_deallocation_flush_threshold="1MB",
    )


def open_file(path: Path, wait_seconds: float) -> duckdb.DuckDBPyConnection:
    """Open a file read-only, of whatever version it is; the caller closes it."""
    return _open(path, True, _READER, wait_seconds, TRY_AGAIN)


def open_reader(database: Path, wait_seconds: float) -> duckdb.DuckDBPyConnection:
    """Open the file read-only, for one query; the caller closes it."""
    path = _existing(database)
    try:
        return _of_this_version(path, True, _READER, wait_seconds, TRY_AGAIN)
    except duckdb.Error as error:
        raise StoreError(f"{path}: {error}") from error


@contextmanager
def reading(database: Path, wait_seconds: float) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the file read-only for the block, and turn DuckDB's errors into `StoreError`."""
    connection = open_reader(database, wait_seconds)
    try:
        yield connection
    except duckdb.Error as error:
        raise StoreError(f"{database}: {error}") from error
    finally:
        connection.close()


def take_in_journal(path: Path, wait_seconds: float) -> None:
    """Put what somebody who was killed had committed, and left beside the file, into the file.

    Raises:
        StoreError: if it stays beside it; no other file may take the place of this one then.
    """
    beside = [path.with_name(path.name + suffix) for suffix in _JOURNAL_SUFFIXES]
    if not any(journal.exists() for journal in beside):
        return
    try:
        with _open(path, False, _READER, wait_seconds, TRY_AGAIN) as connection:
            connection.execute("CHECKPOINT")
    except duckdb.Error as error:
        raise StoreError(f"{path}: what was last written to it can't be taken in: {error}") from error
    for journal in beside:
        if journal.exists():
            raise StoreError(
                f"{journal} has changes to {path.name} that were not taken in. Open {path.name} with the "
                "program that wrote it last and close it there, then try again."
            )


@contextmanager
def exporting(database: Path, folder: Path, wait_seconds: float) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the file read-only for the block, able to write files in `folder` and nowhere else."""
    path = _existing(database)
    with _alone(path, True, NO_EXTENSIONS, wait_seconds, TRY_AGAIN, folder.resolve()) as connection:
        yield connection


@contextmanager
def file_writer(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection for the block that has no database and can write files in `folder`, and nowhere else."""
    with duckdb.connect(":memory:", config={**NO_EXTENSIONS, **_limits, "threads": 1}) as connection:
        _confine(connection, [folder.resolve()])
        yield connection


@contextmanager
def writing(
    database: Path, wait_seconds: float, when_locked: str = TRY_AGAIN
) -> Iterator[tuple[duckdb.DuckDBPyConnection, Dataset]]:
    """Open the file for the block as its one writer; what the block does is one transaction.

    `when_locked` tells the user what to do about a file that stays locked.
    """
    path = _existing(database)
    with _alone(path, False, _WRITER, wait_seconds, when_locked) as connection:
        dataset = Dataset(connection, path)
        connection.execute("BEGIN")
        try:
            yield connection, dataset
        except BaseException as error:
            dataset.discard()
            if isinstance(error, OSError):
                raise StoreError(f"{data_folder(path)} can't be written: {error}") from error
            raise
        connection.execute("COMMIT")
        connection.execute("CHECKPOINT")
        # What can't be removed now is not listed either, and the next writer tries again.
        with suppress(OSError):
            dataset.sweep()


def create_if_missing(database: Path) -> None:
    """Make the file with its empty tables, readable by its owner only, where there is none.

    It is made in a private folder and then linked into place, so that nobody
    sees half of it and two processes that make it at once end with one file.
    """
    path = _resolved(database)
    if path.exists() and not list(_half_made(path)):
        return
    if not path.parent.is_dir():
        raise StoreError(f"can't make {database}: there is no folder {path.parent}. Make it, or pass --db.")
    with locked(path.parent, fcntl.LOCK_EX, WAIT_SECONDS) as is_alone:
        if is_alone:
            for folder in _half_made(path):
                shutil.rmtree(folder, ignore_errors=True)
        if not path.exists():
            _create(database, path)


def half_made_prefix(path: Path) -> str:
    """How the folders are named in which a file is made that will be the database, beside it."""
    return f".{path.name}.new-"


def _half_made(path: Path) -> Iterator[Path]:
    """What those have left who were killed while they made it, or are making it now."""
    return path.parent.glob(f"{glob.escape(half_made_prefix(path))}*")


def _create(database: Path, path: Path) -> None:
    try:
        with tempfile.TemporaryDirectory(prefix=half_made_prefix(path), dir=path.parent) as private:
            new = Path(private, "new.duckdb")
            with duckdb.connect(str(new), config=_WRITER) as connection:
                create_schema(connection)
            new.chmod(0o600)
            try:
                os.link(new, path)
            except FileExistsError:
                pass
            except OSError:  # a file system without hard links
                os.rename(new, path)
    except (OSError, duckdb.Error) as error:
        raise StoreError(f"can't make {database}: {error}") from error


def _resolved(database: Path) -> Path:
    path = Path(os.path.realpath(database))
    if path.is_symlink():
        raise StoreError(f"{database} is a link that leads back to itself: choose another path with --db.")
    if "?" in str(path):
        raise StoreError(f"DuckDB can't use a path with a question mark ({path}): choose another with --db.")
    return path


def _existing(database: Path) -> Path:
    path = _resolved(database)
    if not path.exists():
        raise DatabaseMissing(
            f"there is no database at {database}: run an audit first, or say with --db where it is."
        )
    return path


def _confine(connection: duckdb.DuckDBPyConnection, folders: list[Path]) -> None:
    """Let a connection, and all others to the same database, touch no files but those in the folders."""
    allowed = ", ".join(text_literal(str(folder)) for folder in folders)
    connection.execute(f"SET allowed_directories = [{allowed}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


@contextmanager
def _alone(
    path: Path, read_only: bool, config: _Config, wait_seconds: float, when_locked: str, *folders: Path
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open with no other writer or export of this process beside us, which would share our settings."""
    deadline = time.monotonic() + wait_seconds
    if not _alone_in_this_process.acquire(timeout=wait_seconds):
        raise DatabaseLocked(_locked_message(path, "this process", wait_seconds, when_locked), os.getpid())
    try:
        left_seconds = deadline - time.monotonic()
        with _of_this_version(path, read_only, config, left_seconds, when_locked, *folders) as connection:
            yield connection
    except duckdb.Error as error:
        raise StoreError(f"{path}: {error}") from error
    finally:
        _alone_in_this_process.release()


def _of_this_version(
    path: Path, read_only: bool, config: _Config, wait_seconds: float, when_locked: str, *folders: Path
) -> duckdb.DuckDBPyConnection:
    """Open a file whose tables are of this version, or will be: who brings it up to date is waited for."""
    deadline = time.monotonic() + wait_seconds
    try:
        return _checked(path, _open(path, read_only, config, wait_seconds, when_locked, *folders))
    except OlderDatabase:
        with locked(path.parent, fcntl.LOCK_SH, wait_seconds):
            pass
    left_seconds = deadline - time.monotonic()
    return _checked(path, _open(path, read_only, config, left_seconds, when_locked, *folders))


def _checked(path: Path, connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    try:
        check_version(connection, path)
    except (duckdb.Error, StoreError):
        connection.close()
        raise
    return connection


def _open(
    path: Path, read_only: bool, config: _Config, wait_seconds: float, when_locked: str, *folders: Path
) -> duckdb.DuckDBPyConnection:
    """Open the file, confined to its own folder and to `folders`."""
    deadline = time.monotonic() + wait_seconds
    open_now = partial(_open_now, path, read_only, config, [require_own_folder(path), *folders])
    if read_only:
        let_writers_pass(path, wait_seconds)
        return _waited_for(path, open_now, deadline, wait_seconds, when_locked)
    with ahead_of_readers(path, wait_seconds):
        return _waited_for(path, open_now, deadline, wait_seconds, when_locked)


def _open_now(path: Path, read_only: bool, config: _Config, folders: list[Path]) -> duckdb.DuckDBPyConnection:
    with _confining:
        connection = duckdb.connect(str(path), read_only=read_only, config={**config, **_limits})
        (is_confined,) = connection.execute("SELECT current_setting('lock_configuration')").fetchone() or ()
        if not is_confined:
            _confine(connection, folders)
    connection.execute(f"SET VARIABLE {FOLDER_VARIABLE} = {text_literal(str(folders[0]))}")
    return connection


def _waited_for(
    path: Path,
    open_now: Callable[[], duckdb.DuckDBPyConnection],
    deadline: float,
    wait_seconds: float,
    when_locked: str,
) -> duckdb.DuckDBPyConnection:
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            return open_now()
        except duckdb.Error as error:
            holder, pid = _holder(error)
            if holder is None:
                raise _explained(path, error) from error
            if time.monotonic() + pause > deadline:
                message = _locked_message(path, holder, wait_seconds, when_locked)
                raise DatabaseLocked(message, pid) from error
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def _holder(error: duckdb.Error) -> tuple[str | None, int | None]:
    """Who holds the file and their process id, if that is what the error is about."""
    text = str(error)
    # The second is what DuckDB says while a thread beside us is just closing or opening the file.
    if "different configuration than existing connections" in text or "is already attached by" in text:
        return "this process", os.getpid()
    if "Could not set lock on file" not in text:
        return None, None
    pid = re.search(r"\(PID (\d+)\)", text)
    return (f"process {pid[1]}", int(pid[1])) if pid else ("another process", None)


def _locked_message(path: Path, holder: str, wait_seconds: float, when_locked: str) -> str:
    return (
        f"{path} is held by {holder} and stayed so for {max(0.0, wait_seconds):.0f} s. Close what has it open"
        f" (a DuckDB shell, a notebook, another tui-mia), then {when_locked}."
    )


def _explained(path: Path, error: duckdb.Error) -> StoreError:
    text = str(error)
    if "not a valid DuckDB database file" in text or re.search(r'Extension ".*" not found', text):
        return NotADatabase(f"{path} is not a DuckDB file. Choose another path with --db.")
    if "database file with version number" in text:
        return DatabaseVersion(f"{path} was written by another version of DuckDB: {text}")
    return StoreError(f"can't open {path}: {text}")
