"""What there is to see of a database's runs: its file and the folder beside it, read in a thread."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from tui_mia.runs import RunDirectory, RunState
from tui_mia.runs.directory import runs_folder
from tui_mia.runs.scan import FoundRun, scan
from tui_mia.store import DatabaseLocked, DatabaseMissing, RunOverview, StoreError, list_runs

DatabaseStamp: TypeAlias = tuple[int, int, int] | None

# A look is taken every few seconds: whoever holds the file now will have let go by one of them.
WAIT_SECONDS = 0.5
LOG_LINES = 10


@dataclass(frozen=True)
class Journal:
    """What the directory of a run that the database can't tell of has to say."""

    found: FoundRun
    spec_text: str
    state: RunState
    log_tail: str


@dataclass(frozen=True)
class Sight:
    """The runs of a database at one moment, by id: as stored in it, and as found in its folder.

    `database_problem` says why the database could not be read; what was stored
    is then what the last look that could read it found.
    """

    stored: dict[str, RunOverview] = field(default_factory=dict)
    found: dict[str, FoundRun] = field(default_factory=dict)
    journals: dict[str, Journal] = field(default_factory=dict)
    stamp: DatabaseStamp = None
    database_problem: str | None = None
    is_locked: bool = False
    bad_runs: tuple[str, ...] = ()
    """What is wrong with the directories that can't be looked at."""


def look_around(database: Path, before: Sight) -> Sight:
    """Look at the database and its folder; what has not changed since `before` is not read again."""
    # The folder first: a run that lands in between is seen twice rather than not at all.
    bad_runs: list[str] = []
    found = scan(runs_folder(database), before.found, bad_runs.append)
    stamp = _stamp(database)
    stored, problem, is_locked = before.stored, before.database_problem, before.is_locked
    if stamp != before.stamp or is_locked:
        stored, problem, is_locked = _stored(database, before.stored)
    journals = {
        run_id: _journal(run, before.journals.get(run_id))
        for run_id, run in found.items()
        if run_id not in stored or run.finished is None or run.queued_at is not None
    }
    return Sight(stored, found, journals, stamp, problem, is_locked, tuple(bad_runs))


def _stored(
    database: Path, before: dict[str, RunOverview]
) -> tuple[dict[str, RunOverview], str | None, bool]:
    try:
        return {overview.run.run_id: overview for overview in list_runs(database, WAIT_SECONDS)}, None, False
    except DatabaseMissing:
        return {}, None, False
    except StoreError as error:
        return before, str(error), isinstance(error, DatabaseLocked)


def _journal(found: FoundRun, before: Journal | None) -> Journal:
    if before is not None and before.found == found:
        return before
    directory = found.directory
    try:
        state, log_tail = _state(found), directory.log_tail(LOG_LINES)
    except OSError as error:
        state, log_tail = RunState(), f"(its directory can't be read: {error})"
    return Journal(found, spec_text(directory), state, log_tail)


def _state(found: FoundRun) -> RunState:
    # Of a run that goes on, whoever follows it will tell.
    return RunState() if found.is_running else RunState.of(found.directory.events())


def spec_text(directory: RunDirectory) -> str:
    """The spec of a run as it is written; nothing where it can't be read."""
    with contextlib.suppress(OSError):
        return directory.spec_path.read_text(encoding="utf-8", errors="replace")
    return ""


def _stamp(database: Path) -> DatabaseStamp:
    try:
        status = database.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
