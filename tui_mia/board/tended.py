"""A run that the board is at work on: it waits for a device, goes on, or is being saved."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tui_mia.board.board_run import LIVE, BoardRun, RunStatus, parsed_spec
from tui_mia.runs import Event, Finished, Progress, RunDirectory, RunState, Worker
from tui_mia.runs.devices import Place, device_names, devices_in_use, wish_of
from tui_mia.runs.gpu import Gpu

# Until the worker has loaded its libraries there is nothing to see of the run.
FIRST_PHASE = "start"
# A worker that has said its last word is gone in a moment.
EXIT_SECONDS = 5.0
POLL_SECONDS = 0.05


@dataclass(eq=False)
class TendedRun:
    """Changed by the board alone, and only on its event loop.

    `place` is where the board started it, `gone` is set once its worker is, and
    `task` follows, then saves it.
    """

    directory: RunDirectory
    status: RunStatus
    spec_text: str
    created_at: datetime | None
    queued_at: int = 0
    state: RunState = field(default_factory=RunState)
    place: Place | None = None
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
        """The device or devices that the spec asks for."""
        spec = parsed_spec(self.spec_text)
        return wish_of(spec) if spec else "auto"

    def take(self, event: Event) -> None:
        self.state = self.state.after(event)
        is_under_way = isinstance(event, Progress) and event.phase != FIRST_PHASE
        if self.status == "starting" and is_under_way:
            self.status = "running"

    async def is_gone(self) -> bool:
        """Wait for the end of a worker that has said its last word; false if there is one still."""
        if self.worker is not None:
            await self.worker.wait()
        for _ in range(round(EXIT_SECONDS / POLL_SECONDS)):
            if not self.directory.is_running():
                return True
            await asyncio.sleep(POLL_SECONDS)
        return False

    def withdraw(self) -> None:
        """Take the run out of the queue, on disk; one that has never run is cancelled by that."""
        # Nobody may start it meanwhile; whoever has, has taken it out of the queue.
        with self.directory.claim() as claimed:
            if claimed is None:
                return
            self.directory.queued_path.unlink(missing_ok=True)
            if not isinstance(self.directory.last_event(), Finished):
                self.directory.append(Finished("cancelled"))

    def devices_in(self, gpus: Sequence[Gpu]) -> tuple[str, ...]:
        """The devices that the run has, or will have once its model is loaded."""
        if self.place is not None and self.state.launched is None:
            return self.place.devices
        return devices_in_use(self.wish, self.state, gpus)

    def snapshot(self, gpus: Sequence[Gpu]) -> BoardRun:
        devices = (self.wish,) if self.status == "queued" else self.devices_in(gpus)
        names = device_names(gpus)
        return BoardRun(
            run_id=self.run_id,
            status=self.status,
            created_at=self.created_at,
            device=", ".join(names.get(device, device) for device in devices),
            spec_text=self.spec_text,
            directory=self.directory,
            state=self.state,
            problem=self.problem,
        )
