"""The board with real workers: start, queue, cancel, crash, leave and come back."""

from __future__ import annotations

import asyncio
import errno
import gzip
import os
import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.board.conftest import Told, until, with_seed
from tui_mia.board import Board, BoardRun, RunStatus
from tui_mia.board import board as board_module
from tui_mia.board.sight import Sight, look_around
from tui_mia.runs import (
    Finished,
    Launched,
    RunDirectory,
    RunDirectoryError,
    RunState,
    start_worker,
    stop_worker,
)
from tui_mia.runs.directory import runs_folder
from tui_mia.runs.identity import inputs_digest
from tui_mia.spec import AuditSpec
from tui_mia.store import list_runs
from tui_mia.store.schema import OLDEST_VERSION


def status(board: Board, run_id: str) -> RunStatus | None:
    run = board.run(run_id)
    return run.status if run else None


def run_of(board: Board, run_id: str) -> BoardRun:
    run = board.run(run_id)
    assert run is not None
    return run


async def seen(board: Board, run_id: str, *wanted: RunStatus) -> BoardRun:
    await until(lambda: status(board, run_id) in wanted)
    return run_of(board, run_id)


async def test_a_database_that_is_not_there_yet_has_no_runs(board: Board, told: Told) -> None:
    assert board.runs() == []
    assert told.messages == []
    assert board.database_problem is None
    version = board.version
    await board.refresh()
    assert board.version == version + 1  # only what is retried is looked at afresh
    await board._look()
    assert board.version == version + 1


async def test_a_run_goes_from_the_queue_into_the_database(
    board: Board, tiny_audit: AuditSpec, told: Told
) -> None:
    run_id = await board.submit(tiny_audit)
    begun = run_of(board, run_id)
    assert begun.status == "starting"
    assert begun.spec == tiny_audit
    assert (begun.attacks, begun.pools, begun.device) == (("csa",), ("candidates",), "cpu")
    assert begun.architecture == tiny_audit.model.architecture
    assert [run.run_id for run in board.live()] == [run_id]
    statuses: list[RunStatus | None] = []
    while (now := status(board, run_id)) != "done":
        if [now] != statuses[-1:]:
            statuses.append(now)
        version = board.version
        await until(lambda version=version: board.version != version)  # type: ignore[misc]
    assert [found for found in statuses if found != "saving"] == ["starting", "running"]
    done = run_of(board, run_id)
    assert done.in_database
    assert (done.samples, done.problem, done.state) == ({"candidates": 24}, None, None)
    assert set(done.auc) == {"csa"}
    assert done.created_at == begun.created_at
    assert board.live() == board.queued() == []
    assert [overview.run.run_id for overview in list_runs(board.database)] == [run_id]
    assert told.has(f"run {run_id} is done", "info")


async def test_a_live_run_tells_how_far_it_is(board: Board, tiny_audit: AuditSpec) -> None:
    run_id = await board.submit(tiny_audit)
    await until(lambda: (state := run_of(board, run_id).state) is None or len(state.phases) > 2)
    state = run_of(board, run_id).state
    assert state is not None
    assert state.progress is not None
    assert [phase.name for phase in state.phases][:3] == ["start", "plan", "load"]
    assert state.progress.memory_bytes


async def test_scores_go_to_the_database_of_the_board(
    board: Board, tiny_audit: AuditSpec, tmp_path: Path
) -> None:
    elsewhere = tiny_audit.output.model_copy(update={"database": str(tmp_path / "other.duckdb")})
    run_id = await board.submit(tiny_audit.model_copy(update={"output": elsewhere}))
    assert run_of(board, run_id).spec == tiny_audit
    assert not (tmp_path / "other.duckdb.runs").exists()


