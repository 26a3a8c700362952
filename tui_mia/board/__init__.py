"""The board: every run of a database, those in it, those going on and those that wait for a device.

Specs and wishes (submit, cancel, resume, delete) come in; snapshots of runs go
out, whenever somebody asks. It starts, follows and lands runs on the event loop
of a front end that stays open; no screen enters this room.
"""

from tui_mia.board.board import Board
from tui_mia.board.board_run import LIVE, BoardRun, RunStatus
from tui_mia.board.errands import Tell

__all__ = ["LIVE", "Board", "BoardRun", "RunStatus", "Tell"]
