"""Files that are exchanged for others in the moment in which they are read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tui_mia.pools.files import read_inside
from tui_mia.pools.found import UnusableError


@pytest.fixture
def exchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that is gone when its path has been resolved: a test puts something else in its place."""
    path, resolve = tmp_path / "a.jpg", os.path.realpath
    path.write_bytes(b"what was there")

    def resolve_and_exchange(name: str | Path, **options: bool) -> str:
        resolved = resolve(name, **options)
        if resolved == str(path):
            path.unlink()
            (tmp_path / "exchange").rename(path)
        return resolved

    monkeypatch.setattr(os.path, "realpath", resolve_and_exchange)
    return tmp_path / "exchange"


def test_a_pipe_in_its_place_blocks_nobody(exchanged: Path) -> None:
    os.mkfifo(exchanged)
    with pytest.raises(UnusableError, match=r"not a regular file: 'a\.jpg'"):
        read_inside(exchanged.parent, "a.jpg", 100)


def test_a_link_in_its_place_is_not_followed(
    exchanged: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "secret"
    outside.write_text("not for this source")
    exchanged.symlink_to(outside)
    with pytest.raises(UnusableError, match=r"can't read 'a\.jpg': Too many levels of symbolic links"):
        read_inside(exchanged.parent, "a.jpg", 100)


def test_a_larger_file_in_its_place_is_not_read(exchanged: Path) -> None:
    exchanged.write_bytes(b"x" * 101)
    with pytest.raises(UnusableError, match=r"'a\.jpg' has 101 bytes; at most 100 are read"):
        read_inside(exchanged.parent, "a.jpg", 100)


@pytest.mark.parametrize(("grown", "is_read"), [(100, True), (10_000_000, False)])
def test_a_file_that_grows_while_it_is_read_is_read_to_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, grown: int, is_read: bool
) -> None:
    path, look = tmp_path / "a.jpg", os.fstat
    path.write_bytes(b"x" * 10)

    def look_and_grow(descriptor: int) -> os.stat_result:
        status = look(descriptor)
        path.write_bytes(b"x" * grown)
        return status

    monkeypatch.setattr(os, "fstat", look_and_grow)
    if is_read:
        assert read_inside(tmp_path, "a.jpg", 100) == b"x" * 100
    else:
        with pytest.raises(UnusableError, match=r"'a\.jpg' has 101 bytes; at most 100 are read"):
            read_inside(tmp_path, "a.jpg", 100)
