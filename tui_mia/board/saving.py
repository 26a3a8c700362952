"""Brings runs that have ended into the database, however long somebody else holds it."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from tui_mia.board.errands import Tell
from tui_mia.board.tended import TendedRun
from tui_mia.exit_codes import ExitCode
from tui_mia.landing import keep_below_limit, land
from tui_mia.runs import RunDirectory, RunDirectoryError, Worker
from tui_mia.store import DatabaseLocked, StoreError

LANDING_PROCESS: Final = "tui_mia.board.landing_process"
# Short, because the end of the app waits for a thread that waits for the database.
WAIT_SECONDS = 1.5
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 15.0


class Saver:
    """Lands runs one after another, and those that find the database locked again and again.

    One with tables is landed by a process of its own, which goes on when the
    board leaves; what it does not get done, the next front end does.
    """

    def __init__(self, database: Path, tell: Tell, changed: Callable[[], None]) -> None:
        self._database = database
        self._tell = tell
        self._changed = changed
        self._one_at_a_time = asyncio.Lock()
        self._now = asyncio.Event()

    @property
    def is_writing(self) -> bool:
        """Whether it is this board that has the database, or is about to."""
        return self._one_at_a_time.locked()

    def try_now(self) -> None:
        """Try again at once what waits for the database."""
        self._now.set()
        self._now.clear()

    async def save(self, run: TendedRun) -> str | None:
        """Land a run; why it can't be landed, where waiting does not help."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                async with self._one_at_a_time:
                    code, said = await _land(run, self._database)
            except OSError as error:
                code, said = ExitCode.FAILED, str(error)
            if code == ExitCode.DONE:
                if said:
                    self._tell(said, "info")
                return None
            if code != ExitCode.LOCKED:
                why = f"it can't be put into the database: {said or _how_it_ended(code)}"
                self._tell(f"run {run.run_id} has ended, but {why}", "error")
                return why
            self._tell_of_lock(run, said)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._now.wait(), pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _tell_of_lock(self, run: TendedRun, why: str) -> None:
        if run.problem is None:
            self._tell(f"run {run.run_id} is not in the database yet, and tried again: {why}", "warning")
        run.problem = f"not in the database yet, and tried again: {why}"
        self._changed()


def try_to_land(directory: RunDirectory, database: Path, wait_seconds: float) -> tuple[ExitCode, str]:
    """Land a run: how that ended, and what is wrong or else to be told."""
    try:
        land(directory, database, wait_seconds)
    except DatabaseLocked as error:
        return ExitCode.LOCKED, str(error)
    except (StoreError, RunDirectoryError, OSError) as error:
        return ExitCode.FAILED, str(error)
    return ExitCode.DONE, "\n".join(keep_below_limit(database))


async def _land(run: TendedRun, database: Path) -> tuple[int, str]:
    """The same on the event loop; the code may be that of a process that was killed."""
    directory = run.directory
    if await asyncio.to_thread(_has_tables, directory):
        return await _land_in_a_process(directory, database)
    # One that was cancelled is but a row.
    return await asyncio.to_thread(try_to_land, directory, database, WAIT_SECONDS)


def _has_tables(directory: RunDirectory) -> bool:
    return any(directory.tables.glob("*.parquet"))


async def _land_in_a_process(directory: RunDirectory, database: Path) -> tuple[int, str]:
    """Whoever is cancelled meanwhile leaves the process to its work."""
    # A file: a process that outlives the board must not die of a pipe that nobody reads.
    with tempfile.TemporaryFile() as said:
        process = Worker(_start(directory, database, said))
        try:
            code = await process.wait()
        finally:
            process.leave()
        said.seek(0)
        return code, said.read().decode(errors="replace").strip()


def _start(directory: RunDirectory, database: Path, stderr: IO[bytes]) -> subprocess.Popen[bytes]:
    what = (str(directory.path), str(database), str(WAIT_SECONDS))
    return subprocess.Popen(
        [sys.executable, "-P", "-m", LANDING_PROCESS, *what],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        start_new_session=True,  # or it would die with the terminal
    )


def _how_it_ended(code: int) -> str:
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    return f"the process that was to do it {how}"
