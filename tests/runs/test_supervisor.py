"""Real workers: started, followed, stopped and killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tui_mia.runs import (
    Event,
    Finished,
    Launched,
    Loaded,
    Note,
    NotQueued,
    Progress,
    RunDirectory,
    RunState,
    Started,
    follow,
    start_worker,
    stop_worker,
)
from tui_mia.runs.identity import inputs_digest
from tui_mia.spec import load_spec

DEADLINE_SECONDS = 60


@pytest.fixture
def directory(small_audit: Path, tmp_path: Path) -> RunDirectory:
    """A run that nobody has started."""
    spec = load_spec(small_audit, {"output.database": str(tmp_path / "audits.duckdb")})
    return RunDirectory.create(spec, inputs_digest(spec))


async def until(events: AsyncIterator[Event], kind: type[Event]) -> Event:
    """Read events up to one of a kind."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        async for event in events:
            if isinstance(event, kind):
                return event
    raise AssertionError(f"no {kind.__name__}")


async def carried_out(directory: RunDirectory) -> Event:
    """The end of a run that is left to itself."""
    process = await start_worker(directory)
    assert process is not None
    end = await until(follow(directory, process), Finished)
    await process.wait()
    return end


def test_a_worker_that_is_asked_to_stop_while_it_imports_torch_is_gone_at_once(
    directory: RunDirectory,
) -> None:
    async def scenario() -> tuple[Event, Event, float]:
        process = await start_worker(directory)
        assert process is not None
        # A second front end joins the first one's worker.
        assert await start_worker(directory) is None
        assert directory.worker() == process.pid
        events, joined = follow(directory, process), follow(directory)
        progress = await until(events, Progress)
        assert isinstance(progress, Progress)
        assert progress.phase == "start"
        begin = time.monotonic()
        await stop_worker(directory)
        took = time.monotonic() - begin
        ends = await until(events, Finished), await until(joined, Finished)
        await process.wait()
        return *ends, took

    end, seen_by_other, seconds = asyncio.run(scenario())
    assert isinstance(end, Finished)
    assert end.status == "cancelled"
    assert end == seen_by_other
    assert seconds < 2.5
    assert not directory.is_running()
    assert RunState.of(directory.events()).finished == end


def test_a_worker_that_is_killed_ends_its_run_as_failed_also_the_second_time(directory: RunDirectory) -> None:
    async def attempt() -> Event:
        process = await start_worker(directory)
        assert process is not None
        events = follow(directory, process)
        started = await until(events, Started)
        assert isinstance(started, Started)
        assert started.pid == process.pid
        os.kill(process.pid, signal.SIGKILL)
        end = await until(events, Finished)
        await process.wait()
        return end

    for attempts in (1, 2):
        end = asyncio.run(attempt())
        assert isinstance(end, Finished)
        assert end.status == "failed"
        assert str(end.error).startswith("the worker was killed by SIGKILL without a word")
        assert RunState.of(directory.events()).finished == end
        assert [type(event) for event in directory.events()].count(Launched) == attempts


def test_a_spec_that_went_bad_fails_the_run_in_words(directory: RunDirectory, world: Path) -> None:
    text = directory.spec_path.read_text().replace("candidates.tar", "gone.tar")
    directory.spec_path.write_text(text)

    end = asyncio.run(carried_out(directory))
    assert isinstance(end, Finished)
    assert end.status == "failed"
    assert end.error is not None
    assert "pools.candidates.source: no file or folder matches" in end.error


def test_a_worker_that_cannot_even_start_fails_the_run_with_the_end_of_its_log(
    directory: RunDirectory,
) -> None:
    directory.spec_path.unlink()

    end = asyncio.run(carried_out(directory))
    assert isinstance(end, Finished)
    assert end.error is not None
    assert end.error.startswith("the worker ended with code 1 without a word; the end of its log:\n")
    assert "RunDirectoryError" in end.error


