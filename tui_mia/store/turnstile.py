"""A turnstile before the database: readers that come one after another must not keep a writer out for ever.

DuckDB's own lock knows no turns: whoever looks in a moment when nobody has the file gets
it, and with a few readers there is no such moment. So a writer that waits locks the folder
of the database's runs, and who wants to read lets it pass first. Not the file itself: whoever
closes a file takes with that every lock that its process has on it, DuckDB's included. Where
there is no such folder, or no such locks, the file is had as DuckDB gives it.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tui_mia.runs.directory import runs_folder

# A writer that does not get in for so long may wait for somebody who never leaves: reading goes on.
LONGEST_SECONDS: Final = 10.0
_PAUSE_SECONDS: Final = 0.02


@contextmanager
def ahead_of_readers(database: Path, wait_seconds: float) -> Iterator[None]:
    """Keep those who come to read from the database out while the block waits for it."""
    with locked(runs_folder(database), fcntl.LOCK_EX, wait_seconds):
        yield


def let_writers_pass(database: Path, wait_seconds: float) -> None:
    """Wait while a writer waits for the database, though not for long."""
    with locked(runs_folder(database), fcntl.LOCK_SH, min(wait_seconds, LONGEST_SECONDS)):
        pass


@contextmanager
def locked(folder: Path, kind: int, wait_seconds: float) -> Iterator[bool]:
    """Hold a lock on a folder for the block, if it can be had in time; whether it could."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        yield False
        return
    deadline = time.monotonic() + wait_seconds
    try:
        while not (held := _try_lock(descriptor, kind)) and time.monotonic() + _PAUSE_SECONDS < deadline:
            time.sleep(_PAUSE_SECONDS)
        yield held
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int, kind: int) -> bool:
    """Lock the folder, unless somebody has it; one that can't be locked at all counts as free."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
