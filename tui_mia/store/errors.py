"""What can go wrong between tui-mia and its database; every message says where and what to do."""

# The names say what is the case (`DatabaseMissing`), as a reader of an `except` line would put it.
# ruff: noqa: N818

from __future__ import annotations


class StoreError(Exception):
    """Something about the database or a request to it is wrong; the base of all errors of this room."""


class DatabaseMissing(StoreError):
    """There is no file at the path."""


class NotADatabase(StoreError):
    """The file is no DuckDB file, or one that tui-mia did not make."""


class DatabaseVersion(StoreError):
    """The file's tables are those of another version of tui-mia."""


class OlderDatabase(DatabaseVersion):
    """The file is of an earlier `version`, and can be brought up to this one."""

    def __init__(self, message: str, version: int) -> None:
        super().__init__(message)
        self.version = version


class DatabaseLocked(StoreError):
    """Somebody else held the file for longer than we wait; `pid` is theirs, where DuckDB tells it."""

    def __init__(self, message: str, pid: int | None = None) -> None:
        super().__init__(message)
        self.pid = pid


class DatabaseFull(StoreError):
    """There is no space for what was to be written; the file is as it was."""


class RunNotFound(StoreError):
    """No run, or more than one, fits the reference."""


class SampleNotFound(StoreError):
    """The run has no such sample."""


class Interrupted(StoreError):
    """Whoever asked does not want the answer any more."""


class QueryError(StoreError):
    """The user's SQL is wrong, or asks for what a query may not do."""


class ExportError(StoreError):
    """The export can't be written as asked."""


def is_interrupt(error: Exception) -> bool:
    """Whether this is Ctrl+C, which DuckDB passes on as an error where it came while a statement ran."""
    return isinstance(error, Interrupted) or str(error) == "Query interrupted"
