"""A run that the board is at work on: it waits for a device, goes on, or is being saved."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime

from tui_mia.board.board_run import LIVE, BoardRun, RunStatus, parsed_spec
from tui_mia.runs import Event, Progress, RunDirectory, RunState, Worker

# Until the worker has loaded its libraries there is nothing to see of the run.
FIRST_PHASE = "start"


@dataclass(eq=False)
class TendedRun:
    """Changed by the board alone, and only on its event loop.

    `device` is the one that the run has, `gone` is set once its worker is, and
    `task` follows, then saves it.
    """

    directory: RunDirectory
    status: RunStatus
    spec_text: str
    created_at: datetime | None
    queued_at: int = 0
    state: RunState = field(default_factory=RunState)
    device: str | None = None
    problem: str | None = None
    worker: Worker | None = None
    task: asyncio.Task[None] | None = None
    stopping: asyncio.Task[None] | None = None
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def run_id(self) -> str:
        return self.directory.run_id

    @property
    def is_live(self) -> bool:
        return self.status in LIVE

    @property
    def wish(self) -> str:
        """The device that the spec asks for."""
        spec = parsed_spec(self.spec_text)
        return spec.model.device if spec else "auto"

    def take(self, event: Event) -> None:
        self.state = self.state.after(event)
        is_under_way = isinstance(event, Progress) and event.phase != FIRST_PHASE
        if self.status == "starting" and is_under_way:
            self.status = "running"

    def snapshot(self, device_name: str | None) -> BoardRun:
        return BoardRun(
            run_id=self.run_id,
            status=self.status,
            created_at=self.created_at,
            device=device_name,
            spec_text=self.spec_text,
            directory=self.directory,
            state=self.state,
            problem=self.problem,
        )
