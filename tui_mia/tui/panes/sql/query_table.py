"""A table of what a query answered, with vi's keys beside the arrows."""

from __future__ import annotations

from typing import Any, ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual_fastdatatable import DataTable

from tui_mia.clean import printable
from tui_mia.tui.panes.sql.answer import NULL, Answer


class QueryTable(DataTable, inherit_bindings=False):
    """The rows of an answer, of which nothing is taken for markup."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "select_cursor", "The whole value", show=False, id="sql.value"),
        Binding("j,down", "cursor_down", "Down", show=False, id="sql.down"),
        Binding("k,up", "cursor_up", "Up", show=False, id="sql.up"),
        Binding("h,left", "cursor_left", "Left", show=False, id="sql.left"),
        Binding("l,right", "cursor_right", "Right", show=False, id="sql.right"),
        Binding("ctrl+d,pagedown", "page_down", "A page down", show=False, id="sql.page-down"),
        Binding("ctrl+u,pageup", "page_up", "A page up", show=False, id="sql.page-up"),
        Binding("g,ctrl+home", "cursor_table_start", "To the first row", show=False, id="sql.first"),
        Binding("G,ctrl+end", "cursor_table_end", "To the last row", show=False, id="sql.last"),
        Binding("0,home", "cursor_row_start", "To the first column", show=False, id="sql.first-column"),
        Binding("dollar_sign,end", "cursor_row_end", "To the last column", show=False, id="sql.last-column"),
    ]

    def __init__(self, answer: Answer) -> None:
        super().__init__(
            data=answer.shown,
            column_labels=[Text(printable(name)) for name in answer.columns],
            column_widths=list(answer.widths),
            render_markup=False,
            null_rep=f"[dim]{NULL}[/dim]",
            zebra_stripes=True,
        )
        self.answer = answer

    @property
    def value(self) -> Any:
        """What is under the cursor, as the database gave it."""
        return self.answer.rows[self.cursor_row][self.cursor_column]
