"""The Checks pane: the verdict of each attack of a run, and every check that it rests on."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from tui_mia.store import DatabaseLocked, RunSummary, StoreError, summarise
from tui_mia.tui.background import in_background
from tui_mia.tui.dialogs import Choose, shown
from tui_mia.tui.pane import Pane
from tui_mia.tui.panes.checks.check_lines import as_csv, detail_text, lines_of, title
from tui_mia.tui.panes.checks.check_list import CheckList

NO_RUN: Final = "There is no run with results yet. n in Runs (key 2) sets up an audit."
NO_CHECKS: Final = "Run {run_id} has no checks: {why}."
WAIT_SECONDS: Final = 1.0
SECONDS_BETWEEN_TRIES: Final = 1.0
SECONDS_BETWEEN_LOOKS: Final = 2.0


class CheckText(VerticalScroll):
    """All of the chosen line; scrolls with vi's keys too."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "scroll_down", "Down", show=False, id="checks.text-down"),
        Binding("k", "scroll_up", "Up", show=False, id="checks.text-up"),
    ]


class ChecksPane(Pane):
    HELP = """
**What the verdict rests on.** First a line for each attack: its AUC with the 95 % interval, the AUC
*adjusted* for what the blind baselines see, how far it is *above blind* (the best baseline that never saw
the model) and *above reference* (the same attack on a model that saw no candidate), and its verdict.

Then the checks, grouped by what they ask, those with something amiss first (`▲`, with a word; `✓` is
fine, `•` is worth knowing). The bars reach from 0 to 1: `●` is the AUC, `├─┤` its 95 % interval, `┊` is
0.5, which is what chance gives. Below is the chosen line in whole words; Tab goes there to scroll.

No check decides anything by itself, except through the rules in docs/verdict.md. `]` and `[` go from
group to group.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "choose_run", "Run", tooltip="Choose another run", id="checks.run"),
        Binding("v", "results", "Results", tooltip="The samples of the run", id="checks.results"),
        Binding("p", "plots", "Plots", tooltip="Plots of the run", id="checks.plots"),
        Binding("y", "copy", "Copy", tooltip="Copy the words of this line", id="checks.copy"),
        Binding("Y", "copy_all", "Copy all", tooltip="Copy all checks as CSV", id="checks.copy-all"),
    ]

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.summary: RunSummary | None = None
        self._wanted: str | None = None
        self._seen_version: int | None = None

    def compose(self) -> ComposeResult:
        yield Static("no run is shown", id="checks-title", markup=False)
        yield Static(id="checks-nothing", markup=False)
        yield CheckList(id="checks-list")
        with CheckText(id="checks-detail"):
            yield Static(id="checks-text", markup=False)

    def on_mount(self) -> None:
        self.add_class("-empty")
        self.set_interval(SECONDS_BETWEEN_LOOKS, self._look_again)

    def first_focus(self) -> Widget:
        return self.query_one(CheckList)

    async def on_show_pane(self) -> None:
        self._begin(self.tui.looked_at)

    async def show(self, run_id: str) -> None:
        """Show the checks of a run."""
        self.tui.looked_at = run_id
        self._begin(run_id)

    # Which run

    def _begin(self, run_id: str | None) -> None:
        in_background(self, partial(self._read, run_id), in_place_of="checks")

    async def _read(self, run_id: str | None) -> None:
        await self.tui.board_ready.wait()
        board = self.tui.board
        self._wanted, self._seen_version = run_id, board.version
        if run_id is None:
            run_id = next((run.run_id for run in board.runs() if run.in_database), None)
        if run_id is None:
            self._say(board.database_problem or NO_RUN)
            return
        run = board.run(run_id)
        if run is not None and (run.is_live or not run.in_database):
            yet = "yet" if run.is_live or run.status in ("queued", "saving") else "in the database"
            self._say(f"Run {run_id} has no checks {yet}: it is {run.status}.")
            return
        while True:
            try:
                summary = await asyncio.to_thread(summarise, self.tui.database, run_id, WAIT_SECONDS)
            except DatabaseLocked as error:
                if self.summary is None or self.summary.run.run_id != run_id:
                    self._say(str(error))
            except StoreError as error:
                self._say(str(error))
                return
            else:
                self._take(summary)
                return
            await asyncio.sleep(SECONDS_BETWEEN_TRIES)

    def _take(self, summary: RunSummary) -> None:
        lines = lines_of(summary)
        if not lines:
            status = summary.run.status
            why = "an audit of this version makes them" if status == "done" else f"it is {status}"
            self._say(NO_CHECKS.format(run_id=summary.run.run_id, why=why))
            return
        same = self.summary is not None and self.summary.run.run_id == summary.run.run_id
        self.summary = summary
        self.set_class(False, "-empty")
        self.query_one("#checks-title", Static).update(Content(title(summary)))
        self.query_one(CheckList).show(lines, keep=same)

    def _say(self, why: str) -> None:
        """Show no checks, but say why."""
        self.summary = None
        self.set_class(True, "-empty")
        self.query_one("#checks-title", Static).update("no run is shown")
        self.query_one("#checks-nothing", Static).update(Content(shown(why)))
        self.query_one(CheckList).show([], keep=False)

    def _look_again(self) -> None:
        """Every two seconds: whether there is now what was not there yet."""
        if not self.display or self.summary is not None or not self.tui.board_ready.is_set():
            return
        if self._seen_version not in (None, self.tui.board.version):
            self._begin(self._wanted)

    @on(CheckList.Chosen)
    def _show_words(self) -> None:
        self.query_one("#checks-text", Static).update(Content(self._words()))
        self.query_one(CheckText).scroll_home(animate=False)

    def _words(self) -> str:
        chosen = self.query_one(CheckList).chosen
        return detail_text(chosen) if chosen is not None else ""

    # Keys

    def action_choose_run(self) -> None:
        runs = self.tui.board.runs() if self.tui.board_ready.is_set() else []
        if not runs:
            self.tui.say("there is no run yet", "warning", toast=True)
            return
        options: list[tuple[str, str, str | None]] = [
            ("", f"{run.run_id}  {run.verdict or run.status}  {run.architecture}", run.run_id) for run in runs
        ]
        now = self.summary.run.run_id if self.summary else None
        place = next((place for place, run in enumerate(runs) if run.run_id == now), 0)

        def choose(run_id: str | None) -> None:
            if run_id is not None:
                self.tui.looked_at = run_id
                self._begin(run_id)

        self.app.push_screen(Choose("The checks of which run?", options, place), choose)

    def action_results(self) -> None:
        if self.summary is not None:
            self.tui.show_results(self.summary.run.run_id)

    def action_plots(self) -> None:
        if self.summary is not None:
            self.tui.show_plots([self.summary.run.run_id])

    async def action_copy(self) -> None:
        if words := self._words():
            await self.tui.copy(words, "this line in words")

    async def action_copy_all(self) -> None:
        if self.summary is not None:
            await self.tui.copy(as_csv(self.summary), "the checks as CSV")
