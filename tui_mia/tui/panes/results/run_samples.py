"""What the Results pane knows of a run, and how it says what it shows of it."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tui_mia.clean import printable
from tui_mia.store import (
    LiveRun,
    QueryHandle,
    SampleFilter,
    SampleRow,
    SampleSort,
    SampleSource,
    ScoredAttack,
    StoredRun,
    open_samples,
)
from tui_mia.tui.panes.results.sample_columns import POOL_NAMES, direction, first_sort, sort_name

if TYPE_CHECKING:
    from tui_mia.board import BoardRun

# A page is wanted now: who has to wait for longer is told, and it is tried again.
WAIT_SECONDS: Final = 1.0
LONGEST_FILTER_TEXT: Final = 40
_MEMBERSHIP: Final[Mapping[str, str]] = {
    "yes": "members",
    "no": "non-members",
    "unknown": "membership not known",
}


@dataclass(frozen=True)
class RunSamples:
    """A run whose samples are shown: where they are read, its attacks, and how many samples a pool has.

    `first` are rows by `first_sort`, from the top, as far as they are at hand.
    """

    source: SampleSource
    attacks: Sequence[ScoredAttack] = ()
    counts: Mapping[str, int] | None = None
    first: Sequence[SampleRow] = ()

    @property
    def run_id(self) -> str:
        return self.source.run_id

    @property
    def is_stored(self) -> bool:
        """Whether these are all the samples there will be."""
        return not isinstance(self.source, LiveRun)

    @property
    def total(self) -> int:
        return sum((self.counts or {}).values())


def look_at(source: SampleSource, first_rows: int, handle: QueryHandle) -> RunSamples:
    """What there is of a run, as it is now, and its first rows."""
    return RunSamples(source, *open_samples(source, first_sort, first_rows, handle))


def is_stored(run: BoardRun) -> bool:
    """Whether the database has the run, all of it, and its samples."""
    return run.in_database and not run.is_live and bool(run.samples)


def find_source(runs: Sequence[BoardRun], database: Path, run_id: str | None) -> SampleSource | None:
    """Where the samples of a run are, or of the first that has any; for a thread, as it looks at files.

    That is the database or, as long as they aren't there, the directory of the run: of one that failed
    or was cancelled the database has no samples. Raises `StoreError`.
    """
    named = [run for run in runs if run_id in (None, run.run_id)]
    for run in named:
        if is_stored(run):
            return StoredRun(database, run.run_id, WAIT_SECONDS)
        if run.directory is not None and (run.is_live or any(run.directory.parts.glob("*.parquet"))):
            return LiveRun(run.directory)
    # The board looks only now and then, and not while the database is held; it may have more of a run.
    unseen = all(run.in_database and run.row is None for run in named)
    return StoredRun(database, run_id, WAIT_SECONDS) if run_id is not None and unseen else None


def close_later(source: LiveRun) -> None:
    """Close in a thread of its own: it may have to wait for the end of a query."""
    threading.Thread(target=source.close, name="tui-mia-close").start()


def title(
    run: RunSamples,
    shown_count: int,
    sort: SampleSort,
    where: SampleFilter,
    marked: int,
    *,
    first_only: bool,
    doing: str,
) -> str:
    """What is shown of a run, in a line, and the filter in a second if there is one."""
    first = "the first " if first_only else ""
    of = f" of {run.total:,}" if first_only or where != SampleFilter() else ""
    parts = [
        f"run {printable(run.run_id)}",
        f"{first}{shown_count:,}{of} {_samples(run.total if of else shown_count)}"
        f"{'' if run.is_stored else ' so far'}",
        f"by {sort_name(sort)} {direction(sort)}",
    ]
    if marked:
        parts.append(f"{marked:,} marked")
    if doing:
        parts.append(doing)
    lines = [", ".join(parts)]
    if where != SampleFilter():
        lines.append(f"filter: {', '.join(filter_parts(where))}")
    return "\n".join(lines)


def counted(count: int) -> str:
    """So many samples."""
    return f"{count:,} {_samples(count)}"


def _samples(count: int) -> str:
    return "sample" if count == 1 else "samples"


def filter_parts(where: SampleFilter) -> list[str]:
    """What a filter lets through, in words."""
    parts = []
    if where.text:
        more = "…" if len(where.text) > LONGEST_FILTER_TEXT else ""
        parts.append(f'text "{printable(where.text[:LONGEST_FILTER_TEXT])}{more}"')
    if where.pool is not None:
        parts.append(printable(POOL_NAMES.get(where.pool, where.pool)))
    if where.member is not None:
        parts.append(_MEMBERSHIP[where.member])
    for limits in where.ranges:
        low = f"{limits.low:g} ≤ " if limits.low is not None else ""
        high = f" ≤ {limits.high:g}" if limits.high is not None else ""
        parts.append(f"{low}{printable(limits.attack)}{high}")
    return parts


def place(position: int, count: int, row: SampleRow | None, number: int) -> str:
    """Where the cursor is, and what a narrow table has no room for."""
    parts = [f"{position + 1:,} of {count:,}", f"#{number}"]
    if row is not None:
        parts += [POOL_NAMES.get(row.pool, row.pool), f"key {row.key}", f"id {row.sample_id}"]
    return "   ".join(map(printable, parts))
