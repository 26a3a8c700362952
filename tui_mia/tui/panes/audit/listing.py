"""What is in a folder, for someone who picks or types a path; any name is possible there."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path


@dataclass(frozen=True)
class Entry:
    """A file or folder by its name; `size` in bytes, of files."""

    name: str
    is_folder: bool
    size: int


def list_folder(folder: Path) -> list[Entry]:
    """Folders first, then files, each by name.

    Raises:
        OSError: if it can't be listed.
    """
    with os.scandir(folder) as found:
        entries = [_entry(each) for each in found]
    return sorted(entries, key=lambda entry: (not entry.is_folder, entry.name.casefold(), entry.name))


def fitting(entries: list[Entry], start: str) -> list[Entry]:
    """The entries whose names begin so, else those that do in any case; hidden ones only if asked for."""
    shown = [entry for entry in entries if start.startswith(".") or not entry.name.startswith(".")]
    exact = [entry for entry in shown if entry.name.startswith(start)]
    return exact or [entry for entry in shown if entry.name.casefold().startswith(start.casefold())]


def complete_path(typed: str, base: Path, wanted: Callable[[Entry], bool] = lambda entry: True) -> list[str]:
    """The paths that what was typed may become, written as it was; folders end in a slash.

    `typed` is relative to `base`; entries that are not `wanted` are left out.
    """
    above, slash, start = typed.rpartition("/")
    if typed == "~":
        above, slash, start = "~", "/", ""
    folder = base / os.path.expanduser(above + slash)
    try:
        entries = list_folder(folder)
    except (OSError, ValueError):  # no folder, no permission, no path at all
        return []
    return [
        f"{above}{slash}{entry.name}{'/' if entry.is_folder else ''}"
        for entry in fitting(entries, start)
        if wanted(entry)
    ]


def common_start(texts: list[str]) -> str:
    """What all of them begin with, character by character."""
    first, last = min(texts, default=""), max(texts, default="")
    same = takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    return first[: len(list(same))]


def _entry(found: os.DirEntry[str]) -> Entry:
    try:
        is_folder = found.is_dir()
        return Entry(found.name, is_folder, 0 if is_folder else found.stat().st_size)
    except OSError:  # a link to nowhere, or gone meanwhile
        return Entry(found.name, False, 0)
