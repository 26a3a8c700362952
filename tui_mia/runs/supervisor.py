"""Starts, follows and stops workers.

A run is followed by reading its `events.jsonl` as it grows, whoever started it:
the front end that did, one that comes back after a dropped connection, or a
second one that looks on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator

from tui_mia.runs.directory import RunDirectory
from tui_mia.runs.events import Event, Finished, Launched, decode_event, last_attempt
from tui_mia.runs.state import RunState

POLL_SECONDS = 0.05
GRACE_SECONDS = 1.2


async def start_worker(directory: RunDirectory) -> asyncio.subprocess.Process | None:
    """Start the worker of a run, in a session of its own, so that it outlives its terminal.

    None if the run has a worker already, of another front end.
    """
    # Threads that spin while they wait cost tenfold on a machine that is shared.
    environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}
    with directory.claim() as pid_file, directory.log_path.open("ab") as log:
        if pid_file is None:
            return None
        directory.landed_path.unlink(missing_ok=True)
        directory.append(Launched())
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # a torch.py in the current folder is not torch
            "-m",
            "tui_mia.worker",
            str(directory.path),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=environment,
            pass_fds=(pid_file.fileno(),),
        )
        pid_file.write(str(process.pid).encode())
    return process


async def follow(
    directory: RunDirectory, process: asyncio.subprocess.Process | None = None
) -> AsyncIterator[Event]:
    """Yield the events of the latest attempt at a run as they come, up to its end.

    Without `process` the worker is one that somebody else started. A worker
    that dies without a word ends the run as failed, with the end of its log.
    """
    position, rest = last_attempt(directory.events_path), b""
    while True:
        ended = process.returncode is not None if process else not directory.is_running()
        with contextlib.suppress(FileNotFoundError), directory.events_path.open("rb") as file:
            file.seek(position)
            read = file.read()
            position += len(read)
            *lines, rest = (rest + read).split(b"\n")
            for line in lines:
                event = decode_event(line.decode(errors="replace"))
                if event is not None:
                    yield event
                    if isinstance(event, Finished):
                        return
        if ended:
            died = _death(directory, process.returncode if process else None)
            directory.append(died)
            yield died
            return
        await asyncio.sleep(POLL_SECONDS)


async def stop_worker(directory: RunDirectory) -> None:
    """Cancel a run: ask its worker to stop, then make it; nothing is left running."""
    if not await _signalled(directory, signal.SIGTERM, GRACE_SECONDS):
        # Before the kill: whoever follows must find how it ended once the worker is gone.
        directory.append(Finished("cancelled"))
        await _signalled(directory, signal.SIGKILL, GRACE_SECONDS)
    if RunState.of(directory.events()).finished is None:
        directory.append(Finished("cancelled"))


async def _signalled(directory: RunDirectory, number: signal.Signals, within_seconds: float) -> bool:
    """Signal the worker and its children, once; whether it is gone in time."""
    deadline = asyncio.get_running_loop().time() + within_seconds
    told = False
    while directory.is_running():
        worker = directory.worker()
        if worker is not None and not told:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(worker, number)
            told = True
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(POLL_SECONDS)
    return True


def _death(directory: RunDirectory, returncode: int | None) -> Finished:
    if returncode == -signal.SIGTERM:
        return Finished("cancelled")  # asked to stop before it could hear it
    if returncode is not None and returncode < 0:
        how = f"was killed by {signal.Signals(-returncode).name}"
    else:
        how = "ended" if returncode is None else f"ended with code {returncode}"
    tail = directory.log_tail()
    error = f"the worker {how} without a word" + (f"; the end of its log:\n{tail}" if tail else "")
    return Finished("failed", error, cut_off=True)
