"""The Runs pane: every run of the database, what goes on, and one run in full."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from rich.console import Group
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical, VerticalScroll
from textual.widget import Widget
from textual.widgets import Static

from tui_mia.board import BoardRun
from tui_mia.clean import printable
from tui_mia.runs import RunDirectory, RunDirectoryError
from tui_mia.runs.gpu import Gpu
from tui_mia.store import StoreError, summarise
from tui_mia.tui.background import in_background
from tui_mia.tui.dialogs import Confirm
from tui_mia.tui.latest import Latest
from tui_mia.tui.pane import Pane
from tui_mia.tui.panes.runs.run_detail import LOG_LINES_BELOW, Part, RunFacts, detail_parts, log_parts
from tui_mia.tui.panes.runs.run_list import MARK, RunList
from tui_mia.tui.panes.runs.run_row import columns_for, header_line

SECONDS_BETWEEN_PULLS = 0.25
SECONDS_BETWEEN_FACTS = 1.0
SECONDS_BETWEEN_GPU_LOOKS = 2.0
SETTLE_SECONDS = 0.03
DATABASE_WAIT_SECONDS = 2.0
LOG_LINES = 300
MANY_LOG_LINES = 20
TALL = 40
RESUMABLE = {"failed", "cancelled", "cut off"}
LOOKING = "Looking for runs …"
NO_RUNS = """No run yet in {database}

n sets up an audit of your own model

To see one first, leave with q and run: tui-mia demo
It audits the sample world, small models whose training data is known."""


@dataclass(frozen=True)
class Question:
    """What is to be read of a run beside what the board knows."""

    run_id: str
    directory: RunDirectory | None
    database: Path | None


class Nothing(Static, can_focus=True):
    """What to do where there are no runs; it has the focus, so that the pane's keys work."""


class Detail(VerticalScroll):
    """The chosen run in full; scrolls with vi's keys too."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "scroll_down", "Down", show=False, id="runs.detail-down"),
        Binding("k", "scroll_up", "Up", show=False, id="runs.detail-up"),
        Binding("ctrl+d", "page_down", "A page down", show=False, id="runs.detail-page-down"),
        Binding("ctrl+u", "page_up", "A page up", show=False, id="runs.detail-page-up"),
        Binding("g", "scroll_home", "To the first line", show=False, id="runs.detail-first"),
        Binding("G", "scroll_end", "To the last line", show=False, id="runs.detail-last"),
    ]


class RunsPane(Pane):
    HELP = """
**Every run of the database**, newest first, and those that go on or wait in the queue.

A run starts when its device is free: one at a time on each GPU, or on the CPU. `x` cancels it at
once and without asking, because `r` resumes a run that was cancelled, cut off or failed, from the
last part that it finished. Runs go on when you quit, if you say so, and when the connection drops;
they are found again the next time.

