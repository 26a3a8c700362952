"""Starts, follows and stops workers.

A run is followed by reading its `events.jsonl` as it grows, whoever started it:
the front end that did, one that comes back after a dropped connection, or a
second one that looks on.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator

from tui_mia.private import users_umask
from tui_mia.runs.directory import RunDirectory, RunDirectoryError
from tui_mia.runs.events import LONGEST_LINE, Event, Finished, Launched, decode_event, last_attempt
from tui_mia.runs.space import free_bytes, full_message, is_full

POLL_SECONDS = 0.05
GRACE_SECONDS = 1.2
# Whoever started a worker knows better than an onlooker how it ended, and is given the time to say it.
LAST_WORD_SECONDS = 0.5
# What is read between two turns of the event loop: a few milliseconds' worth of lines.
BYTES_A_TURN = 2**16
# With less than this free a worker may have had no space for its last word.
LAST_WORD_BYTES = 2**15


class NotQueued(RunDirectoryError):  # noqa: N818
    """The run was to be started from the queue, and somebody has taken it out."""


class Worker:
    """The process of a run that this front end started, and that may outlive it.

    Not one of asyncio's: those are killed when their event loop ends.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """How the process ended; None while it lives."""
        return self._process.poll()

    async def wait(self) -> int:
        """Wait for the end of the process."""
        while (returncode := self.returncode) is None:
            await asyncio.sleep(POLL_SECONDS)
        return returncode

    def leave(self) -> None:
        """Give the process up: it goes on alone."""
        if self.returncode is None:
            # Python warns of a child that nobody waited for; nobody means to.
            self._process.returncode = 0


async def start_worker(
    directory: RunDirectory, gpu: str | None = None, *, from_queue: bool = False, verbose: bool = False
) -> Worker | None:
    """Start the worker of a run, in a session of its own, so that it outlives its terminal.

    With `gpu`, the UUID of one, it sees no other; `verbose` makes its log longer. None if
    the run has a worker already, of another front end.

    Raises:
        NotQueued: if it is to be started `from_queue` and isn't queued any more.
    """
    environment = {
        # Threads that spin while they wait cost tenfold on a machine that is shared.
        "OMP_WAIT_POLICY": "PASSIVE",
        # The driver, which the front end asks, counts the GPUs so; CUDA by itself has the fastest first.
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        **os.environ,
    }
    if gpu is not None:
        environment["CUDA_VISIBLE_DEVICES"] = gpu
    with directory.claim() as pid_file, directory.log_path.open("ab") as log:
        if pid_file is None:
            return None
        if from_queue and not directory.queued_path.exists():
            raise NotQueued(f"run {directory.run_id} is not queued any more")
        directory.queued_path.unlink(missing_ok=True)
        directory.landed_path.unlink(missing_ok=True)
        directory.append(Launched(gpu))
        process = subprocess.Popen(
            [
                sys.executable,
                "-P",  # a torch.py in the current folder is not torch
                "-m",
                "tui_mia.worker",
                *directory.worker_arguments,
                *(["--verbose"] if verbose else []),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=environment,
            pass_fds=(pid_file.fileno(),),
            umask=users_umask(),
        )
        pid_file.write(str(process.pid).encode())
    return Worker(process)


async def follow(directory: RunDirectory, worker: Worker | None = None) -> AsyncIterator[Event]:
    """Yield the events of the latest attempt at a run as they come, up to its end.

    Without `worker` it is one that somebody else started. A worker that dies
    without a word ends the run as failed, with the end of its log. However much
    there is to read, others get their turn in between.
    """
    position = await asyncio.to_thread(last_attempt, directory.events_path)
    loop, rest = asyncio.get_running_loop(), b""
    gone_at: float | None = None
    while True:
        ended = worker.returncode is not None if worker else not directory.is_running()
        read = _read(directory, position)
        position += len(read)
        *lines, rest = (rest + read).split(b"\n")
        rest = rest[-LONGEST_LINE:]
        for line in lines:
            event = decode_event(line.decode(errors="replace"))
            if event is not None:
                yield event
                if isinstance(event, Finished):
                    return
        if len(read) == BYTES_A_TURN:
            await asyncio.sleep(0)
            continue
        gone_at = (gone_at or loop.time()) if ended else None
        if gone_at is not None and (worker or loop.time() - gone_at >= LAST_WORD_SECONDS):
            died = _death(directory, worker.returncode if worker else None)
            _write_down(directory, died)
            yield died
            return
        await asyncio.sleep(POLL_SECONDS)


async def stop_worker(directory: RunDirectory) -> None:
    """Cancel a run: ask its worker to stop, then make it; nothing is left running."""
    if not await _signalled(directory, signal.SIGTERM, GRACE_SECONDS):
        # Before the kill: whoever follows must find how it ended once the worker is gone.
        _write_down(directory, Finished("cancelled"))
        await _signalled(directory, signal.SIGKILL, GRACE_SECONDS)
    # The last word, also where the worker had one more before the kill.
    if not directory.is_running() and not isinstance(directory.last_event(), Finished):
        _write_down(directory, Finished("cancelled"))


async def _signalled(directory: RunDirectory, number: signal.Signals, within_seconds: float) -> bool:
    """Signal the worker and its children, once; whether it is gone in time."""
    deadline = asyncio.get_running_loop().time() + within_seconds
    told: int | None = None
    while directory.is_running():
        worker = directory.worker()
        if told is None and worker is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(worker, number)
            told = worker
        if worker not in (None, told):
            return True  # somebody has started the run again, and that worker was not meant
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(POLL_SECONDS)
    return True


def _read(directory: RunDirectory, position: int) -> bytes:
    """What the journal has from `position` on, so much that it can be told in one turn."""
    with contextlib.suppress(FileNotFoundError), directory.events_path.open("rb") as file:
        file.seek(position)
        return file.read(BYTES_A_TURN)
    return b""


def _write_down(directory: RunDirectory, end: Finished) -> None:
    """Keep how a run ended; on a full disk it is one that was cut off, and goes on as any other."""
    try:
        directory.append(end)
    except OSError as error:
        if not is_full(error):
            raise


def _death(directory: RunDirectory, returncode: int | None) -> Finished:
    if returncode == -signal.SIGTERM:
        return Finished("cancelled")  # asked to stop before it could hear it
    if returncode is not None and returncode < 0:
        how = f"was killed by {signal.Signals(-returncode).name}"
    else:
        how = "ended" if returncode is None else f"ended with code {returncode}"
    if (returncode is None or returncode >= 0) and free_bytes(directory.path) < LAST_WORD_BYTES:
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return Finished("failed", f"{full_message(directory.path, full)}; make space", cut_off=True)
    tail = directory.log_tail()
    hint = " (as the system does where memory runs out)" if returncode == -signal.SIGKILL else ""
    error = f"the worker {how} without a word{hint}" + (f"; the end of its log:\n{tail}" if tail else "")
    return Finished("failed", error, cut_off=True)
