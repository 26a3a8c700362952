"""What lies in the folder of a database's runs, looked at again and again at little cost."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from tui_mia.runs.directory import RunDirectory
from tui_mia.runs.events import Event, Finished

Stamp: TypeAlias = tuple[tuple[int, int] | None, ...]


@dataclass(frozen=True)
class FoundRun:
    """A run as its directory tells it, but for its spec and what happened before the last event.

    `queued_at` is the time in nanoseconds at which it was queued, None where it
    isn't; `landed` is the end of the run that the database has, as text.
    """

    directory: RunDirectory
    stamp: Stamp
    last: Event | None
    landed: str
    queued_at: int | None
    is_running: bool

    @property
    def finished(self) -> Finished | None:
        """How the run ended; None where it goes on, was never started, or its worker died."""
        return self.last if isinstance(self.last, Finished) and not self.is_running else None

    @property
    def is_left_behind(self) -> bool:
        """Whether the run has finished since its database heard of it."""
        return self.finished is not None and self.landed != str(self.finished.ended_at)


def scan(
    folder: Path,
    before: Mapping[str, FoundRun] | None = None,
    tell: Callable[[str], None] = lambda problem: None,
) -> dict[str, FoundRun]:
    """The runs in a folder by id; `before` is what the last look found, to save reading it again.

    A run that can't be looked at is left out, and why is told; the others are seen all the same.
    """
    found: dict[str, FoundRun] = {}
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_dir()]
    except OSError:  # no run was ever started, or its last one was deleted with the folder
        return found
    for name in sorted(names):
        try:
            run = look(RunDirectory(folder / name), (before or {}).get(name))
        except OSError as error:
            tell(f"run {name} can't be looked at: {error}")
            continue
        if run is not None:
            found[name] = run
    return found


def look(directory: RunDirectory, before: FoundRun | None = None) -> FoundRun | None:
    """A run as it stands; None for a directory that is no run, or no more."""
    stamp = tuple(
        map(
            _file_stamp,
            (directory.spec_path, directory.events_path, directory.queued_path, directory.landed_path),
        )
    )
    if stamp[0] is None:
        return None
    # A run that is at its end starts again with an event; any other may lose its worker without a word.
    is_running = before is None or before.stamp != stamp or before.finished is None
    is_running = is_running and directory.is_running()
    if before is not None and before.stamp == stamp:
        return before if before.is_running == is_running else replace(before, is_running=is_running)
    return FoundRun(
        directory=directory,
        stamp=stamp,
        last=directory.last_event(),
        landed=_text(directory.landed_path),
        queued_at=stamp[2][0] if stamp[2] else None,
        is_running=is_running,
    )


def _file_stamp(path: Path) -> tuple[int, int] | None:
    """What changes when a file does; None for one that isn't there."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
