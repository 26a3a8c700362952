"""A run without the terminal app: start or join its worker, show it, land it."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import signal
from asyncio.subprocess import Process

from tui_mia.display import Display
from tui_mia.landing import land
from tui_mia.runs import (
    Finished,
    RunDirectory,
    RunDirectoryError,
    find_unfinished,
    follow,
    start_worker,
    stop_worker,
)
from tui_mia.runs.identity import inputs_digest
from tui_mia.spec import AuditSpec
from tui_mia.store import StoreError


def open_run(spec: AuditSpec, display: Display, *, new: bool) -> RunDirectory:
    """The unfinished run of the same spec on the same files; a new one if there is none, or with `new`."""
    inputs = inputs_digest(spec)
    unfinished = None if new else find_unfinished(spec, inputs)
    if unfinished is None:
        return RunDirectory.create(spec, inputs)
    how = "joining" if unfinished.is_running() else "resuming"
    display.say(f"{how} run {unfinished.run_id} of the same spec; --new starts afresh")
    return unfinished


def open_again(directory: RunDirectory, display: Display) -> RunDirectory:
    """A run that was cut off, to go on with.

    Raises:
        RunDirectoryError: if its input files are not what they were: half a run
            on one state of them and half on another would be no audit.
    """
    if not directory.is_running():
        last = directory.last_event()
        if isinstance(last, Finished) and last.status == "done":
            raise RunDirectoryError(
                f"run {directory.run_id} is done; see it: tui-mia show {directory.run_id}"
            )
        if directory.inputs_path.read_text() != inputs_digest(directory.spec()):
            raise RunDirectoryError(
                f"{directory.path}: its input files have changed since; "
                f"start afresh: tui-mia run {shlex.quote(str(directory.spec_path))} --new"
            )
        display.say(f"resuming run {directory.run_id}")
    return directory


def carry_out(directory: RunDirectory, display: Display) -> Finished:
    """See a run through to its end, whoever started it, and land it in its database.

    Ctrl+C and SIGTERM cancel the run: its worker is gone within two seconds.

    Raises:
        StoreError: if the database can't be had; the run directory keeps everything.
    """
    finished = asyncio.run(_see_through(directory, display))
    if finished.status == "cancelled":
        # Whoever cancels wants to leave; the next command lands what could not be landed now.
        with contextlib.suppress(StoreError):
            land(directory, wait_seconds=0.2)
    else:
        land(directory)
    return finished


async def _see_through(directory: RunDirectory, display: Display) -> Finished:
    loop, cancelled = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, cancelled.set)
    # Before anything can be cancelled: a worker must be there to be stopped.
    process = await start_worker(directory)
    following = asyncio.create_task(_follow(directory, process, display))
    cancelling = asyncio.create_task(cancelled.wait())
    await asyncio.wait({following, cancelling}, return_when=asyncio.FIRST_COMPLETED)
    if not following.done():
        display.say("cancelling")
        await stop_worker(directory)
    cancelling.cancel()
    return await following


async def _follow(directory: RunDirectory, process: Process | None, display: Display) -> Finished:
    async for event in follow(directory, process):
        display.show(event)
        if isinstance(event, Finished):
            if process is not None:
                await process.wait()
            return event
    raise AssertionError("following a run ends with its end")
