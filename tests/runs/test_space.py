"""Disks that are full, and what is said of them."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tui_mia.runs.space import full_by_words, full_message, is_full, naming, still_needed


def full(number: int = errno.ENOSPC) -> OSError:
    return OSError(number, os.strerror(number))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_known_by_its_number_and_by_its_words(number: int) -> None:
    assert is_full(full(number))
    by_words = full_by_words(f'IO Error: Could not write file "a.duckdb": {os.strerror(number)}')
    assert by_words is not None
    assert by_words.errno == number


def test_another_error_is_no_full_disk() -> None:
    assert not is_full(full(errno.EACCES))
    assert full_by_words("Permission denied") is None


def test_the_message_says_where_and_how_much(tmp_path: Path) -> None:
    message = full_message(tmp_path / "not there yet", full(), 3.5 * 2**30)
    assert message.startswith(f"{tmp_path}/not there yet: there is no space left: ")
    assert message.endswith(" free, about 3.5 GB needed")
    assert "ulimit -f" in full_message(tmp_path, full(errno.EFBIG))
    assert "quota" in full_message(tmp_path, full(errno.EDQUOT))


def test_what_is_still_needed_goes_by_what_is_there(tmp_path: Path) -> None:
    assert still_needed(tmp_path, 0.5) is None
    (tmp_path / "candidates-000000-000000.parquet").write_bytes(bytes(30 * 2**20))
    (tmp_path / "candidates-000001-000000.parquet.tmp").write_bytes(bytes(20 * 2**20))
    assert still_needed(tmp_path, 0.0) is None
    # Of 100 MB 30 are there; tables and rows are about half of that, and a new database is 4.
    assert still_needed(tmp_path, 0.5) == (70 + 50 + 4) * 2**20


def test_an_error_of_a_write_says_of_which_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left on device: '/a/file'"), naming(Path("/a/file")):
        raise full()
    with pytest.raises(FileNotFoundError) as missing, naming(Path("/a/file")):
        (tmp_path / "nowhere").read_bytes()
    assert missing.value.filename == str(tmp_path / "nowhere")
