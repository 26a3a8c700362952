"""The parts that finished runs keep so that later ones need not encode again, kept below a limit.

Nothing else reads them once the database has a run: its tables have the scores,
and go into any database without them.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tui_mia.runs.directory import RunDirectory
from tui_mia.runs.scan import FoundRun, scan


@dataclass(frozen=True)
class Removed:
    """The ids of the runs whose parts were removed, the oldest first, and how many bytes that freed."""

    run_ids: tuple[str, ...] = ()
    bytes: int = 0


def remove_oldest(folder: Path, limit_bytes: float) -> Removed:
    """Remove parts of the oldest runs in a folder until those of the others are below a limit.

    Only of runs that are done and in the database: any other may be gone on with,
    from its parts. A part that several runs share counts once, and goes with
    the last of them.
    """
    done = [run.directory for _, run in sorted(scan(folder).items()) if _is_at_rest(run)]
    stored = [(run, sizes) for run in done if (sizes := _sizes(run))]
    sharers = Counter(file for _, sizes in stored for file in sizes)
    over = sum({file: size for _, sizes in stored for file, size in sizes.items()}.values()) - limit_bytes
    removed: list[str] = []
    freed = 0
    for run, sizes in stored:
        if freed >= over:
            break
        _remove(run)
        removed.append(run.run_id)
        sharers.subtract(sizes.keys())
        freed += sum(size for file, size in sizes.items() if not sharers[file])
    return Removed(tuple(removed), freed)


def _is_at_rest(run: FoundRun) -> bool:
    done = run.finished is not None and run.finished.status == "done"
    return done and not run.is_left_behind and run.queued_at is None


def _parts(run: RunDirectory) -> list[Path]:
    """Samples before rejects: where samples are, a part is whole."""
    return sorted(run.parts.glob("*.parquet"), key=lambda path: path.name.startswith("rejects-"))


def _sizes(run: RunDirectory) -> dict[tuple[int, int], int]:
    """Bytes by what tells a file apart, however many runs it is in."""
    found: dict[tuple[int, int], int] = {}
    for path in _parts(run):
        with contextlib.suppress(FileNotFoundError):  # removed by another front end in this moment
            status = path.stat()
            found[status.st_dev, status.st_ino] = status.st_size
    return found


def _remove(run: RunDirectory) -> None:
    for path in _parts(run):
        path.unlink(missing_ok=True)
