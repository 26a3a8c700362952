"""The runs in a folder, as their directories tell them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tui_mia.runs import Finished, Launched, RunDirectory, RunDirectoryError, find_unfinished
from tui_mia.runs.directory import runs_folder
from tui_mia.runs.opening import open_again
from tui_mia.runs.scan import look, scan
from tui_mia.spec import AuditSpec, load_spec


@pytest.fixture
def spec(tmp_path: Path) -> AuditSpec:
    (tmp_path / "pairs.csv").write_text("image,caption\n")
    return load_spec(
        None,
        {
            "model.architecture": "ViT-B-32",
            "pools.candidates.source": str(tmp_path / "pairs.csv"),
            "output.database": str(tmp_path / "audits.duckdb"),
        },
    )


@pytest.fixture
def directory(spec: AuditSpec) -> RunDirectory:
    return RunDirectory.create(spec, "")


def test_a_folder_that_is_not_there_has_no_runs(tmp_path: Path) -> None:
    assert scan(tmp_path / "gone") == {}


def test_what_else_lies_among_the_runs_is_passed_over(directory: RunDirectory) -> None:
    (directory.path.parent / "empty").mkdir()
    (directory.path.parent / "file").touch()
    assert list(scan(directory.path.parent)) == [directory.run_id]


def test_a_run_is_found_as_it_stands(directory: RunDirectory) -> None:
    folder = directory.path.parent
    found = scan(folder)[directory.run_id]
    assert (found.last, found.finished, found.queued_at, found.is_running) == (None, None, None, False)
    directory.queued_path.touch()
    assert scan(folder)[directory.run_id].queued_at == directory.queued_path.stat().st_mtime_ns
    directory.append(Launched())
    assert isinstance(scan(folder)[directory.run_id].last, Launched)
    end = Finished("cancelled")
    directory.append(end)
    found = scan(folder)[directory.run_id]
    assert (found.finished, found.is_left_behind) == (end, True)
    directory.landed_path.write_text(str(end.ended_at))
    assert not scan(folder)[directory.run_id].is_left_behind


def test_a_run_with_a_worker_has_not_ended_whatever_its_last_event_says(directory: RunDirectory) -> None:
    directory.append(Finished("cancelled"))
    with directory.claim() as pid_file:
        assert pid_file is not None
        found = look(directory)
        assert found is not None
        assert found.is_running
        assert found.finished is None
        assert not found.is_left_behind
    # No file has changed, and yet it is over.
    again = look(directory, found)
    assert again is not None
    assert again.finished is not None


def test_a_run_that_has_not_changed_is_not_read_again(
    directory: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory.append(Finished("done"))
    before = scan(directory.path.parent)
    monkeypatch.setattr(RunDirectory, "last_event", lambda self: pytest.fail("was read"))
    monkeypatch.setattr(RunDirectory, "is_running", lambda self: pytest.fail("was asked"))
    assert scan(directory.path.parent, before)[directory.run_id] is before[directory.run_id]


def test_a_run_that_is_gone_is_not_found(directory: RunDirectory, spec: AuditSpec) -> None:
    before = scan(directory.path.parent)
    directory.remove()
    assert scan(runs_folder(Path(spec.output.database)), before) == {}


@pytest.mark.parametrize("removed", range(8))
def test_a_run_whose_removal_is_cut_off_is_found_as_unfinished_and_can_be_removed_again(
    spec: AuditSpec, directory: RunDirectory, monkeypatch: pytest.MonkeyPatch, removed: int
) -> None:
    directory.append(finished := Finished("done"))
    directory.landed_path.write_text(str(finished.ended_at))
    for path in (directory.pid_path, directory.queued_path, directory.parts / "a", directory.tables / "b"):
        path.touch()
    files, unlink = [path for path in directory.path.rglob("*") if path.is_file()], os.unlink
    assert len(files) == 8

    def killed(*arguments: Any, **options: Any) -> None:
        if sum(path.exists() for path in files) == len(files) - removed:
            raise KeyboardInterrupt
        unlink(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            directory.remove()
    assert sum(path.exists() for path in files) == len(files) - removed
    left = scan(directory.path.parent)[directory.run_id]
    assert not left.is_left_behind
    assert (left.queued_at is None) == (removed > 0)
    assert (left.finished is None) == (removed > 2)
    assert find_unfinished(spec, "") is None
    with pytest.raises(RunDirectoryError, match="is done" if removed < 3 else "delete it again: tui-mia del"):
        open_again(directory)
    directory.remove()
    assert not directory.path.exists()


def test_a_run_that_cannot_be_looked_at_is_told_and_hides_no_other(
    spec: AuditSpec, directory: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = RunDirectory.create(spec, "")
    is_running = RunDirectory.is_running

    def unreadable(self: RunDirectory) -> bool:
        if self == bad:
            raise PermissionError(13, "Permission denied", str(self.pid_path))
        return is_running(self)

    monkeypatch.setattr(RunDirectory, "is_running", unreadable)
    told: list[str] = []
    assert list(scan(directory.path.parent, tell=told.append)) == [directory.run_id]
    (problem,) = told
    assert problem.startswith(f"run {bad.run_id} can't be looked at")
    assert "Permission denied" in problem
