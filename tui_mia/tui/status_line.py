"""The line at the top right: what goes on, wherever one is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tui_mia.clean import printable

if TYPE_CHECKING:
    from tui_mia.board import Board


def status_line(board: Board) -> str:
    """What goes on, in a few words."""
    return "  ".join(_status_parts(board))


def _status_parts(board: Board) -> Iterator[str]:
    live = board.live()
    if live:
        progress = live[0].state.progress if live[0].state else None
        yield printable(f"{progress.phase} {progress.fraction:.0%}") if progress else live[0].status
    if len(live) > 1:
        yield f"+{len(live) - 1} going on"
    if queued := len(board.queued()):
        yield f"{queued} queued"
