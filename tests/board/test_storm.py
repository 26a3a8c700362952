"""A run that never stops talking: the board hears all of it, and nobody has to wait."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.board.conftest import until
from tui_mia.board import Board
from tui_mia.runs import Finished, Launched, Note, Progress, RunDirectory
from tui_mia.runs.events import encode_event
from tui_mia.runs.state import NOTES_KEPT
from tui_mia.spec import AuditSpec

LINES = 100_000
HOLD = "import sys; print('ready', flush=True); sys.stdin.readline()"


@pytest.fixture
def talker(tiny_audit: AuditSpec) -> Iterator[RunDirectory]:
    """A run with something that lives in the place of its worker."""
    directory = RunDirectory.create(tiny_audit, "")
    with directory.claim() as pid_file:
        assert pid_file is not None
        directory.append(Launched())
        child = subprocess.Popen(
            [sys.executable, "-c", HOLD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            pass_fds=(pid_file.fileno(),),
        )
        pid_file.write(str(child.pid).encode())
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    yield directory
    child.communicate("\n")


async def longest_wait(stop: asyncio.Event) -> float:
    """The longest that something else on the event loop had to wait for its turn, in seconds."""
    longest = 0.0
    while not stop.is_set():
        began = time.monotonic()
        await asyncio.sleep(0.005)
        longest = max(longest, time.monotonic() - began - 0.005)
    return longest


async def test_a_storm_of_events_leaves_everybody_else_their_turn(board: Board, talker: RunDirectory) -> None:
    await board.refresh()
    storm = "".join(
        encode_event(
            Note(f"pair {number}") if number % 2 else Progress("encode", number / LINES, number, number)
        )
        + "\n"
        for number in range(LINES)
    )
    run_id, stop = talker.run_id, asyncio.Event()
    waiting = asyncio.create_task(longest_wait(stop))
    with talker.events_path.open("a") as file:
        await asyncio.to_thread(file.write, storm)
    await until(lambda: (run := board.run(run_id)) and run.state and run.state.rejects == LINES - 2)
    stop.set()
    assert await waiting < 0.25
    run = board.run(run_id)
    assert run is not None
    assert run.state is not None
    assert (run.status, len(run.state.notes)) == ("running", NOTES_KEPT)
    assert run.state.notes[-1].message == f"pair {LINES - 1}"


async def test_a_storm_is_over_when_the_run_is(board: Board, talker: RunDirectory) -> None:
    """Who comes late reads it all from the disk."""
    with talker.events_path.open("a") as file:
        file.writelines(f"{encode_event(Note(str(number)))}\n" for number in range(LINES // 4))
    talker.append(Finished("failed", "it said too much"))
    await board.refresh()
    await until(lambda: (run := board.run(talker.run_id)) and run.state is not None and run.state.finished)
