"""Folders in which something is made: gone at the end, also where the end was a kill."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tui_mia.runs import files
from tui_mia.runs.files import private_folder

KILLED_IN_THE_BLOCK = """
import os, signal, sys
from pathlib import Path
from tui_mia.runs.files import private_folder

with private_folder(Path(sys.argv[1]), ".making[-") as folder:
    (folder / "half").write_text("half of it")
    os.kill(os.getpid(), signal.SIGKILL)
"""
PREFIX = ".making[-"


def test_what_a_killed_process_left_is_removed_and_what_others_hold_is_not(tmp_path: Path) -> None:
    (tmp_path / "making[-mine").mkdir()
    (tmp_path / f"{PREFIX}file").touch()
    (tmp_path / f"{PREFIX}link").symlink_to(tmp_path / "making[-mine")
    others = set(tmp_path.iterdir())
    subprocess.run([sys.executable, "-c", KILLED_IN_THE_BLOCK, str(tmp_path)], check=False)
    (left,) = set(tmp_path.iterdir()) - others
    assert (left / "half").exists()
    with private_folder(tmp_path, PREFIX) as first, private_folder(tmp_path, PREFIX) as second:
        assert {first, second} == set(tmp_path.iterdir()) - others
        assert first.stat().st_mode & 0o777 == 0o700
        (first / "half").touch()
    assert set(tmp_path.iterdir()) == others


def test_what_is_somebody_elses_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = tmp_path / f"{PREFIX}theirs"
    theirs.mkdir()
    monkeypatch.setattr(os, "getuid", lambda: theirs.stat().st_uid + 1)
    with private_folder(tmp_path, PREFIX):
        assert theirs.is_dir()


def test_a_folder_that_is_taken_for_left_behind_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    make, lock = tempfile.mkdtemp, fcntl.flock

    def make_slowly(**options: str) -> str:
        made.append(make(**options))
        if len(made) == 1:
            files._remove_left_behind(tmp_path, PREFIX)
        return made[-1]

    def lock_late(descriptor: int, kind: int) -> None:
        if len(made) == 2 and kind == fcntl.LOCK_EX:
            os.rmdir(made[-1])
        lock(descriptor, kind)

    monkeypatch.setattr(tempfile, "mkdtemp", make_slowly)
    monkeypatch.setattr(fcntl, "flock", lock_late)
    with private_folder(tmp_path, PREFIX) as folder:
        assert len(made) == 3
        assert list(tmp_path.iterdir()) == [folder] == [Path(made[-1])]


def test_where_folders_can_not_be_locked_nobody_removes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(descriptor: int, kind: int) -> None:
        raise OSError("no locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with private_folder(tmp_path, PREFIX) as first, private_folder(tmp_path, PREFIX) as second:
        assert first.is_dir()
        assert second.is_dir()
    assert list(tmp_path.iterdir()) == []
