"""Saving: runs with tables go into the database by a process of their own, which outlives the board."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.board.conftest import Told, until
from tui_mia.board import Board, saving
from tui_mia.runs import Finished, Launched, RunDirectory
from tui_mia.runs.identity import inputs_digest
from tui_mia.runs.tables import TABLES
from tui_mia.settings import settings_path
from tui_mia.spec import AuditSpec
from tui_mia.store import list_runs, query


@pytest.fixture
def finished(tiny_audit: AuditSpec) -> RunDirectory:
    """A run with a table that ended while nobody looked."""
    directory = RunDirectory.create(tiny_audit, inputs_digest(tiny_audit))
    directory.append(Launched())
    pools = [{"pool": "candidates", "source": "a.tar", "fingerprint": "f", "samples": 24, "rejects": 0}]
    pq.write_table(pa.Table.from_pylist(pools, TABLES["pools"]), directory.tables / "pools.parquet")
    directory.append(Finished("done"))
    return directory


def not_here(*_: object) -> None:
    raise AssertionError("a run with tables must not be landed by the app itself")


async def test_a_run_with_tables_is_landed_by_another_process(
    make_board: Callable[[], Board], finished: RunDirectory, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "try_to_land", not_here)
    board = make_board()
    await board.open()
    await until(lambda: told.has(f"run {finished.run_id} is done"))
    with query(board.database, "SELECT run_id, samples FROM pools") as rows:
        assert list(rows) == [(finished.run_id, 24)]


async def test_a_user_hears_whose_embeddings_were_removed_to_stay_below_the_limit(
    make_board: Callable[[], Board],
    finished: RunDirectory,
    told: Told,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    settings_path().parent.mkdir()
    settings_path().write_text("embeddings_limit_gb = 0\n")
    part = finished.parts / "candidates-000000-000000.parquet"
    part.write_bytes(bytes(2_000_000))
    board = make_board()
    await board.open()
    removed = f"removed the stored embeddings of run {finished.run_id} (2.0 MB): embeddings_limit_gb is 0"
    await until(lambda: told.has(f"run {finished.run_id} is done"))
    assert ("info", removed) in told.messages
    assert not part.exists()


async def test_a_board_that_leaves_while_a_run_is_saved_loses_nothing(
    make_board: Callable[[], Board], finished: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = asyncio.Event()
    start = saving._start

    def start_and_tell(directory: RunDirectory, database: Path, stderr: IO[bytes]) -> subprocess.Popen[bytes]:
        started.set()
        return start(directory, database, stderr)

    monkeypatch.setattr(saving, "_start", start_and_tell)
    board = make_board()
    await board.open()
    await started.wait()
    await board.leave()
    await until(finished.landed_path.exists)
    assert [overview.run.status for overview in list_runs(board.database)] == ["done"]


async def test_a_database_that_is_held_is_told_in_the_words_of_who_found_it_so(
    make_board: Callable[[], Board],
    finished: RunDirectory,
    held: Callable[[], AbstractContextManager[None]],
) -> None:
    board = make_board()

    def problem() -> str | None:
        run = board.run(finished.run_id)
        return run.problem if run else None

    with held():
        await board.open()
        await until(problem)
        assert str(problem()).startswith(
            f"not in the database yet, and tried again: {board.database} is held by"
        )
    await until(finished.landed_path.exists)


async def test_a_process_that_is_killed_is_told_and_the_run_can_be_saved_later(
    make_board: Callable[[], Board], finished: RunDirectory, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(*_: object) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"])

    board = make_board()
    with monkeypatch.context() as patched:
        patched.setattr(saving, "_start", start)
        await board.open()
        await until(lambda: told.has("the process that was to do it was killed by SIGKILL", "error"))
    await until(lambda: (run := board.run(finished.run_id)) and run.status == "done")
    await board.refresh()
    await until(finished.landed_path.exists)
