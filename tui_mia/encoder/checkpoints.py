"""Checkpoints that lie in object storage, fetched once into a folder that is the user's alone."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

from platformdirs import user_cache_path

from tui_mia.runs.files import put_in_place
from tui_mia.runs.space import naming
from tui_mia.storage import Seen, Url

_CHUNK_BYTES: Final = 2**23
_ENDING: Final = re.compile(r"\.\w{1,16}")


def checkpoints_folder() -> Path:
    """Where fetched checkpoints are; whatever is in it may be deleted."""
    return user_cache_path("tui-mia") / "checkpoints"


def fetched_checkpoint(url: Url) -> Path:
    """The file that a checkpoint is in once it is fetched, which it is unless that very one was before.

    Raises:
        StorageError: if it is not there, may not be read, the store stays away, or it changes meanwhile.
        OSError: if it can't be written, as where the disk is full.
    """
    seen = url.look()
    path = place_of(url, seen)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Of several processes that load the same model one fetches it, and the others wait for that.
    with _opened(path.with_name(f"{path.name}.lock")) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_fetched(url, seen):
            _sweep(path.parent)
            _fetch(url, path)
    return path


def _fetch(url: Url, path: Path) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with naming(temporary), _opened(temporary) as file, url.open() as source:
            fcntl.flock(file, fcntl.LOCK_EX)
            shutil.copyfileobj(source, file, _CHUNK_BYTES)
        put_in_place(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _opened(path: Path) -> BinaryIO:
    """A file for writing, of which nobody else can read anything."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")


def is_fetched(url: Url, seen: Seen) -> bool:
    """Whether the very object is here; one that is known by nothing but its size may be another."""
    return seen.version is not None and place_of(url, seen).exists()


def place_of(url: Url, seen: Seen) -> Path:
    """The file for an object that is what it was seen to be, with the ending that tells how to load it."""
    name = hashlib.sha256(f"{url}\0{seen.size}\0{seen.version}".encode()).hexdigest()[:32]
    return checkpoints_folder() / f"{name}{url.suffix if _ENDING.fullmatch(url.suffix) else ''}"


def _sweep(folder: Path) -> None:
    """Remove what processes that were killed have left half fetched."""
    for temporary in folder.glob("*.tmp"):
        with suppress(OSError), temporary.open("rb") as file:  # held by who is at it, or gone in this moment
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            temporary.unlink()