def test_a_module_in_the_current_folder_does_not_stand_in_for_an_installed_one(
    directory: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "psutil.py").write_text("raise SystemExit('imported from the current folder')")
    monkeypatch.chdir(tmp_path)

    async def scenario() -> Event:
        process = await start_worker(directory)
        assert process is not None
        started = await until(follow(directory, process), Started)
        await stop_worker(directory)
        await process.wait()
        return started

    assert isinstance(asyncio.run(scenario()), Started)


def test_stopping_a_run_without_a_worker_marks_it_cancelled_once(directory: RunDirectory) -> None:
    for _ in range(2):
        asyncio.run(stop_worker(directory))
    assert [type(event) for event in directory.events()] == [Finished]
    assert RunState.of(directory.events()).finished == directory.events()[0]


STUBBORN = """
import signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
sys.stdin.readline()
"""

OBEDIENT = """
import sys
print("ready", flush=True)
sys.stdin.readline()
"""


@contextlib.contextmanager
def stand_in(directory: RunDirectory, program: str) -> Iterator[subprocess.Popen[str]]:
    """A process in the place of the worker."""
    with directory.claim() as pid_file:
        assert pid_file is not None
        directory.append(Launched())
        child = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            pass_fds=(pid_file.fileno(),),
        )
        pid_file.write(str(child.pid).encode())
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def test_a_worker_that_does_not_listen_is_killed_within_two_seconds(directory: RunDirectory) -> None:
    with stand_in(directory, STUBBORN) as child:
        begin = time.monotonic()
        asyncio.run(stop_worker(directory))
        assert time.monotonic() - begin < 2
        assert child.wait(5) == -signal.SIGKILL
    finished = RunState.of(directory.events()).finished
    assert finished is not None
    assert finished.status == "cancelled"


def test_who_joins_a_resumed_run_sees_the_attempt_that_goes_on(directory: RunDirectory) -> None:
    directory.append(Launched())
    directory.append(Finished("cancelled"))
    with stand_in(directory, STUBBORN):
        directory.append(Note("second attempt"))

        async def scenario() -> list[Event]:
            seen: list[Event] = []
            async for event in follow(directory):
                seen.append(event)
                if isinstance(event, Note):
                    directory.append(Finished("done"))
            return seen

        seen = asyncio.run(asyncio.wait_for(scenario(), DEADLINE_SECONDS))
    assert [type(event) for event in seen] == [Launched, Note, Finished]
    assert seen[-1] == directory.events()[-1]


def test_a_line_is_followed_only_once_it_is_whole(directory: RunDirectory) -> None:
    """Each half is written after the other was read: what follows must wait for the line's end."""
    from tui_mia.runs.events import encode_event

    line = encode_event(Loaded("cpu", "fp32", "a", "b", "c")).encode()
    with stand_in(directory, STUBBORN), directory.events_path.open("ab", buffering=0) as file:

        async def scenario() -> list[Event]:
            seen: list[Event] = []
            file.write(line[:20])
            events = follow(directory)
            async for event in events:
                seen.append(event)
                if isinstance(event, Launched):
                    file.write(line[20:] + b"\n" + encode_event(Finished("done")).encode() + b"\n")
            return seen

        seen = asyncio.run(asyncio.wait_for(scenario(), DEADLINE_SECONDS))
    assert [type(event) for event in seen] == [Launched, Loaded, Finished]


def test_a_joined_worker_that_dies_ends_the_run_as_failed(directory: RunDirectory) -> None:
    with stand_in(directory, STUBBORN) as child:

        async def scenario() -> Event:
            events = follow(directory)
            await until(events, Launched)
            child.kill()
            return await until(events, Finished)

        end = asyncio.run(scenario())
    assert end == directory.events()[-1]
    assert isinstance(end, Finished)
    assert end.error == "the worker ended without a word"


def test_a_worker_that_is_left_goes_on(directory: RunDirectory) -> None:
    """Also past the end of the event loop, and without a warning from Python."""

    async def start() -> int:
        worker = await start_worker(directory)
        assert worker is not None
        worker.leave()
        return worker.pid

    pid = asyncio.run(start())
    assert directory.worker() == pid
    asyncio.run(stop_worker(directory))
    assert not directory.is_running()


