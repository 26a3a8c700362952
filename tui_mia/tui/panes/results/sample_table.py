"""The table of the Results pane: draws the lines that are seen, of however many there are.

A line is one strip of text, because a table that renders cell by cell takes a
tenth of a second for a large screen.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from typing import ClassVar, Final

import numpy as np
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.reactive import var
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui_mia.store import SampleOrder, SampleRow, SampleSort
from tui_mia.tui.panes.results.sample_columns import Column
from tui_mia.tui.panes.results.sample_rows import SampleRows

NOT_YET: Final = "…"
_SIDEWAYS: Final = 8
_EMPTY: Final = SampleOrder(np.empty(0, np.uint32))


class SampleTable(ScrollView, can_focus=True, inherit_bindings=False):
    """Rows of samples in an order, with a cursor, marks, and a header to click on.

    What is not at hand is drawn as an ellipsis and asked for with `RowsWanted`.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "move(1)", "Down", show=False, id="results.down"),
        Binding("k,up", "move(-1)", "Up", show=False, id="results.up"),
        Binding("h,left", "sideways(-1)", "Captions back", show=False, id="results.left"),
        Binding("l,right", "sideways(1)", "Captions on", show=False, id="results.right"),
        Binding("ctrl+d,pagedown", "page(1)", "A page down", show=False, id="results.page-down"),
        Binding("ctrl+u,pageup", "page(-1)", "A page up", show=False, id="results.page-up"),
        Binding("g,home", "first", "To the first row", show=False, id="results.first"),
        Binding("G,end", "last", "To the last row", show=False, id="results.last"),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "sample-table--header",
        "sample-table--cursor",
        "sample-table--mark",
        "sample-table--message",
    }

    cursor: var[int] = var(0)
    """The position of the row under the cursor."""

    class RowsWanted(Message):
        """Rows that are seen are not at hand."""

    class Moved(Message):
        """The cursor is on another row."""

    class Opened(Message):
        """The row under the cursor was clicked twice."""

    class HeaderClicked(Message):
        """A column was clicked that rows can be sorted by."""

        def __init__(self, sort: SampleSort) -> None:
            super().__init__()
            self.sort = sort

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.order = _EMPTY
        self.rows = SampleRows()
        self.marked: set[int] = set()
        self._columns: Sequence[Column] = ()
        self._sort = SampleSort()
        self._lay_out: Callable[[int], Sequence[Column]] | None = None
        self._message = ""
        self._skip = 0

    # What it shows

    def show(
        self,
        order: SampleOrder,
        sort: SampleSort,
        lay_out: Callable[[int], Sequence[Column]],
        cursor: int = 0,
    ) -> None:
        """Show rows in an order; `lay_out` gives the columns for a width."""
        top = round(self.scroll_offset.y) if cursor else 0
        self.order, self._sort, self._lay_out, self._message = order, sort, lay_out, ""
        self._columns = lay_out(self._width)
        self.virtual_size = Size(self._width, len(order) + 1)
        self.scroll_to(y=min(top, max(0, len(order) - self._page)), animate=False)
        self.cursor = min(cursor, max(0, len(order) - 1))
        self.refresh()
        self.changed()

    def say(self, message: str) -> None:
        """Show a text instead of rows."""
        self.order, self._message = _EMPTY, message
        self.virtual_size = Size(self._width, 1)
        self.cursor = 0
        self.refresh()

    def go_to(self, position: int) -> None:
        """Put the cursor on a row, and the row into the middle."""
        self.cursor = position
        self.scroll_to(y=max(0, min(position - self._page // 2, len(self.order) - self._page)), animate=False)

    def forget(self) -> None:
        """Another run: nothing that is at hand or marked belongs to it."""
        self.rows, self.marked = SampleRows(), set()

    def changed(self) -> None:
        """Ask for what is missing, if anything is."""
        self.refresh()
        if self.missing():
            self.post_message(self.RowsWanted())

    def missing(self) -> list[int]:
        """The numbers of samples that should be read now."""
        top = round(self.scroll_offset.y)
        return self.rows.missing(self.order, top, top + self._page - 1, margin=2 * self._page)

    @property
    def current(self) -> int | None:
        """The number of the sample under the cursor."""
        return int(self.order.numbers[self.cursor]) if len(self.order) else None

    @property
    def _page(self) -> int:
        """How many rows are seen at once."""
        return max(1, self.scrollable_content_region.height - 1)

    @property
    def _width(self) -> int:
        return max(1, self.scrollable_content_region.width)

    def validate_cursor(self, cursor: int) -> int:
        return min(max(0, cursor), max(0, len(self.order) - 1))

    def watch_cursor(self) -> None:
        top = round(self.scroll_offset.y)
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False)
        elif self.cursor >= top + self._page:
            self.scroll_to(y=self.cursor - self._page + 1, animate=False)
        self.refresh()
        self.post_message(self.Moved())

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self.changed()

    def on_resize(self) -> None:
        if self._lay_out is not None:
            self._columns = self._lay_out(self._width)
        self.virtual_size = Size(self._width, max(1, len(self.order) + 1))
        self.call_after_refresh(self.watch_cursor)
        self.changed()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self.refresh()

    # Keys and mouse

    def action_move(self, rows: int) -> None:
        self.cursor += rows

    def action_page(self, pages: int) -> None:
        self.cursor += pages * self._page

    def action_first(self) -> None:
        self.cursor = 0

    def action_last(self) -> None:
        self.cursor = len(self.order) - 1

    def action_sideways(self, steps: int) -> None:
        """Let captions begin further on, or further back."""
        self._skip = max(0, self._skip + steps * _SIDEWAYS)
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        if event.y == 0:
            if (column := self._column_at(event.x)) and column.sort is not None:
                self.post_message(self.HeaderClicked(column.sort))
            return
        position = event.y - 1 + round(self.scroll_offset.y)
        if position < len(self.order):
            self.cursor = position
            if event.chain == 2:
                self.post_message(self.Opened())

    def _column_at(self, x: int) -> Column | None:
        end = len(self._mark(None))
        for column in self._columns:
            end += column.width + 1
            if x < end:
                return column
        return None

    # Drawing

    def render_line(self, y: int) -> Strip:
        width = self._width
        if self._message:
            return self._message_line(y, width)
        if y == 0:
            text = self._mark(None) + " ".join(column.header(self._sort) for column in self._columns)
            style = self.get_component_rich_style("sample-table--header")
            return Strip([Segment(text, style)]).adjust_cell_length(width, style)
        position = y - 1 + round(self.scroll_offset.y)
        if position >= len(self.order):
            return Strip.blank(width, self.rich_style)
        style = self.rich_style
        if position == self.cursor:
            style += self.get_component_rich_style("sample-table--cursor")
        return self._row(int(self.order.numbers[position]), width, style)

    def _row(self, number: int, width: int, style: Style) -> Strip:
        row = self.rows.get(number)
        mark = Segment(
            self._mark(number),
            style + self.get_component_rich_style("sample-table--mark", partial=True),
        )
        text = self._row_text(row) if row is not None else NOT_YET
        return Strip([mark, Segment(text, style)]).adjust_cell_length(width, style)

    def _row_text(self, row: SampleRow) -> str:
        cells = [column.text(row) for column in self._columns[:-1]]
        return " ".join([*cells, *(column.text(row, self._skip) for column in self._columns[-1:])])

    def _mark(self, number: int | None) -> str:
        return "* " if number in self.marked else "  "

    def _message_line(self, y: int, width: int) -> Strip:
        style = self.get_component_rich_style("sample-table--message")
        lines = [
            wrapped
            for line in self._message.splitlines()
            for wrapped in textwrap.wrap(line, max(10, width - 4)) or [""]
        ]
        text = "  " + lines[y - 1] if 0 < y <= len(lines) else ""
        return Strip([Segment(text, style)]).adjust_cell_length(width, style)
