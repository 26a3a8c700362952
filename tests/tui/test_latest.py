"""One piece of work at a time, and always the newest."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest

from tui_mia.tui.latest import Latest

SECONDS = 20


class Bench:
    """Work that waits until it is let go, and what came of it."""

    def __init__(self) -> None:
        self.begun: asyncio.Queue[str] = asyncio.Queue()
        self.done: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self.failed: asyncio.Queue[Exception] = asyncio.Queue()
        self.stopped: list[str] = []
        self.go = threading.Event()
        self._loop = asyncio.get_running_loop()
        self.latest: Latest[str, str] = Latest(self._work, self._take, self.failed.put_nowait, 0.0)

    def _work(self, job: str, stop: Callable[[], bool]) -> Iterator[str]:
        self._loop.call_soon_threadsafe(self.begun.put_nowait, job)
        if job == "broken":
            raise RuntimeError("broken")
        if job == "slow":
            assert self.go.wait(SECONDS)
        if stop():
            self.stopped.append(job)
        yield f"{job} 1"
        yield f"{job} 2"

    def _take(self, job: str, result: str) -> None:
        self.done.put_nowait((job, result))

    async def next_begun(self) -> str:
        return await asyncio.wait_for(self.begun.get(), SECONDS)

    async def next_done(self) -> tuple[str, str]:
        return await asyncio.wait_for(self.done.get(), SECONDS)


async def test_each_result_arrives_in_order() -> None:
    bench = Bench()
    running = asyncio.create_task(bench.latest.run())
    bench.latest.ask("a")
    assert [await bench.next_done(), await bench.next_done()] == [("a", "a 1"), ("a", "a 2")]
    running.cancel()


async def test_only_the_newest_of_what_was_asked_meanwhile_is_done_and_the_old_is_dropped() -> None:
    bench = Bench()
    running = asyncio.create_task(bench.latest.run())
    bench.latest.ask("slow")
    assert await bench.next_begun() == "slow"
    bench.latest.ask("skipped")
    bench.latest.ask("new")
    assert bench.begun.empty(), "one at a time"
    bench.go.set()
    assert await bench.next_done() == ("new", "new 1")
    assert await bench.next_begun() == "new"
    assert bench.stopped == ["slow"]
    running.cancel()


async def test_work_that_does_not_stop_holds_up_nobody_who_leaves() -> None:
    bench = Bench()
    running = asyncio.create_task(bench.latest.run())
    bench.latest.ask("slow")
    await bench.next_begun()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, SECONDS)
    bench.go.set()


async def test_an_error_is_told_and_the_next_piece_is_done() -> None:
    bench = Bench()
    running = asyncio.create_task(bench.latest.run())
    bench.latest.ask("broken")
    assert str(await asyncio.wait_for(bench.failed.get(), SECONDS)) == "broken"
    bench.latest.ask("a")
    assert await bench.next_done() == ("a", "a 1")
    running.cancel()


async def test_the_same_result_again_is_only_a_chance_to_stop() -> None:
    told: asyncio.Queue[object] = asyncio.Queue()
    first, second = object(), object()

    def work(_: str, stop: Callable[[], bool]) -> Iterator[object]:
        yield from [first] * 1000
        yield second

    latest = Latest(work, lambda _, result: told.put_nowait(result), told.put_nowait, 0.0)
    running = asyncio.create_task(latest.run())
    latest.ask("a")
    assert await asyncio.wait_for(told.get(), SECONDS) is first
    assert await asyncio.wait_for(told.get(), SECONDS) is second
    running.cancel()
