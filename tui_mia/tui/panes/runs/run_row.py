"""A run as a line of the list of runs, with as much as the width has room for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from rich.cells import cell_len, set_cell_size

from tui_mia.board import BoardRun, RunStatus
from tui_mia.clean import printable
from tui_mia.display.words import duration, highest_auc, short_model, short_verdict

SYMBOLS: Final[Mapping[RunStatus, str]] = {
    "queued": "○",
    "starting": "●",
    "running": "●",
    "cancelling": "●",
    "saving": "●",
    "done": "✓",
    "failed": "✗",
    "cut off": "✗",
    "cancelled": "-",
}
POOLS: Final = ("candidates", "nonmembers", "general", "bank")


class Column(NamedTuple):
    """`width` in cells; None takes what the others leave."""

    header: str
    width: int | None
    cell: Callable[[BoardRun], str]


def status_words(run: BoardRun) -> str:
    return f"{SYMBOLS[run.status]} {run.status}"


def pools_words(run: BoardRun) -> str:
    """How many pairs each pool has, in the order candidates, known non-members, general, bank."""
    if run.samples:
        return "/".join(short_count(run.samples[pool]) for pool in POOLS if pool in run.samples)
    return f"{len(run.pools)} pools" if len(run.pools) > 1 else "1 pool" if run.pools else "-"


def result_words(run: BoardRun) -> str:
    """What there is to say of a run in three words: how far, how good, or why not."""
    progress = run.state.progress if run.state else None
    match run.status:
        case "queued":
            return f"waits for {run.device}"
        case "starting" | "running" if progress:
            left = f" {duration(progress.eta_seconds)} left" if progress.eta_seconds else ""
            return f"{progress.phase} {progress.fraction:.0%}{left}"
        case "saving":
            return "waits for database" if run.problem else "into the database"
        case "done":
            return highest_auc(run.auc) if run.auc else "no labels" if run.in_database else "not in database"
        case "failed" | "cut off":
            return (run.problem or "").partition("\n")[0]
        case "cancelled":
            return "r resumes it"
    return ""


def short_count(number: int) -> str:
    """A number in at most four characters up to a billion: 70, 1.2k, 15k, 3.4M."""
    for size, letter in ((10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.1f}{letter}" if number < 10 * size else f"{number // size}{letter}"
    return str(number)


STATUS: Final = Column("  status", 12, status_words)
RUN: Final = Column("run", 20, lambda run: run.run_id)
MODEL: Final = Column("model", None, lambda run: short_model(run.architecture, run.pretrained))
ATTACKS: Final = Column("attacks", 16, lambda run: " ".join(run.attacks))
RESULT: Final = Column("result", 20, result_words)
SHORT_RESULT: Final = Column("result", 19, result_words)
VERDICT: Final = Column("verdict", 12, lambda run: short_verdict(run.verdict) if run.status == "done" else "")
DEVICE: Final = Column("device", 7, lambda run: run.device or "-")
SHORT_POOLS: Final = Column("pools", 12, pools_words)
POOLS_COLUMN: Final = Column("pools", 16, pools_words)
STARTED: Final = Column(
    "made", 11, lambda run: f"{run.created_at.astimezone():%m-%d %H:%M}" if run.created_at else "-"
)

# The fullest that leaves the model a name's width is taken.
LAYOUTS: Final[Sequence[Sequence[Column]]] = (
    (STATUS, RUN, STARTED, DEVICE, MODEL, POOLS_COLUMN, ATTACKS, RESULT, VERDICT),
    (STATUS, RUN, MODEL, POOLS_COLUMN, ATTACKS, RESULT, VERDICT),
    (STATUS, RUN, MODEL, SHORT_POOLS, ATTACKS, SHORT_RESULT, VERDICT),
    (STATUS, RUN, MODEL, SHORT_POOLS, SHORT_RESULT, VERDICT),
    (STATUS, RUN, MODEL, SHORT_RESULT, VERDICT),
    (STATUS, MODEL, RESULT, VERDICT),
    (STATUS, MODEL, VERDICT),
    (STATUS, MODEL),
)
NARROWEST_MODEL: Final = 10


def columns_for(width: int) -> list[Column]:
    """The columns that a line of so many cells has room for, all of them with a width."""
    for layout in LAYOUTS:
        left = width - sum(column.width or 0 for column in layout) - (len(layout) - 1)
        if left >= NARROWEST_MODEL:
            break
    return [column if column.width is not None else column._replace(width=max(0, left)) for column in layout]


def header_line(columns: Sequence[Column]) -> str:
    return _line(columns, [column.header for column in columns])


def run_line(run: BoardRun, columns: Sequence[Column]) -> str:
    """The line of a run; it may come from outside, and is safe to show."""
    return _line(columns, [printable(column.cell(run)) for column in columns])


def _line(columns: Sequence[Column], cells: Sequence[str]) -> str:
    return " ".join(_fitted(cell, column.width or 0) for column, cell in zip(columns, cells, strict=True))


def _fitted(text: str, width: int) -> str:
    if cell_len(text) <= width:
        return set_cell_size(text, width)
    return f"{set_cell_size(text, width - 1)}…" if width > 0 else ""
