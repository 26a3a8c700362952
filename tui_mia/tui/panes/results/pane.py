"""The Results pane: the samples of a run, sorted, filtered, marked and exported by the database."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ClassVar, Final, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widget import Widget

from tui_mia.store import (
    DatabaseLocked,
    Format,
    LiveRun,
    SampleFilter,
    SampleSort,
    StoredRun,
    StoreError,
    export_samples,
)
from tui_mia.tui.background import in_background
from tui_mia.tui.dialogs import AskPath, Choose
from tui_mia.tui.pane import Pane
from tui_mia.tui.panes.results.ask_text import AskText
from tui_mia.tui.panes.results.asking import ask, ask_patiently, who_holds_it
from tui_mia.tui.panes.results.filter_samples import FilterSamples
from tui_mia.tui.panes.results.run_samples import (
    RunSamples,
    close_later,
    counted,
    find_source,
    is_stored,
    look_at,
)
from tui_mia.tui.panes.results.sample_browser import ALL, FIRST_ROWS, SampleBrowser
from tui_mia.tui.panes.results.sample_columns import (
    all_sorts,
    direction,
    first_sort,
    headline,
    same_column,
    sort_name,
)
from tui_mia.tui.panes.results.sample_table import SampleTable

NO_RUN: Final = """\
There is no run with samples yet.

Set up an audit in Audit (key 1) and start it; its samples can be watched here while it goes on.
On the command line: tui-mia run audit.toml"""
CANDIDATES: Final = "candidates"
SECONDS_BETWEEN_LOOKS: Final = 2.0
# An export holds nobody up, and would be lost.
EXPORT_WAIT_SECONDS: Final = 30.0
SUFFIXES: Final = (".csv", ".parquet", ".json")


class ResultsPane(Pane):
    """Finds the samples of a run, in the database or as they come, and says what keys do with them."""

    HELP = """\
The samples of a run, a line for each: its number, whether it is known to be a **m**ember (`M`), a
**n**on-member (`N`) or neither (`-`), its pool, the scores of the attacks (higher means more likely a
member), the p- and q-value where there are known non-members to compare with, and the caption.

A **p-value** is the share of known non-members that score as high or higher. Of the candidates with a
**q-value** up to 0.1, at most one in ten is expected to be there by chance.

`c` shows the candidates alone, whose membership is the question, or all pools again.

A narrow screen has room for one attack, the one that the samples are sorted by; with 120 columns there
is room for all. `h` and `l` move the captions to and fro. Marks stay when you sort and filter; `e`
writes the marked samples to a file, or all that are shown if none is marked.

