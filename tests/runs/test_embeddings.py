"""Stored embeddings: the oldest go, and never those of a run that somebody may go on with."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tui_mia.runs import Finished, Launched, RunDirectory
from tui_mia.runs.directory import runs_folder
from tui_mia.runs.embeddings import Removed, remove_oldest

PART = "candidates-000000-000000.parquet"
MakeRun = Callable[..., RunDirectory]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return runs_folder(tmp_path / "audits.duckdb")


@pytest.fixture
def make_run(folder: Path) -> MakeRun:
    """Makes a run with a part of 90 bytes and its rejects of 10; it is done and in the database."""

    def make(run_id: str, status: str | None = "done", landed: bool = True) -> RunDirectory:
        directory = RunDirectory(folder / run_id)
        directory.parts.mkdir(parents=True)
        directory.tables.mkdir()
        directory.spec_path.touch()
        (directory.parts / PART).write_bytes(bytes(90))
        (directory.parts / f"rejects-{PART}").write_bytes(bytes(10))
        (directory.parts / "index.jsonl").write_text("what was encoded")
        (directory.tables / "scores.parquet").write_bytes(bytes(1000))
        directory.append(Launched())
        if status is not None:
            finished = Finished(status)  # type: ignore[arg-type]
            directory.append(finished)
            if landed:
                directory.landed_path.write_text(str(finished.ended_at))
        return directory

    return make


def stored(folder: Path) -> list[str]:
    """The runs that still have a part."""
    return sorted(path.parent.parent.name for path in folder.glob(f"*/parts/{PART}"))


@pytest.mark.parametrize(("limit", "left"), [(300, 3), (299, 2), (200, 2), (100, 1), (99, 0), (0, 0)])
def test_the_oldest_go_until_the_rest_is_below_the_limit(
    limit: int, left: int, make_run: MakeRun, folder: Path
) -> None:
    runs = ["1", "2", "3"]
    for run in reversed(runs):
        make_run(run)
    assert remove_oldest(folder, limit) == Removed(tuple(runs[: 3 - left]), (3 - left) * 100)
    assert stored(folder) == runs[3 - left :]
    assert remove_oldest(folder, limit) == Removed()


def test_all_else_of_a_run_stays(make_run: MakeRun, folder: Path) -> None:
    directory = make_run("1")
    before = {path for path in directory.path.rglob("*") if not path.name.endswith(PART)}
    remove_oldest(folder, 0)
    assert set(directory.path.rglob("*")) == before


def test_a_part_that_runs_share_counts_once_and_goes_with_the_last_of_them(
    make_run: MakeRun, folder: Path
) -> None:
    first, second, _ = (make_run(run) for run in "123")
    for name in (PART, f"rejects-{PART}"):
        (second.parts / name).unlink()
        os.link(first.parts / name, second.parts / name)
    assert remove_oldest(folder, 200) == Removed()
    assert remove_oldest(folder, 150) == Removed(("1", "2"), 100)
    assert stored(folder) == ["3"]


@pytest.mark.parametrize(
    ("status", "landed"), [(None, False), ("failed", True), ("cancelled", True), ("done", False)]
)
def test_what_may_be_gone_on_with_or_is_not_in_the_database_is_left_alone(
    status: str | None, landed: bool, make_run: MakeRun, folder: Path
) -> None:
    make_run("1", status, landed)
    make_run("2")
    assert remove_oldest(folder, 0) == Removed(("2",), 100)
    assert stored(folder) == ["1"]


def test_a_run_that_goes_on_again_or_waits_to_is_left_alone(make_run: MakeRun, folder: Path) -> None:
    make_run("1").queued_path.touch()
    again = make_run("2")
    with again.claim():
        assert remove_oldest(folder, 0) == Removed()
    again.append(Launched())
    assert remove_oldest(folder, 0) == Removed()


def test_a_folder_that_is_not_there_has_nothing_to_remove(tmp_path: Path) -> None:
    assert remove_oldest(tmp_path / "gone", 0) == Removed()