async def test_a_cancel_is_seen_at_once_and_the_worker_gone_soon(
    board: Board, tiny_audit: AuditSpec, told: Told
) -> None:
    run_id = await board.submit(tiny_audit)
    begin = time.monotonic()
    first, second = asyncio.create_task(board.cancel(run_id)), asyncio.create_task(board.cancel(run_id))
    await asyncio.sleep(0)
    assert status(board, run_id) == "cancelling"
    await asyncio.gather(first, second)
    assert time.monotonic() - begin < 4  # 2.5 on a machine that has nothing else to do
    assert not RunDirectory(runs_folder(board.database) / run_id).is_running()
    await seen(board, run_id, "cancelled")
    await board.cancel(run_id)
    run = run_of(board, run_id)
    assert (run.status, run.in_database) == ("cancelled", True)
    assert told.has("was cancelled; it can be resumed")
    assert [type(event) for event in run.directory.events()].count(Finished) == 1 if run.directory else False


async def test_a_cancelled_run_is_resumed_and_not_started_twice(board: Board, tiny_audit: AuditSpec) -> None:
    run_id = await board.submit(tiny_audit)
    cancelling = asyncio.create_task(board.cancel(run_id))
    await asyncio.sleep(0)
    assert status(board, run_id) == "cancelling"
    # Asked while it is being cancelled: it comes to its end first.
    await asyncio.gather(cancelling, board.resume(run_id), board.resume(run_id))
    assert status(board, run_id) == "starting"
    assert await board.submit(tiny_audit) == run_id
    run = await seen(board, run_id, "done")
    assert run.directory is not None
    assert [type(event) for event in run.directory.events()].count(Launched) == 2
    with pytest.raises(RunDirectoryError, match="is done"):
        await board.resume(run_id)


async def test_a_worker_that_is_killed_is_cut_off_with_the_end_of_its_log(
    board: Board, tiny_audit: AuditSpec, told: Told
) -> None:
    run_id = await board.submit(tiny_audit)
    directory = RunDirectory(runs_folder(board.database) / run_id)
    worker = directory.worker()
    assert worker is not None
    directory.log_path.write_text("CUDA error: an illegal memory access\n")
    os.kill(worker, signal.SIGKILL)
    run = await seen(board, run_id, "cut off")
    assert run.in_database
    assert run.problem is not None
    assert run.problem.startswith("the worker was killed by SIGKILL without a word")
    assert "an illegal memory access" in run.problem
    assert told.has("illegal memory access", "error")


async def test_a_second_run_on_the_same_device_waits_for_the_first(
    board: Board, tiny_audit: AuditSpec, told: Told
) -> None:
    first = await board.submit(tiny_audit)
    second = await board.submit(with_seed(tiny_audit, 1))
    third = await board.submit(with_seed(tiny_audit, 2))
    assert first != second
    assert [run.run_id for run in board.runs()] == [third, second, first]
    assert [run.run_id for run in board.queued()] == [second, third]
    assert told.has(f"run {second} is queued")
    await board.cancel(second)
    await seen(board, second, "cancelled")
    assert [run.run_id for run in board.queued()] == [third]
    await board.cancel(first)
    run = await seen(board, third, "starting", "running")
    assert run.directory is not None
    finished = RunState.of(RunDirectory(runs_folder(board.database) / first).events()).finished
    launched = run.directory.events()[0]
    assert finished is not None
    assert finished.time <= launched.time
    await until(lambda: {status(board, run_id) for run_id in (first, second)} == {"cancelled"})
    never_ran = run_of(board, second).directory
    assert never_ran is not None
    assert [type(event) for event in never_ran.events()] == [Finished]


async def test_a_run_that_had_ended_goes_back_to_what_it_was_when_its_turn_is_withdrawn(
    board: Board, tiny_audit: AuditSpec
) -> None:
    failed = await board.submit(tiny_audit)
    directory = RunDirectory(runs_folder(board.database) / failed)
    worker = directory.worker()
    assert worker is not None
    os.kill(worker, signal.SIGKILL)
    await seen(board, failed, "cut off")
    other = await board.submit(with_seed(tiny_audit, 1))
    await board.resume(failed)
    assert status(board, failed) == "queued"
    await board.cancel(failed)
    await seen(board, failed, "cut off")
    await board.cancel(other)


