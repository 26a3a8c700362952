"""The board itself: queue, start, follow, cancel and save the runs of one database."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal

from tui_mia.board.board_run import BoardRun, by_age, created_at, settled_run
from tui_mia.board.errands import Errands, Tell, in_thread
from tui_mia.board.news import ending, problems
from tui_mia.board.saving import WAIT_SECONDS, Saver
from tui_mia.board.sight import Sight, look_around, spec_text
from tui_mia.board.tended import TendedRun
from tui_mia.landing import forget
from tui_mia.runs import (
    Finished,
    NotQueued,
    RunDirectory,
    RunDirectoryError,
    RunState,
    follow,
    open_again,
    open_run,
    start_worker,
    stop_worker,
)
from tui_mia.runs.devices import Place, startable, visible_gpus
from tui_mia.runs.directory import runs_folder
from tui_mia.runs.gpu import Gpu, gpus
from tui_mia.runs.scan import FoundRun, look
from tui_mia.spec import AuditSpec
from tui_mia.store import StoreError, bring_up_to_date

SECONDS_BETWEEN_LOOKS = 2.0
DELETE_WAIT_SECONDS = 5.0
# How long whoever cancels everything on the way out waits for the database.
LAST_SAVE_SECONDS = 2.0
STOP_SECONDS = 10.0


class Board:
    """The runs of a database, seen through on the event loop of whoever opens it.

    `version` grows with every change: a screen that shows `runs()` looks at its
    own pace whether there is something new. What a user should hear of goes to
    `tell`. Workers outlive the board; what it was told to do lies on disk, where
    the next board finds it.
    """

    def __init__(self, database: Path, tell: Tell, find_gpus: Callable[[], list[Gpu]] = gpus) -> None:
        self.database = Path(os.path.realpath(database))
        self.version = 0
        self.gpus: list[Gpu] = []
        self._tell = tell
        self._find_gpus = find_gpus
        self._sight = Sight()
        self._tended: dict[str, TendedRun] = {}
        self._settled: dict[str, BoardRun] = {}
        self._not_landable: dict[str, tuple[FoundRun, str]] = {}
        self._is_settled = True
        self._snapshot: tuple[int, list[BoardRun]] = (-1, [])
        # Grows whenever a run is taken up or put down: what was seen before that is out of date.
        self._moves = 0
        self._errands = Errands(tell)
        self._saver = Saver(self.database, tell, self._changed)
        self._opening, self._looking, self._starting = asyncio.Lock(), asyncio.Lock(), asyncio.Lock()

    @property
    def database_problem(self) -> str | None:
        """Why the database could not be read the last time; None where it could, or is not there yet."""
        return self._sight.database_problem

    def runs(self) -> list[BoardRun]:
        """Every run, newest first."""
        if self._snapshot[0] != self.version:
            tended = {run_id: run.snapshot(self.gpus) for run_id, run in self._tended.items()}
            runs = {**self._settled, **tended}.values()
            self._snapshot = (self.version, sorted(runs, key=by_age, reverse=True))
        return self._snapshot[1]

    def run(self, run_id: str) -> BoardRun | None:
        return next((run for run in self.runs() if run.run_id == run_id), None)

    def live(self) -> list[BoardRun]:
        """The runs whose worker is there, newest first."""
        return [run for run in self.runs() if run.is_live]

    def queued(self) -> list[BoardRun]:
        """The runs that wait for their device, in their order."""
        by_id = {run.run_id: run for run in self.runs()}
        return [by_id[run.run_id] for run in self._queue()]

    async def open(self) -> None:
        """Take up what an earlier front end left: land, follow and queue it, and from now on look out."""
        await self.refresh_gpus()
        with suppress(StoreError):  # what is wrong with it the look will tell
            if told := await asyncio.to_thread(bring_up_to_date, self.database, WAIT_SECONDS):
                self._tell(told, "info")
        await self._look()
        self._errands.begin(self._watch())

    async def refresh(self) -> None:
        """Look again at the database and its folder, and try again what could not be saved."""
        self._not_landable.clear()
        self._is_settled = False
        self._saver.try_now()
        await self._look()

    async def refresh_gpus(self) -> list[Gpu]:
        """Ask the GPUs that a run may use what they are doing now."""
        found = await asyncio.to_thread(self._find_gpus)
        self.gpus = visible_gpus(found, os.environ.get("CUDA_VISIBLE_DEVICES"))
        return self.gpus

    async def submit(self, spec: AuditSpec, *, new: bool = False) -> str:
        """Queue an audit, and start it when its device is free; the run's id.

        The unfinished run of the same spec on the same files is joined or gone
        on with, unless `new`. Scores go to the database of this board.

        Raises:
            RunDirectoryError: if the directory of the run can't be made.
        """
        here = spec.output.model_copy(update={"database": str(self.database)})
        async with self._opening:
            opened = await in_thread(open_run, spec.model_copy(update={"output": here}), new=new)
            run_id = opened.directory.run_id
            if opened.how != "starting":
                self._tell(f"{opened.how} run {run_id} of the same spec", "info")
            await self._take_up(opened.directory)
        if any(run.run_id == run_id for run in self._queue()):
            self._tell(f"run {run_id} is queued: its device is in use", "info")
        return run_id

    async def resume(self, run_id: str) -> None:
        """Queue a run that was cancelled, cut off or failed, to go on with.

        Raises:
            RunDirectoryError: if it is done, its directory is gone, or its input
                files have changed.
        """
        async with self._opening:
            directory = self._directory(run_id)
            if directory is None:
                raise RunDirectoryError(f"run {run_id} can't be resumed: its run directory is gone")
            if await self._at_rest(run_id):
                await in_thread(open_again, directory)
            await self._take_up(directory)

    async def cancel(self, run_id: str) -> None:
        """Stop a run, or take it out of the queue; back once its worker is gone. It can be resumed."""
        run = self._tended.get(run_id)
        if run is None or run.status == "saving":
            return
        # Whoever asked may leave; the run is stopped nevertheless.
        await asyncio.shield(self._stopping(run))

    async def cancel_all(self) -> None:
        """Stop everything that goes on or waits; back once no worker is left, and what can be saved is.

        A worker that does not end, as one that hangs in the driver, is not waited for for long.
        """
        runs = [run for run in self._tended.values() if run.is_live or run.status == "queued"]
        runs.sort(key=lambda run: run.status != "queued")  # none may start because another one stops
        if stopping := [self._stopping(run) for run in runs]:
            await asyncio.wait(stopping, timeout=STOP_SECONDS)
        if saving := [run.task for run in self._tended.values() if run.task is not None]:
            await asyncio.wait(saving, timeout=LAST_SAVE_SECONDS)

    async def delete(self, run_id: str) -> None:
        """Delete a run: its rows in the database and its run directory.

        Raises:
            RunDirectoryError: if it goes on or is being saved, or its directory can't be deleted.
            StoreError: if the database can't be written; the run is kept as it is.
        """
        async with self._opening:
            tended = self._tended.get(run_id)
            if tended is not None and tended.status != "queued":
                doing = "is being saved" if tended.status == "saving" else "is going on; cancel it first"
                raise RunDirectoryError(f"run {run_id} {doing}")
            if tended is not None:
                self._put_down(tended)
            try:
                directory = self._directory(run_id) or RunDirectory(runs_folder(self.database) / run_id)
                await in_thread(forget, self.database, directory, DELETE_WAIT_SECONDS)
            finally:
                self._moves += 1
                await self._look()

    async def leave(self) -> None:
        """Stop looking on. Workers go on; what is queued or unsaved waits on disk for the next board."""
        runs = list(self._tended.values())
        if stopping := [run.stopping for run in runs if run.stopping]:
            await asyncio.wait(stopping, timeout=STOP_SECONDS)
        await self._errands.end()
        for run in runs:
            if run.worker is not None:
                run.worker.leave()

    # What there is to see

    async def _watch(self) -> None:
        problem: str | None = None
        while True:
            await asyncio.sleep(SECONDS_BETWEEN_LOOKS)
            # A run whose directory is just being made looks like one that was cut off.
            if self._opening.locked():
                continue
            try:
                await self._look()
                problem = None
            except OSError as error:
                if str(error) != problem:
                    problem = str(error)
                    self._tell(f"can't look at the runs: {error}; it is tried again", "warning")

    async def _look(self) -> None:
        """See what others did, and take up what needs it."""
        async with self._looking:
            seen, moves = self._sight, -1
            while moves != self._moves:
                moves = self._moves
                seen = await asyncio.to_thread(look_around, self.database, seen)
            self._see(seen)
            await self._start_what_can()

    def _see(self, seen: Sight) -> None:
        before, self._sight = self._sight, seen
        for news in problems(before, seen, is_writing=self._saver.is_writing):
            self._tell(*news)
        for run_id, found in seen.found.items():
            self._notice(found, self._tended.get(run_id))
        if seen != before or not self._is_settled:
            self._settle()

    def _settle(self) -> None:
        reasons = {run_id: why for run_id, (_, why) in self._not_landable.items()}
        ids = {*self._sight.stored, *self._sight.found}
        self._settled = {run_id: settled_run(run_id, self._sight, reasons.get(run_id)) for run_id in ids}
        self._is_settled = True
        self._changed()

    def _notice(self, found: FoundRun, tended: TendedRun | None) -> None:
        """Take up a run that needs it; one that waits here may have been started or withdrawn elsewhere."""
        waits = tended is not None and tended.status == "queued"
        if tended is not None and not waits:
            return
        if found.is_running:
            self._tell(f"run {found.directory.run_id} is going on; following it", "info")
            self._attend(self._new(found, "starting"))
        elif found.queued_at is not None:
            if not waits:
                self._tend(self._new(found, "queued"))
        elif found.is_left_behind:
            failed = self._not_landable.get(found.directory.run_id)
            if failed is None or failed[0] != found:
                run = self._new(found, "saving")
                self._tend(run)
                run.task = self._errands.begin(self._save_left_behind(run))
        elif tended is not None:
            self._put_down(tended)

    def _new(self, found: FoundRun, status: Literal["queued", "starting", "saving"]) -> TendedRun:
        journal = self._sight.journals.get(found.directory.run_id)
        return TendedRun(
            directory=found.directory,
            status=status,
            spec_text=journal.spec_text if journal else spec_text(found.directory),
            created_at=created_at(found),
            queued_at=found.queued_at or 0,
        )

    # What there is to do

    async def _at_rest(self, run_id: str) -> bool:
        """Whether a run neither goes on nor waits to, once a cancellation has come to its end."""
        tended = self._tended.get(run_id)
        if tended is not None and tended.stopping is not None:
            _, going_on = await asyncio.wait([tended.stopping], timeout=STOP_SECONDS)
            if going_on:
                raise RunDirectoryError(f"run {run_id} is still being cancelled: its worker does not end")
            tended = self._tended.get(run_id)
        return tended is None or tended.status == "saving"

    async def _take_up(self, directory: RunDirectory) -> None:
        """Queue a run that is at rest; one that has a worker is followed."""
        if await self._at_rest(directory.run_id):
            if not await asyncio.to_thread(directory.is_running):
                await in_thread(directory.queued_path.touch)
            if tended := self._tended.get(directory.run_id):
                self._put_down(tended)
            self._moves += 1
        await self._look()

    def _queue(self) -> list[TendedRun]:
        waiting = [run for run in self._tended.values() if run.status == "queued"]
        return sorted(waiting, key=lambda run: (run.queued_at, run.run_id))

    async def _start_what_can(self) -> None:
        async with self._starting:
            if not self._queue():
                return
            await self.refresh_gpus()
            live = [run for run in self._tended.values() if run.is_live]
            busy = {device for run in live for device in run.devices_in(self.gpus)}
            queue = [(run.run_id, run.wish) for run in self._queue()]
            for run_id, place in startable(queue, self.gpus, busy):
                await self._start(self._tended[run_id], place)

    async def _start(self, run: TendedRun, place: Place) -> None:
        try:
            run.worker = await start_worker(run.directory, place.gpu, from_queue=True)
        except NotQueued:  # another board has taken it out; the next look tells what it is now
            self._put_down(run)
            return
        except OSError as error:
            self._put_down(run)
            self._tell(f"run {run.run_id} can't be started: {error}", "error")
            with suppress(OSError):  # the directory itself may be gone
                run.directory.queued_path.unlink(missing_ok=True)
                run.directory.append(Finished("failed", f"its worker can't be started: {error}"))
            return
        run.status, run.place = "starting", place
        self._attend(run)

    def _attend(self, run: TendedRun) -> None:
        self._tend(run)
        run.task = self._errands.begin(self._see_through(run))

    async def _see_through(self, run: TendedRun) -> None:
        """Follow a run to its end, free its device, and save it."""
        try:
            async for event in follow(run.directory, run.worker):
                run.take(event)
                self._changed()
            is_gone = await run.is_gone()
        except OSError as error:
            self._put_down(run)
            self._tell(f"run {run.run_id} can't be followed any more: {error}", "error")
            return
        finally:
            run.gone.set()
        if not is_gone:  # somebody has started it again
            self._put_down(run)
            await self._look()
            return
        run.worker, run.status = None, "saving"
        self._changed()
        self._errands.begin(self._start_what_can())
        await self._save(run)

    async def _save_left_behind(self, run: TendedRun) -> None:
        run.state = RunState.of(await asyncio.to_thread(run.directory.events))
        await self._save(run)

    async def _save(self, run: TendedRun) -> None:
        why_not = await self._saver.save(run)
        if why_not and (found := await asyncio.to_thread(look, run.directory)):
            self._not_landable[run.run_id] = (found, why_not)
            self._is_settled = False
        self._tell(*ending(run.run_id, run.state))
        await self._look()
        self._put_down(run)

    def _stopping(self, run: TendedRun) -> asyncio.Task[None]:
        """The task that stops a run or takes it out of the queue, begun if it isn't yet."""
        if run.stopping is None:
            waits = run.status == "queued"
            run.status = "cancelling"
            self._changed()
            run.stopping = self._errands.begin(self._withdraw(run) if waits else self._stop(run))
        return run.stopping

    async def _stop(self, run: TendedRun) -> None:
        with suppress(FileNotFoundError):  # whoever deletes the directory of a run that goes on
            await stop_worker(run.directory)
        await run.gone.wait()

    async def _withdraw(self, run: TendedRun) -> None:
        """Take a run out of the queue; one that has never run is cancelled, another is what it was."""
        with suppress(OSError):  # the directory itself may be gone
            await asyncio.to_thread(run.withdraw)
        self._put_down(run)
        run.gone.set()
        await self._look()

    def _directory(self, run_id: str) -> RunDirectory | None:
        if run_id in self._tended:
            return self._tended[run_id].directory
        found = self._sight.found.get(run_id)
        return found.directory if found else None

    def _tend(self, run: TendedRun) -> None:
        self._tended[run.run_id] = run
        self._moves += 1
        self._changed()

    def _put_down(self, run: TendedRun) -> None:
        if self._tended.get(run.run_id) is run:
            del self._tended[run.run_id]
        if run.task is not None and run.task is not asyncio.current_task():
            run.task.cancel()
        self._moves += 1
        self._changed()

    def _changed(self) -> None:
        self.version += 1
