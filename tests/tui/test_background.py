"""Work beside the handlers: replaced without a warning, and told where it fails."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from textual.app import App

from tui_mia.tui.background import in_background


class Telling(App[None]):
    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []

    def say(self, message: str, level: str, *, toast: bool) -> None:
        self.told.append(message)


async def test_what_is_replaced_before_it_begins_leaves_no_coroutine_behind() -> None:
    app, done = Telling(), list[int]()

    async def work(number: int) -> None:
        done.append(number)

    async with app.run_test():
        for number in range(3):
            in_background(app, partial(work, number), in_place_of="work")
        await asyncio.wait_for(asyncio.gather(*(worker.wait() for worker in list(app.workers)[-1:])), 20)
    assert done == [2]


@pytest.mark.parametrize("group", [None, "work"])
async def test_a_failure_is_told_and_ends_nothing(group: str | None) -> None:
    app = Telling()
    ended = asyncio.Event()

    async def broken() -> None:
        try:
            raise RuntimeError("broken")
        finally:
            ended.set()

    async with app.run_test() as pilot:
        in_background(app, broken, in_place_of=group)
        await asyncio.wait_for(ended.wait(), 20)
        await pilot.pause()
        assert app.is_running
    assert app.told == ["RuntimeError: broken"]
