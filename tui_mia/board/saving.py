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
from typing import IO

from tui_mia.board.errands import Tell
from tui_mia.board.tended import TendedRun
from tui_mia.exit_codes import ExitCode
from tui_mia.runs import Worker

# Short, because whoever waits for the database is told so only then.
WAIT_SECONDS = 1.5
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 15.0


class Saver:
    """Lands runs one after another, and those that find the database locked again and again.

    Each is landed by a process of its own, which goes on when the board leaves:
    it holds the database only as long as it writes, and what it does not get
    done, the next front end does.
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


async def _land(run: TendedRun, database: Path) -> tuple[int, str]:
    """Land a run in another process: its exit code and what it said. Whoever is cancelled leaves it alone."""
    # A file: a process that outlives the board must not die of a pipe that nobody reads.
    with tempfile.TemporaryFile() as said:
        process = Worker(_start(run, database, said))
        try:
            code = await process.wait()
        finally:
            process.leave()
        said.seek(0)
        return code, said.read().decode(errors="replace").strip()


def _start(run: TendedRun, database: Path, stderr: IO[bytes]) -> subprocess.Popen[bytes]:
    what = (str(run.directory.path), str(database), str(WAIT_SECONDS))
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "tui_mia.board.landing_process", *what],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        start_new_session=True,  # or it would die with the terminal
    )


def _how_it_ended(code: int) -> str:
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    return f"the process that was to do it {how}"
