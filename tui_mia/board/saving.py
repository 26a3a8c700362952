"""Brings runs that have ended into the database, however long somebody else holds it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tui_mia.board.errands import Tell
from tui_mia.board.tended import TendedRun
from tui_mia.landing import land
from tui_mia.runs import RunDirectoryError
from tui_mia.store import DatabaseLocked, StoreError

# Short, because the end of the app waits for a thread that waits for the database.
WAIT_SECONDS = 1.5
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 15.0


class Saver:
    """Lands runs one after another, and those that find the database locked again and again."""

    def __init__(self, database: Path, tell: Tell, changed: Callable[[], None]) -> None:
        self._database = database
        self._tell = tell
        self._changed = changed
        self._one_at_a_time = asyncio.Lock()
        self._now = asyncio.Event()

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
                    await asyncio.to_thread(land, run.directory, self._database, WAIT_SECONDS)
            except DatabaseLocked as error:
                self._tell_of_lock(run, error)
            except (StoreError, RunDirectoryError, OSError) as error:
                why = f"it can't be put into the database: {error}"
                self._tell(f"run {run.run_id} has ended, but {why}", "error")
                return why
            else:
                return None
            with suppress(TimeoutError):
                await asyncio.wait_for(self._now.wait(), pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _tell_of_lock(self, run: TendedRun, error: DatabaseLocked) -> None:
        if run.problem is None:
            self._tell(f"run {run.run_id} is not in the database yet, and tried again: {error}", "warning")
        run.problem = f"not in the database yet, and tried again: {error}"
        self._changed()
