"""Runs: what a run is between processes: its directory, its events, and the worker that carries it out.

A spec comes in; a run directory and a stream of events go out. No torch, no
screen and no database enters this room.
"""

from tui_mia.runs.directory import RunDirectory, RunDirectoryError
from tui_mia.runs.events import (
    Event,
    Finished,
    Launched,
    Loaded,
    Note,
    Progress,
    ReferenceLoaded,
    ShardEncoded,
    Skipped,
    Started,
)
from tui_mia.runs.identity import find_unfinished
from tui_mia.runs.opening import OpenedRun, open_again, open_run
from tui_mia.runs.state import Phase, RunState
from tui_mia.runs.supervisor import NotQueued, Worker, follow, start_worker, stop_worker

__all__ = [
    "Event",
    "Finished",
    "Launched",
    "Loaded",
    "NotQueued",
    "Note",
    "OpenedRun",
    "Phase",
    "Progress",
    "ReferenceLoaded",
    "RunDirectory",
    "RunDirectoryError",
    "RunState",
    "ShardEncoded",
    "Skipped",
    "Started",
    "Worker",
    "find_unfinished",
    "follow",
    "open_again",
    "open_run",
    "start_worker",
    "stop_worker",
]