Beside or below the list is the chosen run: how far it is, or what was found; `l` shows what its
worker printed, and Tab goes there to scroll. On top is the **verdict** and why: an AUC says that two
sets of scores differ, the verdict whether anything but membership explains it. `c` shows the checks
that it rests on. In the list a verdict is one word: *shift* is inconclusive for distribution shift,
*underpowered* for too few samples, *uncompared* for nothing to compare the candidates with.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,v", "results", "Results", tooltip="The samples of the run", id="runs.results"),
        Binding("p", "plots", "Plots", tooltip="Plots of the run", id="runs.plots"),
        Binding("c", "checks", "Checks", tooltip="The checks and verdicts of the run", id="runs.checks"),
        Binding("x", "cancel", "Cancel", tooltip="Cancel the run, at once", id="runs.cancel"),
        Binding("r", "resume", "Resume", tooltip="Go on with the run", id="runs.resume"),
        Binding("n", "new", "New audit", tooltip="Set up a new audit", id="runs.new"),
        Binding("e,E", "edit", "Edit", tooltip="Edit it as a new audit", show=False, id="runs.edit"),
        Binding("d", "delete", "Delete", tooltip="Delete the run", show=False, id="runs.delete"),
        Binding("l", "log", "Log", tooltip="What the run's worker printed, or its summary", id="runs.log"),
        Binding("y", "copy", "Copy id", tooltip="Copy the run's id", show=False, id="runs.copy"),
        Binding(
            "R",
            "look_again",
            "Look again",
            tooltip="Look for runs again, and try again to save those that could not be",
            show=False,
            id="runs.look-again",
        ),
    ]

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._facts: RunFacts | None = None
        self._shows_log = False
        self._seen_version = -1
        self._known: set[str] = set()
        self._drawn_second = self._asked_at = self._gpus_at = 0.0
        self._keys: tuple[str | None, str | None] = (None, None)
        self._reading: Latest[Question, RunFacts] = Latest(
            read_facts, self._take_facts, self.say_failed, SETTLE_SECONDS
        )

    def compose(self) -> ComposeResult:
        yield Static(id="runs-problem", markup=False)
        yield Nothing(LOOKING, id="runs-nothing", markup=False)
        with Container(id="runs-body"):
            with Vertical(id="runs-left"):
                yield Static(id="runs-header", markup=False)
                yield RunList(id="runs-list")
            with Detail(id="runs-detail"):
                yield Static(id="runs-text", markup=False)

    @property
    def run_list(self) -> RunList:
        return self.query_one(RunList)

    def on_mount(self) -> None:
        self.add_class("-empty")
        self.set_interval(SECONDS_BETWEEN_PULLS, self._pull)
        in_background(self, self._reading.run)

    async def on_show_pane(self) -> None:
        known = self._known
        self._pull()
        newest = self.run_list.newest
        # Whoever comes back to a new run wants to see that one.
        if known and newest and newest.run_id not in known:
            self.run_list.choose(newest.run_id)

    async def show(self, run_id: str) -> None:
        """Show a run, if it is there."""
        self._pull()
        self.run_list.choose(run_id)

    def first_focus(self) -> Widget:
        return self.query_one(Nothing if self.has_class("-empty") else RunList)

    def _focus(self) -> None:
        # Asked for a moment ago: another pane may have come to the front.
        if self.display:
            self.first_focus().focus()

    # What there is to see

    def _pull(self) -> None:
        """Draw what has changed since the last time; nothing, while another pane is in front."""
        if not self.display or not self.tui.board_ready.is_set():
            return
        board, now = self.tui.board, time.time()
        if board.version != self._seen_version:
            self._seen_version = board.version
            self._show_runs(board.runs(), board.database_problem)
        chosen = self.run_list.chosen
        if chosen is not None and chosen.is_live:
            if now - self._asked_at >= SECONDS_BETWEEN_FACTS:
                self._ask()
            if board.gpus and now - self._gpus_at >= SECONDS_BETWEEN_GPU_LOOKS:
                self._gpus_at = now
                in_background(self, board.refresh_gpus, in_place_of="gpus")
            if int(now) != self._drawn_second:
                self._show_detail()

    def _show_runs(self, runs: list[BoardRun], problem: str | None) -> None:
        self.query_one("#runs-problem", Static).update(printable(problem or ""))
        self.query_one("#runs-problem").display = problem is not None
        if not runs:
            text = NO_RUNS.format(database=printable(self.tui.database.name))
            self.query_one(Nothing).update(text)
        if self.has_class("-empty") != (not runs):
            self.set_class(not runs, "-empty")
            if self.app.focused is None or self in self.app.focused.ancestors:
                self.call_after_refresh(self._focus)
        self._known = {run.run_id for run in runs}
        before = self.run_list.chosen
        self.run_list.show(runs)
        chosen = self.run_list.chosen
        if chosen and before and _settled(chosen) != _settled(before):
            self._ask()
        self._show_detail()

    def _show_detail(self) -> None:
        run, now = self.run_list.chosen, time.time()
        self._drawn_second = int(now)
        if run is None:
            self.query_one("#runs-text", Static).update("")
        else:
            parts = self._parts(run, now)
            self.query_one("#runs-text", Static).update(Group(*parts))
            title = "log (l: summary)" if self._shows_log else "summary (l: log)"
            self.query_one("#runs-detail").border_title = title
        keys = (run.run_id, run.status) if run else (None, None)
        if keys != self._keys:
            self._keys = keys
            self.refresh_bindings()

    def _parts(self, run: BoardRun, now: float) -> Iterator[Part]:
        facts = self._facts if self._facts and self._facts.run_id == run.run_id else None
        if self._shows_log:
            return log_parts(run, facts)
        waiting = [queued.run_id for queued in self.tui.board.queued()]
        place = waiting.index(run.run_id) + 1 if run.run_id in waiting else None
        lines = MANY_LOG_LINES if self.size.height >= TALL else LOG_LINES_BELOW
        return detail_parts(run, facts, now, self._gpu(run), place, lines)

    def _gpu(self, run: BoardRun) -> Gpu | None:
        """The GPU that a run has; devices are named in the order of the board's GPUs."""
        number = (run.device or "").removeprefix("cuda:")
        gpus = self.tui.board.gpus
        return gpus[int(number)] if number.isdigit() and int(number) < len(gpus) else None

    def _ask(self) -> None:
        """Read what the board does not know of the chosen run."""
        run = self.run_list.chosen
        if run is None:
            return
        self._asked_at = time.time()
        database = self.tui.board.database if run.in_database and not run.is_live else None
        self._reading.ask(Question(run.run_id, run.directory, database))

    def _take_facts(self, question: Question, facts: RunFacts) -> None:
        follows = self._shows_log and self.query_one("#runs-detail").is_vertical_scroll_end
        self._facts = facts
        self._show_detail()
        if follows:
            self.query_one("#runs-detail").scroll_end(animate=False)

    @on(RunList.Resized)
    def _show_header(self) -> None:
        columns = columns_for(self.run_list.scrollable_content_region.width - len(MARK))
        self.query_one("#runs-header", Static).update(" " * len(MARK) + header_line(columns))

    @on(RunList.Chosen)
    def _run_chosen(self) -> None:
        self.tui.looked_at = self._chosen_id() or None
        self._ask()
        self._show_detail()
        self.query_one("#runs-detail").scroll_home(animate=False)

    @on(RunList.Opened)
    def _run_opened(self) -> None:
        if self.check_action("results", ()):
            self.action_results()

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done with the chosen run is offered."""
        if action not in ("results", "plots", "checks", "cancel", "resume", "edit", "delete", "log", "copy"):
            return True
        run = self.run_list.chosen if self.is_mounted else None
        if run is None:
            return False
        match action:
            case "cancel":
                return run.is_live or run.status == "queued"
            case "resume":
                return run.status in RESUMABLE
            case "delete":
                return not run.is_live and run.status != "saving"
            case "results":
                return run.in_database or run.is_live or run.status == "saving"
            case "plots" | "checks":
                return run.in_database
        return True

    def action_results(self) -> None:
        self.tui.show_results(self._chosen_id())

    def action_plots(self) -> None:
        self.tui.show_plots([self._chosen_id()])

    def action_checks(self) -> None:
        self.tui.show_checks(self._chosen_id())

    def action_cancel(self) -> None:
        self._ask_board(partial(self.tui.board.cancel, self._chosen_id()))

    def action_resume(self) -> None:
        self._ask_board(partial(self.tui.board.resume, self._chosen_id()))

    def action_new(self) -> None:
        self.tui.open_pane("audit")

    def action_edit(self) -> None:
        run = self.run_list.chosen
        spec = run.spec if run else None
        if run is None or spec is None:
            why = "its spec can't be read by this version of tui-mia"
            self.tui.say(f"run {self._chosen_id()}: {why}", "warning", toast=True)
            return
        self.tui.edit_spec(spec)

    def action_delete(self) -> None:
        run_id = self._chosen_id()

        def delete(yes: bool | None) -> None:
            if yes:
                self._ask_board(partial(self.tui.board.delete, run_id))

        question = f"Delete run {run_id}, its scores in the database and its run directory?"
        self.app.push_screen(Confirm(question, "Yes, delete it"), delete)

    def action_log(self) -> None:
        self._shows_log = not self._shows_log
        self._ask()
        self._show_detail()
        if self._shows_log:
            self.call_after_refresh(self.query_one("#runs-detail").scroll_end, animate=False)
        else:
            self.query_one("#runs-detail").scroll_home(animate=False)

    async def action_copy(self) -> None:
        await self.tui.copy(self._chosen_id(), "the run's id")

    def action_look_again(self) -> None:
        if self.tui.board_ready.is_set():
            self._ask_board(self.tui.board.refresh)

    def _chosen_id(self) -> str:
        run = self.run_list.chosen
        return run.run_id if run else ""

    def _ask_board(self, work: Callable[[], Awaitable[None]]) -> None:
        """Have the board do it, also when this pane is left; what goes wrong is said."""

        async def told() -> None:
            try:
                await work()
            except (RunDirectoryError, StoreError, OSError) as error:
                self.tui.say(str(error), "error", toast=True)

        in_background(self.tui, told)


def read_facts(question: Question, stop: Callable[[], bool]) -> Iterator[RunFacts]:
    """Read a run's log, then its summary; in a thread."""
    tail = question.directory.log_tail(LOG_LINES) if question.directory else ""
    log = tail.splitlines()
    if question.database is None:
        yield RunFacts(question.run_id, log=log)
        return
    try:
        summary = summarise(question.database, question.run_id, DATABASE_WAIT_SECONDS)
    except StoreError as error:
        yield RunFacts(question.run_id, problem=str(error), log=log)
    else:
        yield RunFacts(question.run_id, summary, log=log)


def _settled(run: BoardRun) -> tuple[object, ...]:
    """What changes when there is something else to read of a run."""
    return run.run_id, run.status, run.in_database
