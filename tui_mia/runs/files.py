"""Files that are there whole or not at all, also after a power cut."""

from __future__ import annotations

import fcntl
import glob
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def put_in_place(temporary: Path, path: Path) -> None:
    """Give a file that is written to its end its name; both are on the disk when this returns."""
    to_disk(temporary)
    os.replace(temporary, path)
    to_disk(path.parent)


def temporary_of(path: Path) -> Path:
    """Where to write what becomes a file: two that write the same one are not in each other's way."""
    return path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")


def replace_with_text(path: Path, text: str) -> None:
    temporary = temporary_of(path)
    temporary.write_text(text, encoding="utf-8")
    put_in_place(temporary, path)


@contextmanager
def private_folder(beside: Path, prefix: str) -> Iterator[Path]:
    """A folder in `beside` for what is made in the block and moved out when it is whole.

    Its name starts with `prefix` and it is its owner's only. While it is there it is
    locked: those that nobody holds were left by who was killed, and are removed first.
    """
    _remove_left_behind(beside, prefix)
    private, descriptor = _locked_folder(beside, prefix)
    try:
        yield private
    finally:
        shutil.rmtree(private)
        os.close(descriptor)


def _locked_folder(beside: Path, prefix: str) -> tuple[Path, int]:
    while True:
        private = Path(tempfile.mkdtemp(prefix=prefix, dir=beside))
        with suppress(FileNotFoundError):
            descriptor = os.open(private, os.O_RDONLY)
            # Where folders can't be locked, nobody takes this one for left behind.
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            # Somebody who looked before it was locked may have removed it.
            if private.exists():
                return private, descriptor
            os.close(descriptor)


def _remove_left_behind(beside: Path, prefix: str) -> None:
    for path in beside.glob(f"{glob.escape(prefix)}*"):
        # What can't be removed is in nobody's way.
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if os.fstat(descriptor).st_uid == os.getuid():
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(path)
            finally:
                os.close(descriptor)


def to_disk(path: Path) -> None:
    """Return when a file, or the names in a folder, would survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