While a run is going on, this is what it has so far: `csa` and the mean over the views, without p-values.
The samples may get other numbers when the run ends.
"""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Open", tooltip="Show the sample in full", id="results.open"),
        Binding("s", "choose_sort", "Sort", tooltip="Sort by a column", id="results.sort"),
        Binding("S", "flip", "Turn the order round", show=False, id="results.flip"),
        Binding(
            "less_than_sign", "next_sort(-1)", "Sort by the column before", show=False, id="results.sort-back"
        ),
        Binding(
            "greater_than_sign", "next_sort(1)", "Sort by the next column", show=False, id="results.sort-on"
        ),
        Binding(
            "slash", "filter", "Filter", key_display="/", tooltip="Show some samples", id="results.filter"
        ),
        Binding("c", "candidates", "Only candidates, or all pools", show=False, id="results.candidates"),
        Binding("x", "show_all", "Show all samples", show=False, id="results.all"),
        Binding(
            "colon,ctrl+g", "jump", "Jump", key_display=":", tooltip="Jump to a sample", id="results.jump"
        ),
        Binding("space", "mark", "Mark", tooltip="Mark the sample, or not", id="results.mark"),
        Binding("u", "unmark", "Take all marks away", show=False, id="results.unmark"),
        Binding("e", "export", "Export", tooltip="Write samples to a file", id="results.export"),
        Binding("r", "choose_run", "Run", tooltip="Choose another run", id="results.run"),
        Binding("y", "copy_caption", "Copy the caption", show=False, id="results.copy-caption"),
        Binding("Y", "copy_id", "Copy the sample's id", show=False, id="results.copy-id"),
    ]

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.browser = SampleBrowser(id="results-samples")
        self._looking = False
        self._opening = 0
        self._wanted: str | None = None
        self._seen_version: int | None = None

    def compose(self) -> ComposeResult:
        yield self.browser

    def on_mount(self) -> None:
        self.set_interval(SECONDS_BETWEEN_LOOKS, self._look_again)

    def on_unmount(self) -> None:
        self._leave()

    def first_focus(self) -> Widget:
        return self.browser.table

    async def on_show_pane(self) -> None:
        if self.browser.run is None:
            self._begin(None)

    async def show(self, run_id: str) -> None:
        """Show the samples of a run; the order stays as it was if the run has it."""
        run = self.browser.run
        # What is shown of a run that is going on is kept up to date as it is.
        if run is None or run.run_id != run_id or run.is_stored:
            self._begin(run_id)

    # Which run

    def _begin(self, run_id: str | None) -> None:
        in_background(self, partial(self._open, run_id), in_place_of="open")

    async def _open(self, run_id: str | None) -> None:
        """Find the run, or the newest with samples if none is named, and show it from the top."""
        self.browser.table.say("looking for samples …")
        await self.tui.board_ready.wait()
        source = run = None
        self._opening += 1
        try:
            source = await asyncio.to_thread(find_source, self.tui.board.runs(), self.tui.database, run_id)
            if source is None:
                self._put_away(self._why_not(run_id), run_id)
                return
            if isinstance(source, LiveRun):
                await asyncio.to_thread(source.refresh)
            run = await ask_patiently(partial(look_at, source, FIRST_ROWS), self._say_locked)
        except StoreError as error:
            self._put_away(str(error), run_id)
        finally:
            self._opening -= 1
            if run is None and isinstance(source, LiveRun):
                close_later(source)
        if run is not None:
            self._take(run)

    def _take(self, run: RunSamples) -> None:
        """From now on these are the samples; order, filter and marks stay as far as they make sense."""
        browser = self.browser
        before, sort, marked = browser.run, browser.sort, browser.table.marked
        is_chosen = before is not None and sort != first_sort(before.attacks)
        if not is_chosen or not any(same_column(each, sort) for each in all_sorts(run.attacks)):
            sort = first_sort(run.attacks)
        same_run = before is not None and before.run_id == run.run_id
        same_numbers = same_run and before is not None and before.is_stored
        if marked and not same_numbers:
            self.tui.say("the marks were on other samples and are gone", toast=True)
        self._leave()
        browser.show_run(run, sort, browser.where if same_run else ALL, marked if same_numbers else set())

    def _leave(self) -> None:
        """Let go of what can be read of a run that is going on."""
        run = self.browser.run
        if run is not None and isinstance(run.source, LiveRun):
            close_later(run.source)
        self.browser.run = None

    def _put_away(self, why: str, wanted: str | None) -> None:
        """Show no run, but say why; when something changes on the board, look again."""
        self._leave()
        self._wanted, self._seen_version = wanted, self.tui.board.version
        self.browser.show_none(why)

    def _why_not(self, run_id: str | None) -> str:
        run = self.tui.board.run(run_id) if run_id is not None else None
        if run is not None:
            yet = " yet" if run.is_live or run.status in ("queued", "saving") else ""
            return f"Run {run.run_id} has no samples{yet}: it is {run.status}."
        return self.tui.board.database_problem or NO_RUN

    def _say_locked(self, locked: DatabaseLocked) -> None:
        self.browser.table.say(who_holds_it(locked))

    def _look_again(self) -> None:
        """Every two seconds: what is new of a run that is going on, or was not there yet."""
        if not self.display or self._opening or not self.tui.board_ready.is_set():
            return
        run = self.browser.run
        if run is None:
            if self._seen_version not in (None, self.tui.board.version):
                self._begin(self._wanted)
        elif not run.is_stored and not self._looking:
            on_board = self.tui.board.run(run.run_id)
            if on_board is not None and is_stored(on_board):
                self._begin(run.run_id)
            else:
                self._looking = True
                in_background(self, partial(self._take_in, run))

    async def _take_in(self, run: RunSamples) -> None:
        """Show what has come of a run since."""
        try:
            if await asyncio.to_thread(cast(LiveRun, run.source).refresh) != run.total:
                more = await ask(partial(look_at, run.source, 0))
                if self.browser.run is run:
                    sort = self.browser.sort if run.attacks else first_sort(more.attacks)
                    self.browser.show_more(more, sort)
        except StoreError as error:
            if self.browser.run is run:
                self.tui.say(str(error), "warning")
        finally:
            self._looking = False

    def action_choose_run(self) -> None:
        runs = self.tui.board.runs() if self.tui.board_ready.is_set() else []
        if not runs:
            self.tui.say("there is no run yet", "warning", toast=True)
            return
        options: list[tuple[str, str, str | None]] = [
            ("", f"{run.run_id}  {run.status:<10}  {run.architecture}", run.run_id) for run in runs
        ]
        shown = self.browser.run.run_id if self.browser.run is not None else None
        now = next((place for place, run in enumerate(runs) if run.run_id == shown), 0)

        def choose(run_id: str | None) -> None:
            if run_id is not None:
                self.tui.looked_at = run_id
                self._begin(run_id)

        self.app.push_screen(Choose("The samples of which run?", options, now), choose)

    # Order and filter

    def action_choose_sort(self) -> None:
        if self.browser.run is None:
            return
        sorts, now = self._sorts()
        turns = f"{direction(self.browser.sort)} {sort_name(sorts[now])}; again turns it round"
        options: list[tuple[str, str, SampleSort | None]] = [
            ("", turns if place == now else f"  {sort_name(sort)}", sort) for place, sort in enumerate(sorts)
        ]

        def choose(sort: SampleSort | None) -> None:
            if sort is not None:
                self.browser.sort_by(sort)

        self.app.push_screen(Choose("Sort by", options, now), choose)

    @on(SampleTable.HeaderClicked)
    def _header_clicked(self, event: SampleTable.HeaderClicked) -> None:
        self.browser.sort_by(event.sort)

    def action_flip(self) -> None:
        if self.browser.run is not None:
            self.browser.sort_by(self.browser.sort)

    def action_next_sort(self, step: int) -> None:
        if self.browser.run is not None:
            sorts, now = self._sorts()
            self.browser.sort_by(sorts[(now + step) % len(sorts)])

    def _sorts(self) -> tuple[list[SampleSort], int]:
        """Every order that the run can have, and which of them it has."""
        sorts = all_sorts(self.browser.run.attacks if self.browser.run is not None else [])
        now = (place for place, sort in enumerate(sorts) if same_column(sort, self.browser.sort))
        return sorts, next(now, 0)

    def action_filter(self) -> None:
        browser = self.browser
        if browser.run is None:
            return
        best = headline(browser.run.attacks)
        attack = browser.sort.attack or (best.attack if best else None)

        def choose(where: SampleFilter | None) -> None:
            if where is not None:
                browser.filter_by(where)

        dialog = FilterSamples(browser.where, list(browser.run.counts or {}), browser.run.attacks, attack)
        self.app.push_screen(dialog, choose)

    def action_candidates(self) -> None:
        """Show the candidates alone, or all pools again; the rest of the filter stays."""
        if self.browser.run is not None:
            where = self.browser.where
            self.browser.filter_by(replace(where, pool=None if where.pool == CANDIDATES else CANDIDATES))

    def action_show_all(self) -> None:
        if self.browser.run is not None:
            self.browser.filter_by(ALL)

    # One sample

    def action_open(self) -> None:
        run, table = self.browser.run, self.browser.table
        if run is not None and table.current is not None:
            self.tui.show_sample(run.run_id, table.order, table.cursor, run.source)

    @on(SampleTable.Opened)
    def _clicked_twice(self) -> None:
        self.action_open()

    def action_jump(self) -> None:
        def jump(text: str | None) -> None:
            if text is not None:
                in_background(self, partial(self.browser.jump, text), in_place_of="jump")

        if self.browser.run is not None:
            question = "Jump to a sample: #number, key, or the beginning of an id"
            self.app.push_screen(AskText(question, "#0"), jump)

    def action_mark(self) -> None:
        self.browser.mark()

    def action_unmark(self) -> None:
        self.browser.unmark()

    async def action_copy_caption(self) -> None:
        if (row := self.browser.current) is not None:
            await self.tui.copy(row.caption, "the caption")

    async def action_copy_id(self) -> None:
        if (row := self.browser.current) is not None:
            await self.tui.copy(row.sample_id, "the sample's id")

    # Export

    def action_export(self) -> None:
        run, table = self.browser.run, self.browser.table
        if run is None or not len(table.order):
            return
        what = f"{counted(len(table.marked))} that you marked" if table.marked else "all samples shown"
        question = f"Write {what} to (the ending says how: {', '.join(SUFFIXES)}):"

        def write(path: Path | None) -> None:
            if path is not None:
                in_background(self, partial(self._export, run, path))

        self.app.push_screen(AskPath(question, f"{run.run_id}-samples.csv", SUFFIXES), write)

    async def _export(self, run: RunSamples, path: Path) -> None:
        if not self.browser.table.marked:
            await self.browser.arranged.wait()
        source, numbers = run.source, self.browser.chosen()
        if isinstance(source, StoredRun):
            source = StoredRun(source.database, source.run_id, EXPORT_WAIT_SECONDS)
        form = cast(Format, path.suffix.removeprefix("."))
        self.tui.say(f"writing {counted(len(numbers))} to {path}", toast=True)
        try:
            count = await ask(lambda handle: export_samples(source, numbers, path, form, handle=handle))
        except StoreError as error:
            self.tui.say(f"nothing was written: {error}", "error", toast=True)
        else:
            self.tui.say(f"wrote {counted(count)} to {path}", toast=True)