async def test_whoever_leaves_and_comes_back_finds_the_run_and_the_queue(
    make_board: Callable[[], Board], tiny_audit: AuditSpec, told: Told
) -> None:
    board = make_board()
    await board.open()
    running = await board.submit(tiny_audit)
    queued = [await board.submit(with_seed(tiny_audit, seed)) for seed in (1, 2)]
    directory = RunDirectory(runs_folder(board.database) / running)
    worker = directory.worker()
    await board.leave()
    assert directory.worker() == worker

    board = make_board()
    await board.open()
    assert told.has(f"run {running} is going on; following it")
    assert [run.run_id for run in board.live()] == [running]
    assert [run.run_id for run in board.queued()] == queued
    assert run_of(board, running).spec == tiny_audit
    await seen(board, running, "running", "saving", "done")
    await board.cancel(queued[1])
    await seen(board, running, "done")
    await seen(board, queued[0], "starting", "running")


async def test_a_run_that_somebody_else_started_is_found_and_can_be_cancelled(
    board: Board, tiny_audit: AuditSpec
) -> None:
    directory = RunDirectory.create(tiny_audit, inputs_digest(tiny_audit))
    worker = await start_worker(directory)
    assert worker is not None
    run = await seen(board, directory.run_id, "starting", "running")
    assert run.spec == tiny_audit
    await board.cancel(directory.run_id)
    assert await worker.wait() != 0
    await seen(board, directory.run_id, "cancelled")


async def test_two_boards_of_one_database_start_a_queued_run_once(
    make_board: Callable[[], Board], tiny_audit: AuditSpec
) -> None:
    first, second = make_board(), make_board()
    await asyncio.gather(first.open(), second.open())
    running = await first.submit(tiny_audit)
    waiting = await second.submit(with_seed(tiny_audit, 1))
    await until(lambda: status(first, waiting) == "queued")
    await first.cancel(running)
    for board in (first, second):
        run = await seen(board, waiting, "starting", "running")
    assert run.directory is not None
    assert [type(event) for event in run.directory.events()].count(Launched) == 1
    await second.cancel(waiting)
    for board in (first, second):
        await seen(board, waiting, "cancelled")


async def test_a_run_that_another_board_took_out_of_the_queue_is_not_started(
    board: Board, tiny_audit: AuditSpec
) -> None:
    running = await board.submit(tiny_audit)
    waiting = await board.submit(with_seed(tiny_audit, 1))
    directory = RunDirectory(runs_folder(board.database) / waiting)
    directory.queued_path.unlink()
    directory.append(Finished("cancelled"))
    await board.cancel(running)
    await seen(board, running, "cancelled")
    await seen(board, waiting, "cancelled")
    assert [type(event) for event in directory.events()] == [Finished]


async def test_a_queued_run_that_another_app_is_just_starting_is_not_withdrawn(
    board: Board, tiny_audit: AuditSpec
) -> None:
    running = await board.submit(tiny_audit)
    waiting = await board.submit(with_seed(tiny_audit, 1))
    directory = RunDirectory(runs_folder(board.database) / waiting)
    with directory.claim() as claimed:
        assert claimed is not None
        await board.cancel(waiting)
        assert directory.queued_path.exists()
        assert directory.events() == []
    await board.cancel_all()
    await seen(board, running, "cancelled")


