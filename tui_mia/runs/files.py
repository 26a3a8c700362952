"""Files that are there whole or not at all, also after a power cut."""

from __future__ import annotations

import os
import secrets
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


def to_disk(path: Path) -> None:
    """Return when a file, or the names in a folder, would survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
