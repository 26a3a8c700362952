"""What the board does beside everything else: its tasks, and its calls of what reads and writes files."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Coroutine
from typing import Any, Literal, ParamSpec, TypeAlias, TypeVar

from tui_mia.runs import RunDirectoryError

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")
Tell: TypeAlias = Callable[[str, Literal["info", "warning", "error"]], None]


class Errands:
    """Tasks that nobody waits for: a defect in one is told, and all end together."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def end(self) -> None:
        """Cancel what is left."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._tell(f"a defect of tui-mia:\n{''.join(traceback.format_exception(error))}", "error")


async def in_thread(
    function: Callable[Arguments, Answer], *arguments: Arguments.args, **options: Arguments.kwargs
) -> Answer:
    """Call what reads or writes files of a run without holding up the event loop.

    Raises:
        RunDirectoryError: also where a file can't be had.
    """
    try:
        return await asyncio.to_thread(function, *arguments, **options)
    except OSError as error:
        raise RunDirectoryError(f"{error.filename or 'the run directory'}: {error.strerror}") from None
