"""Asks the store in a thread: who stops waiting stops the query, and who finds it locked goes on trying."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Final, TypeVar

import psutil

from tui_mia.board.saving import LANDING_PROCESS
from tui_mia.store import DatabaseLocked, QueryHandle

SECONDS_BETWEEN_TRIES: Final = 1.0

Answer = TypeVar("Answer")


async def ask(question: Callable[[QueryHandle], Answer]) -> Answer:
    """The answer of the store; when the task is cancelled, so is the query."""
    handle = QueryHandle()
    try:
        return await asyncio.to_thread(question, handle)
    finally:
        handle.interrupt()


async def ask_patiently(
    question: Callable[[QueryHandle], Answer], on_locked: Callable[[DatabaseLocked], None]
) -> Answer:
    """As `ask`, again and again while somebody else has the database; `on_locked` hears of it."""
    while True:
        try:
            return await ask(question)
        except DatabaseLocked as error:
            on_locked(error)
        await asyncio.sleep(SECONDS_BETWEEN_TRIES)


def who_holds_it(locked: DatabaseLocked) -> str:
    """What a user can do about a database that somebody else has."""
    if locked.pid is not None and _puts_a_run_in(locked.pid):
        return "The database is being written; the samples are shown as soon as that is done."
    holder = f"process {locked.pid}" if locked.pid else "another process"
    return (
        f"The database is held by {holder}. Close what has it open (a DuckDB shell, a notebook, another"
        " tui-mia); the samples are shown as soon as it is free."
    )


def _puts_a_run_in(pid: int) -> bool:
    """Whether a process has the database to put a run into it, for this app or another."""
    try:
        return pid == os.getpid() or LANDING_PROCESS in psutil.Process(pid).cmdline()
    except psutil.Error:
        return False