async def test_one_bad_run_directory_is_told_once_and_the_others_are_seen(
    board: Board, tiny_audit: AuditSpec, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = (RunDirectory.create(tiny_audit, inputs_digest(tiny_audit)) for _ in range(2))
    is_running = RunDirectory.is_running

    def unreadable(self: RunDirectory) -> bool:
        if self == bad:
            raise PermissionError(13, "Permission denied", str(self.pid_path))
        return is_running(self)

    monkeypatch.setattr(RunDirectory, "is_running", unreadable)
    await board.refresh()
    await board.refresh()
    assert [run.run_id for run in board.runs()] == [good.run_id]
    assert len([message for _, message in told.messages if "can't be looked at" in message]) == 1


async def test_a_folder_that_cannot_be_read_for_a_while_is_told_once_and_looked_at_again(
    make_board: Callable[[], Board], told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board_module, "SECONDS_BETWEEN_LOOKS", 0.01)
    looks = 0

    def look(database: Path, before: Sight) -> Sight:
        nonlocal looks
        looks += 1
        if 1 < looks < 4:
            raise OSError(errno.EIO, "Input/output error", "pid")
        return look_around(database, before)

    monkeypatch.setattr(board_module, "look_around", look)
    await make_board().open()
    await until(lambda: looks > 4)
    assert len(told.messages) == 1
    assert told.has("Input/output error", "warning")


async def test_a_worker_that_does_not_end_holds_up_nobody_who_leaves(
    make_board: Callable[[], Board], tiny_audit: AuditSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def in_vain(directory: RunDirectory) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(board_module, "STOP_SECONDS", 0.05)
    monkeypatch.setattr(board_module, "LAST_SAVE_SECONDS", 0.05)
    monkeypatch.setattr(board_module, "stop_worker", in_vain)
    board = make_board()
    await board.open()
    directory = RunDirectory(runs_folder(board.database) / await board.submit(tiny_audit))
    async with asyncio.timeout(2):
        await board.cancel_all()
        await board.leave()
    assert directory.is_running()
    await stop_worker(directory)


async def test_a_database_that_is_held_keeps_a_run_waiting_and_loses_nothing(
    board: Board,
    tiny_audit: AuditSpec,
    told: Told,
    held: Callable[[], AbstractContextManager[None]],
) -> None:
    run_id = await board.submit(tiny_audit)
    other = await board.submit(with_seed(tiny_audit, 1))
    with held():
        await board.cancel(run_id)
        await until(lambda: run_of(board, run_id).problem)
        run = run_of(board, run_id)
        assert (run.status, run.in_database) == ("saving", False)
        assert run.problem is not None
        assert "is held by process" in run.problem
        assert told.has(f"run {run_id} is not in the database yet", "warning")
        # Its device is free all the same.
        await seen(board, other, "starting", "running")
        with pytest.raises(RunDirectoryError, match="is being saved"):
            await board.delete(run_id)
    await seen(board, run_id, "cancelled")
    assert run_of(board, run_id).in_database
    assert run_of(board, run_id).problem is None


async def test_what_was_left_behind_lands_once_the_database_is_free(
    make_board: Callable[[], Board],
    tiny_audit: AuditSpec,
    told: Told,
    held: Callable[[], AbstractContextManager[None]],
) -> None:
    directory = RunDirectory.create(tiny_audit, inputs_digest(tiny_audit))
    directory.append(Launched())
    directory.append(Finished("failed", "out of memory"))
    with held():
        board = make_board()
        await asyncio.wait_for(board.open(), 10)
        assert status(board, directory.run_id) == "saving"
        assert board.database_problem is not None
        assert told.has("it is tried again every few seconds", "warning")
    run = await seen(board, directory.run_id, "failed")
    assert (run.in_database, run.problem) == (True, "out of memory")
    assert board.database_problem is None


async def test_a_run_that_was_cut_off_while_nobody_looked_can_be_resumed(
    make_board: Callable[[], Board], tiny_audit: AuditSpec
) -> None:
    directory = RunDirectory.create(tiny_audit, inputs_digest(tiny_audit))
    directory.append(Launched())
    directory.log_path.write_text("Killed\n")
    board = make_board()
    await board.open()
    run = run_of(board, directory.run_id)
    assert (run.status, run.in_database, run.spec) == ("cut off", False, tiny_audit)
    assert run.problem == "its worker ended without a word; the end of its log:\nKilled"
    await board.resume(directory.run_id)
    assert status(board, directory.run_id) == "starting"
    Path(tiny_audit.pools.candidates.source[0])
    await board.cancel(directory.run_id)


async def test_a_run_whose_inputs_have_changed_is_not_resumed(board: Board, tiny_audit: AuditSpec) -> None:
    directory = RunDirectory.create(tiny_audit, "as they were")
    await board.refresh()
    with pytest.raises(RunDirectoryError, match="input files have changed"):
        await board.resume(directory.run_id)
    with pytest.raises(RunDirectoryError, match="its run directory is gone"):
        await board.resume("nonsense")


async def test_a_run_is_deleted_from_the_database_and_the_disk(board: Board, tiny_audit: AuditSpec) -> None:
    run_id = await board.submit(tiny_audit)
    with pytest.raises(RunDirectoryError, match="is going on; cancel it first"):
        await board.delete(run_id)
    await board.cancel(run_id)
    run = await seen(board, run_id, "cancelled")
    assert run.directory is not None
    await board.delete(run_id)
    assert board.runs() == []
    assert not run.directory.path.exists()
    assert list_runs(board.database) == []


async def test_a_queued_run_is_deleted_before_it_ever_ran(board: Board, tiny_audit: AuditSpec) -> None:
    running = await board.submit(tiny_audit)
    queued = await board.submit(with_seed(tiny_audit, 1))
    await board.delete(queued)
    assert [run.run_id for run in board.runs()] == [running]


async def test_a_run_that_cannot_land_is_told_once_and_tried_again_when_asked(
    board: Board, tiny_audit: AuditSpec, told: Told
) -> None:
    directory = RunDirectory.create(tiny_audit, inputs_digest(tiny_audit))
    spec = directory.spec_path.read_text()
    directory.spec_path.write_text("[model")
    directory.append(Finished("done"))
    await board.refresh()
    await until(lambda: run_of(board, directory.run_id).problem)
    run = run_of(board, directory.run_id)
    assert (run.status, run.in_database, run.spec, run.architecture) == ("done", False, None, "?")
    assert run.problem is not None
    assert "it can't be put into the database" in run.problem
    await board._look()
    assert len([message for level, message in told.messages if level == "error"]) == 1
    directory.spec_path.write_text(spec)
    await board.refresh()
    await until(lambda: run_of(board, directory.run_id).in_database)


async def test_a_file_that_is_no_database_is_told_once(board: Board, database: Path, told: Told) -> None:
    database.write_text("something else")
    await board._look()
    await board._look()
    assert board.database_problem is not None
    assert "is not a DuckDB file" in board.database_problem
    assert len(told.messages) == 1


async def test_everything_can_be_cancelled_on_the_way_out(board: Board, tiny_audit: AuditSpec) -> None:
    ids = [await board.submit(with_seed(tiny_audit, seed)) for seed in range(3)]
    await board.cancel_all()
    assert not any(RunDirectory(runs_folder(board.database) / run_id).is_running() for run_id in ids)
    assert {overview.run.status for overview in list_runs(board.database)} == {"cancelled"}
    assert len(list_runs(board.database)) == 3


async def test_a_database_of_an_earlier_version_is_brought_up_to_date_and_that_is_told(
    make_board: Callable[[], Board], database: Path, told: Told
) -> None:
    packed = Path(__file__).parents[1] / "store" / "versions" / f"version-{OLDEST_VERSION}.duckdb.gz"
    database.write_bytes(gzip.decompress(packed.read_bytes()))
    board = make_board()
    await board.open()
    assert told.has(f"{database} had tables of version {OLDEST_VERSION}", "info")
    assert board.database_problem is None
    assert [run.status for run in board.runs()] == ["done"]
