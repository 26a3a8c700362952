"""A run without the terminal app: start or join its worker, show it, land it."""

from __future__ import annotations

import asyncio
import contextlib
import signal

from tui_mia.display import Display
from tui_mia.landing import keep_below_limit, land
from tui_mia.runs import Finished, RunDirectory, Worker, follow, opening, start_worker, stop_worker, tasks
from tui_mia.runs.tasks import TaskDirectory
from tui_mia.spec import AuditSpec
from tui_mia.store import DatabaseFull, StoreError


def open_run(spec: AuditSpec, display: Display, *, new: bool) -> RunDirectory:
    """The unfinished run of the same spec on the same files; a new one if there is none, or with `new`."""
    opened = opening.open_run(spec, new=new)
    if opened.how != "starting":
        display.say(f"{opened.how} run {opened.directory.run_id} of the same spec; --new starts afresh")
    return opened.directory


def open_again(directory: RunDirectory, display: Display) -> RunDirectory:
    """A run that was cut off, to go on with.

    Raises:
        RunDirectoryError: if it is done or its input files have changed.
    """
    opened = opening.open_again(directory)
    if opened.how == "resuming":
        display.say(f"resuming run {directory.run_id}")
    return opened.directory


def open_task(spec: AuditSpec, index: int, count: int, display: Display) -> TaskDirectory:
    """Task `index` of `count` of the unfinished run of a spec, which the first of them makes.

    Raises:
        RunDirectoryError: if that can't be, or the task goes on already.
    """
    task = tasks.open_task(spec, index, count)
    display.say(f"task {index} of {count} of run {task.run_id}")
    return task


def do_task(task: TaskDirectory, display: Display, *, verbose: bool = False) -> Finished:
    """See a task through to its end; Ctrl+C and SIGTERM cancel it."""
    return asyncio.run(_see_through(task, display, verbose))


def carry_out(directory: RunDirectory, display: Display, *, verbose: bool = False) -> Finished:
    """See a run through to its end, whoever started it, and land it in its database.

    A worker that is started for it writes a `verbose` log or a short one.
    Ctrl+C and SIGTERM cancel the run: its worker is gone within two seconds.

    Raises:
        StoreError: if the database can't be had; the run directory keeps everything.
    """
    finished = asyncio.run(_see_through(directory, display, verbose))
    if finished.status == "cancelled":
        # Whoever cancels wants to leave; the next command lands what could not be landed now.
        with contextlib.suppress(StoreError):
            land(directory, wait_seconds=0.2)
        return finished
    try:
        database = land(directory)
    except DatabaseFull:
        # Why a run failed is worth more than that its row has no space, which is for the same reason.
        if finished.status == "done":
            raise
        return finished
    for message in keep_below_limit(database):
        display.say(message)
    return finished


async def _see_through(directory: RunDirectory, display: Display, verbose: bool) -> Finished:
    loop, cancelled = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, cancelled.set)
    # Before anything can be cancelled: a worker must be there to be stopped.
    worker = await start_worker(directory, verbose=verbose)
    following = asyncio.create_task(_follow(directory, worker, display))
    cancelling = asyncio.create_task(cancelled.wait())
    await asyncio.wait({following, cancelling}, return_when=asyncio.FIRST_COMPLETED)
    if not following.done():
        display.say("cancelling")
        await stop_worker(directory)
    cancelling.cancel()
    return await following


async def _follow(directory: RunDirectory, worker: Worker | None, display: Display) -> Finished:
    async for event in follow(directory, worker):
        display.show(event)
        if isinstance(event, Finished):
            if worker is not None:
                await worker.wait()
            return event
    raise AssertionError("following a run ends with its end")
