"""Work in a thread for someone who types: one piece at a time, and always the newest."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeAlias, TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")
Stop: TypeAlias = Callable[[], bool]


class Latest(Generic[Job, Result]):
    """Works on what was asked for last; what was asked for before is stopped, and what it finds is dropped.

    `work` yields results in a thread, and asks its second argument now and then
    whether to stop; each result reaches `done` on the event loop, unless it is
    the very one before. So `work` may yield often, to be stopped at any time,
    and tell something new seldom. What goes wrong in it is told to `failed`, and
    the next piece is worked on all the same. A thread that doesn't stop holds up
    only the work here, and not the end of the app.
    """

    def __init__(
        self,
        work: Callable[[Job, Stop], Iterator[Result]],
        done: Callable[[Job, Result], None],
        failed: Callable[[Exception], None],
        settle_seconds: float,
    ) -> None:
        self._work, self._done, self._failed, self._settle_seconds = work, done, failed, settle_seconds
        self._asked = asyncio.Event()
        self._job: Job | None = None
        self._turn = 0
        self._closed = False

    def ask(self, job: Job) -> None:
        """Work on this next, once nothing else has been asked for a moment."""
        self._job = job
        self._turn += 1
        self._asked.set()

    async def run(self) -> None:
        """Do what is asked for, until cancelled."""
        try:
            while True:
                await self._asked.wait()
                self._asked.clear()
                await asyncio.sleep(self._settle_seconds)
                if not self._asked.is_set():
                    try:
                        await self._in_thread()
                    except Exception as error:
                        self._failed(error)
        finally:
            self._closed = True

    async def _in_thread(self) -> None:
        job, turn, loop = self._job, self._turn, asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        assert job is not None

        def stop() -> bool:
            return self._closed or turn != self._turn

        def deliver(result: Result) -> None:
            if not stop():
                self._done(job, result)

        def end(error: BaseException | None) -> None:
            if ended.done():
                return
            if error is None:
                ended.set_result(None)
            else:
                ended.set_exception(error)

        def work() -> None:
            failed: BaseException | None = None
            before = None
            try:
                for result in self._work(job, stop):
                    if stop():
                        break
                    if result is not before:
                        before = result
                        loop.call_soon_threadsafe(deliver, result)
            except Exception as error:
                failed = error
            with contextlib.suppress(RuntimeError):  # nobody is there any more
                loop.call_soon_threadsafe(end, failed)

        # A daemon: asyncio's own threads are waited for when the app ends.
        threading.Thread(target=work, name="tui-mia-latest", daemon=True).start()
        await ended