def test_a_worker_sees_the_gpu_that_was_chosen_for_it(
    directory: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> bytes:
        worker = await start_worker(directory, gpu="GPU-1234")
        assert worker is not None
        # A program that is just being started shows nothing for a moment.
        while not (seen := Path(f"/proc/{worker.pid}/environ").read_bytes()):
            await asyncio.sleep(0)
        await stop_worker(directory)
        await worker.wait()
        return seen

    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    seen = asyncio.run(scenario())
    assert b"\0CUDA_VISIBLE_DEVICES=GPU-1234\0" in seen
    assert b"\0CUDA_DEVICE_ORDER=PCI_BUS_ID\0" in seen
    launched = directory.events()[0]
    assert isinstance(launched, Launched)
    assert launched.gpu == "GPU-1234"


def test_a_run_that_is_started_leaves_the_queue(directory: RunDirectory) -> None:
    directory.queued_path.touch()

    async def scenario() -> None:
        worker = await start_worker(directory)
        assert worker is not None
        await stop_worker(directory)
        await worker.wait()

    asyncio.run(scenario())
    assert not directory.queued_path.exists()


def test_a_run_that_was_taken_out_of_the_queue_is_not_started_from_it(directory: RunDirectory) -> None:
    with pytest.raises(NotQueued):
        asyncio.run(start_worker(directory, from_queue=True))
    assert directory.events() == []
    assert not directory.is_running()


def test_who_stops_a_worker_does_not_mean_the_next_one(
    directory: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another front end starts the run again before this one has looked whether it is gone."""
    monkeypatch.setattr("tui_mia.runs.supervisor.POLL_SECONDS", 0.5)

    async def scenario(first: subprocess.Popen[str]) -> subprocess.Popen[str]:
        stopping = asyncio.create_task(stop_worker(directory))
        await asyncio.to_thread(first.wait, DEADLINE_SECONDS)
        second = stack.enter_context(stand_in(directory, STUBBORN))
        await stopping
        return second

    with contextlib.ExitStack() as stack:
        second = asyncio.run(scenario(stack.enter_context(stand_in(directory, OBEDIENT))))
        assert second.poll() is None
        assert isinstance(directory.last_event(), Launched)


@pytest.mark.parametrize("written", ["another's", "0", "1", "-1", "99999999999999999999", ""])
def test_nobody_is_signalled_in_place_of_a_worker(
    directory: RunDirectory, written: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the worker's number has become that of another process."""
    monkeypatch.setattr("tui_mia.runs.supervisor.GRACE_SECONDS", 0.2)
    signalled: list[tuple[int, int]] = []
    monkeypatch.setattr("os.killpg", lambda group, number: signalled.append((group, number)))
    bystander = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True
    )
    with bystander, directory.claim() as pid_file:
        assert pid_file is not None
        pid_file.write(str(bystander.pid if written == "another's" else written).encode())
        pid_file.flush()
        assert directory.is_running()
        assert directory.worker() is None
        asyncio.run(stop_worker(directory))
        bystander.communicate(b"\n")
    assert bystander.returncode == 0
    assert signalled == []


def test_an_onlooker_leaves_the_last_word_to_who_knows_how_it_ended(directory: RunDirectory) -> None:
    with stand_in(directory, STUBBORN) as child:

        async def scenario() -> Event:
            events = follow(directory)
            await until(events, Launched)
            child.kill()
            await asyncio.to_thread(child.wait)
            end = asyncio.create_task(until(events, Finished))
            await asyncio.sleep(0)
            directory.append(Finished("cancelled"))
            return await end

        end = asyncio.run(scenario())
    assert isinstance(end, Finished)
    assert end.status == "cancelled"


def test_a_line_without_an_end_fills_no_memory(directory: RunDirectory) -> None:
    with stand_in(directory, STUBBORN):
        with directory.events_path.open("ab") as file:
            file.write(b"x" * (3 * 2**20) + b"\n")
        directory.append(Finished("done"))

        async def scenario() -> list[Event]:
            return [event async for event in follow(directory)]

        assert [type(event) for event in asyncio.run(scenario())] == [Launched, Finished]
