"""A run without the terminal app: start or join its worker, show it, land it."""

from __future__ import annotations

import asyncio
import signal

from tui_mia.display import Display
from tui_mia.landing import land
from tui_mia.runs import Finished, RunDirectory, find_unfinished, follow, start_worker, stop_worker
from tui_mia.runs.identity import inputs_digest
from tui_mia.spec import AuditSpec


def open_run(spec: AuditSpec, display: Display, *, new: bool) -> RunDirectory:
    """The unfinished run of the same spec on the same files; a new one if there is none, or with `new`."""
    inputs = inputs_digest(spec)
    unfinished = None if new else find_unfinished(spec, inputs)
    if unfinished is None:
        return RunDirectory.create(spec, inputs)
    how = "joining" if unfinished.worker() else "resuming"
    display.say(f"{how} run {unfinished.run_id} of the same spec; --new starts afresh")
    return unfinished


def carry_out(directory: RunDirectory, display: Display) -> Finished:
    """See a run through to its end, whoever started it, and land it in its database.

    Ctrl+C and SIGTERM cancel the run: its worker is gone within two seconds.

    Raises:
        StoreError: if the database can't be had; the run directory keeps everything.
    """
    finished = asyncio.run(_see_through(directory, display))
    land(directory)
    return finished


async def _see_through(directory: RunDirectory, display: Display) -> Finished:
    loop, cancelled = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, cancelled.set)
    following = asyncio.create_task(_follow(directory, display))
    cancelling = asyncio.create_task(cancelled.wait())
    await asyncio.wait({following, cancelling}, return_when=asyncio.FIRST_COMPLETED)
    if not following.done():
        display.say("cancelling")
        await stop_worker(directory)
    cancelling.cancel()
    return await following


async def _follow(directory: RunDirectory, display: Display) -> Finished:
    process, from_byte = None, 0
    if directory.worker() is None:
        from_byte = directory.events_path.stat().st_size if directory.events_path.exists() else 0
        process = await start_worker(directory)
    async for event in follow(directory, process, from_byte):
        display.show(event)
        if isinstance(event, Finished):
            if process is not None:
                await process.wait()
            return event
    raise AssertionError("following a run ends with its end")
