"""A run's samples in an order: the order is an array of numbers, the rows are read where one looks."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final, cast

import numpy as np
from numpy.typing import NDArray
from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from tui_mia.store import (
    DatabaseLocked,
    SampleFilter,
    SampleOrder,
    SampleRow,
    SampleSort,
    StoreError,
    find_sample,
    first_samples,
    order_and_first_samples,
    order_samples,
    peek_samples,
    read_samples,
)
from tui_mia.tui.background import in_background
from tui_mia.tui.dialogs import shown
from tui_mia.tui.panes.results.asking import ask_patiently, who_holds_it
from tui_mia.tui.panes.results.run_samples import RunSamples, place, title
from tui_mia.tui.panes.results.sample_columns import Column, columns_for, first_sort, flipped, same_column
from tui_mia.tui.panes.results.sample_table import SampleTable

if TYPE_CHECKING:
    from tui_mia.tui.app import TuiMia

ALL: Final = SampleFilter()
NOTHING_FITS: Final = """\
No sample fits the filter.

/ changes it, x shows all samples."""
NO_SAMPLES: Final = "The run has no samples in the database."
NO_SAMPLES_IN_PARTS: Final = """\
No samples of the run are on disk.

While a run goes on they come some thousands at a time."""
# So many rows are shown before the whole order is known.
FIRST_ROWS: Final = 200
# From so many cells on there is room for every attack.
WIDE: Final = 120
_SORTING: Final = "sorting …"
_WAITING: Final = "waiting for the database"


class SampleBrowser(Vertical):
    """A title, the table, and a line on the sample under the cursor."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.table = SampleTable(id="results-table")
        self.run: RunSamples | None = None
        self.sort, self.where = SampleSort(), ALL
        self.arranged = asyncio.Event()
        """Set once the order on the screen is the whole one."""
        self._doing = ""
        self._first_only = self._reading = False
        self._unfiltered: tuple[RunSamples, SampleSort, SampleOrder] | None = None

    def compose(self) -> ComposeResult:
        yield Static("no run is shown", id="results-title", markup=False)
        yield self.table
        yield Static(id="results-place", markup=False)

    @property
    def current(self) -> SampleRow | None:
        """The sample under the cursor, if it is at hand."""
        number = self.table.current
        return self.table.rows.get(number) if number is not None else None

    @property
    def is_busy(self) -> bool:
        return bool(self._doing)

    # What to show

    def show_run(self, run: RunSamples, sort: SampleSort, where: SampleFilter, marked: set[int]) -> None:
        """Show other samples, from the top."""
        self.run, self.sort, self.where = run, sort, where
        self.table.forget()
        self.table.marked = marked
        self._arrange()

    def show_more(self, run: RunSamples, sort: SampleSort) -> None:
        """Show the same run, of which there is more by now; the cursor stays on its sample."""
        self.run, self.sort = run, sort
        self._arrange(keep=True)

    def show_none(self, why: str) -> None:
        """Show no samples, but say why."""
        self.run, self._doing, self._first_only = None, "", False
        self.table.forget()
        self.table.say(shown(why))
        self._show_title()

    def sort_by(self, sort: SampleSort) -> None:
        """Sort by a column; by the same one again, in the other direction."""
        self.sort = flipped(self.sort) if same_column(sort, self.sort) else sort
        self._arrange()

    def filter_by(self, where: SampleFilter) -> None:
        if where != self.where:
            self.where = where
            self._arrange()

    def mark(self) -> None:
        """Mark the sample under the cursor, or take its mark away, and go on to the next."""
        number = self.table.current
        if number is not None:
            self.table.marked ^= {number}
            self.table.cursor += 1
            self.table.refresh()
            self._show_title()

    def unmark(self) -> None:
        self.table.marked = set()
        self.table.refresh()
        self._show_title()

    async def jump(self, text: str) -> None:
        """Put the cursor on the sample that is meant, or say why not."""
        run = self.run
        if run is None:
            return
        app = cast("TuiMia", self.app)
        try:
            number = await ask_patiently(
                lambda handle: find_sample(run.source, text, handle), self._say_locked
            )
        except StoreError as error:
            app.say(str(error), "error", toast=True)
            return
        if number is None:
            app.say(f"run {run.run_id} has no sample {text}", "warning", toast=True)
            return
        await self.arranged.wait()
        position = self.table.order.position(number)
        if position is not None:
            self.table.go_to(position)
        elif self.run is run:
            app.say(f"sample #{number} does not fit the filter; x shows all", "warning", toast=True)

    def chosen(self) -> NDArray[np.uint32]:
        """The marked samples as they are ordered, then those that the filter hides; all if none is marked."""
        order, marked = self.table.order.numbers, self.table.marked
        if not marked:
            return order
        seen = order[np.isin(order, list(marked))]
        hidden = sorted(marked.difference(seen.tolist()))
        return np.concatenate([seen, np.array(hidden, np.uint32)])

    # The order

    def _arrange(self, *, keep: bool = False) -> None:
        """Show the samples as sort and filter say; `keep` stays at the sample where the cursor is."""
        self.arranged.clear()
        in_background(self, partial(self._arranging, keep), in_place_of="arrange")

    async def _arranging(self, keep: bool) -> None:
        run, sort, where = self.run, self.sort, self.where
        if run is None:
            return
        self._doing = "" if keep else _SORTING
        self._show_title()
        try:
            if keep or where == ALL:
                order = None if keep else await self._first_rows(run)
                if order is None:
                    order = await ask_patiently(
                        lambda handle: order_samples(run.source, sort, where, handle), self._say_locked
                    )
                self._unfiltered = (run, sort, order) if where == ALL else None
            else:
                order = await self._filtered(run)
        except StoreError as error:
            self._doing, self._first_only = "", False
            self.table.say(shown(str(error)))
            self._show_title()
        else:
            # Whoever went somewhere stays there; on top is on top.
            stays = (keep or self._first_only) and self.table.cursor > 0
            number = self.table.current if stays else None
            self._doing, self._first_only = "", False
            self._show_order(order, (order.position(number) if number is not None else None) or 0)
        self.arranged.set()

    async def _first_rows(self, run: RunSamples) -> SampleOrder | None:
        """Show the first rows while the whole order is yet to come; it is returned if they are all."""
        sort, where = self.sort, self.where
        first = run.first if sort == first_sort(run.attacks) else ()
        first = first or await ask_patiently(
            lambda handle: first_samples(run.source, sort, where, FIRST_ROWS, handle), self._say_locked
        )
        self.table.rows.put(first)
        order = SampleOrder(np.array([row.number for row in first], np.uint32))
        if len(first) < FIRST_ROWS:
            return order
        self._first_only = True
        self._show_order(order, 0)
        return None

    async def _filtered(self, run: RunSamples) -> SampleOrder:
        """The whole order at once, except for a text that is found at the top of the order of all samples."""
        sort, where = self.sort, self.where
        if where.text and self._unfiltered is not None and self._unfiltered[:2] == (run, sort):
            unfiltered = self._unfiltered[2]
            order, first, whole = await ask_patiently(
                lambda handle: peek_samples(run.source, unfiltered, sort, where, FIRST_ROWS, handle),
                self._say_locked,
            )
            self.table.rows.put(first)
            if whole:
                return order
            self._first_only = True
            self._show_order(order, 0)
            return await ask_patiently(
                lambda handle: order_samples(run.source, sort, where, handle), self._say_locked
            )
        order, first = await ask_patiently(
            lambda handle: order_and_first_samples(run.source, sort, where, FIRST_ROWS, handle),
            self._say_locked,
        )
        self.table.rows.put(first)
        return order

    def _show_order(self, order: SampleOrder, cursor: int) -> None:
        if len(order):
            self.table.show(order, self.sort, self._lay_out, cursor)
        elif self.where != ALL:
            self.table.say(NOTHING_FITS)
        else:
            is_stored = self.run is None or self.run.is_stored
            self.table.say(NO_SAMPLES if is_stored else NO_SAMPLES_IN_PARTS)
        self._show_title()

    def _lay_out(self, width: int) -> list[Column]:
        if self.run is None:
            return []
        highest, wide = max(0, self.run.total - 1), self.app.size.width >= WIDE
        return columns_for(width, self.run.attacks, self.sort, highest, wide=wide)

    def _say_locked(self, locked: DatabaseLocked) -> None:
        if len(self.table.order):
            self._doing = _WAITING
            self._show_title()
        else:
            self.table.say(who_holds_it(locked))

    # The rows that are seen

    @on(SampleTable.RowsWanted)
    def _rows_wanted(self) -> None:
        if not self._reading:
            self._reading = True
            in_background(self, self._read_rows)

    async def _read_rows(self) -> None:
        """Read what is seen until that is at hand; what was passed over meanwhile is never read."""
        try:
            while (run := self.run) is not None and (numbers := self.table.missing()):
                rows = self.table.rows
                found = await ask_patiently(partial(read_samples, run.source, numbers), self._say_locked)
                rows.put(found, numbers)
                if self._doing == _WAITING:
                    self._doing = ""
                    self._show_title()
                self.table.refresh()
                self._show_place()
        except StoreError as error:
            cast("TuiMia", self.app).say(str(error), "error", toast=True)
        finally:
            self._reading = False

    # What is said around the table

    @on(SampleTable.Moved)
    def _show_place(self) -> None:
        table = self.table
        number = table.current
        text = "" if number is None else place(table.cursor, len(table.order), self.current, number)
        self.query_one("#results-place", Static).update(Content(text))

    def _show_title(self) -> None:
        text = "no run is shown"
        if self.run is not None:
            count, marked = len(self.table.order), len(self.table.marked)
            first_only, doing = self._first_only, self._doing
            text = title(self.run, count, self.sort, self.where, marked, first_only=first_only, doing=doing)
        self.query_one("#results-title", Static).update(Content(text))
        self._show_place()
