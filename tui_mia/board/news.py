"""What a user hears of what the board sees: sentences, and how bad it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

from tui_mia.board.sight import Sight
from tui_mia.runs import Finished, RunState

News: TypeAlias = tuple[str, Literal["info", "warning", "error"]]


def problems(before: Sight, seen: Sight, *, is_writing: bool) -> Iterator[News]:
    """What can't be read now and could before; a file that is locked is no news to who `is_writing` it."""
    is_ours = seen.is_locked and is_writing
    if seen.database_problem and seen.database_problem != before.database_problem and not is_ours:
        again = "; it is tried again every few seconds" if seen.is_locked else ""
        yield f"{seen.database_problem}{again}", "warning" if seen.is_locked else "error"
    for problem in seen.bad_runs:
        if problem not in before.bad_runs:
            yield problem, "warning"


def ending(run_id: str, state: RunState) -> News:
    """How a run has ended."""
    match state.finished:
        case Finished(status="failed", error=error):
            return f"run {run_id} failed: {error}", "error"
        case Finished(status="cancelled"):
            return f"run {run_id} was cancelled; it can be resumed", "info"
        case _:
            return f"run {run_id} is done", "info"
