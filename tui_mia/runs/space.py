"""Disks that are full: how an error says so, and what a user reads of it."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_REASONS: Final = {
    errno.ENOSPC: "there is no space left",
    errno.EDQUOT: "the quota is used up",
    errno.EFBIG: "a file may not be that large (see `ulimit -f`)",
}
# The same where a library leaves only the words of an error.
_WORDS: Final = {
    "No space left on device": errno.ENOSPC,
    "Disk quota exceeded": errno.EDQUOT,
    "File too large": errno.EFBIG,
}
# What a new database takes, and what tables and rows of a run take of what its parts do, roughly.
_DATABASE_BYTES: Final = 2**22
_TABLES_SHARE: Final = 0.5


def is_full(error: OSError) -> bool:
    """Whether an error says that a disk, or the share of it that one may use, is full."""
    return error.errno in _REASONS


def full_by_words(text: str) -> OSError | None:
    """The error that a library told in words of its own, if it is about a full disk."""
    return next((OSError(number, words) for words, number in _WORDS.items() if words in text), None)


def full_message(folder: Path, error: OSError, needed_bytes: float | None = None) -> str:
    """What is full, how much is free there, and how much is needed, as far as that is known."""
    reason = _REASONS.get(error.errno or 0, error.strerror)
    needed = "" if needed_bytes is None else f", about {_size(needed_bytes)} needed"
    return f"{folder}: {reason}: {_size(free_bytes(folder))} free{needed}"


def free_bytes(folder: Path) -> int:
    """What is free where a folder is, or will be."""
    return shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.is_dir())).free


def still_needed(parts: Path, encoded: float) -> float | None:
    """About how many bytes a run will take yet, its rows in the database included.

    `encoded` is the share of its pairs that were encoded when the disk was
    full, 0 to 1; the part that could not be written to its end may still be there.
    """
    sizes = {path: path.stat().st_size for path in parts.glob("*.parquet*")}
    if not encoded or not sizes:
        return None
    whole = sum(sizes.values()) / encoded
    kept = sum(size for path, size in sizes.items() if path.suffix == ".parquet")
    return whole - kept + _TABLES_SHARE * whole + _DATABASE_BYTES


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an error of the block say which file it is about; that of a write doesn't by itself."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def _size(number: float) -> str:
    return f"{number / 2**30:,.1f} GB" if number >= 2**30 else f"{number / 2**20:,.1f} MB"
