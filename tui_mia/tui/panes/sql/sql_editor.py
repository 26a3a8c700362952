"""Where a query is written."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final, cast

from rich.text import Text
from textual.actions import SkipAction
from textual.binding import Binding, BindingType
from textual.widgets import TextArea
from textual.widgets.text_area import LanguageDoesNotExist

from tui_mia.clean import printable
from tui_mia.tui.background import in_background

if TYPE_CHECKING:
    from tui_mia.tui.app import TuiMia

REPLACED: Final = "\ufffd"


class SqlEditor(TextArea):
    """A text area that colours SQL where the highlighter for it is installed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        # To a text area f7 would mean to select all of it.
        Binding("f7", "app.write_copied", "Write what was copied", show=False, id="sql.write-copied"),
    ]

    def __init__(self, text: str, id: str | None = None) -> None:  # noqa: A002
        super().__init__(text, id=id)

    def on_mount(self) -> None:
        with contextlib.suppress(LanguageDoesNotExist):
            self.language = "sql"

    def get_line(self, line_index: int) -> Text:
        """A line to be drawn, with a sign in the place of every character that a terminal might obey."""
        line = super().get_line(line_index)
        if not line.plain.isprintable():
            signs = (character if printable(character) == character else REPLACED for character in line.plain)
            line.plain = "".join(signs)
        return line

    def action_copy(self) -> None:
        """Copy what is selected, by every way the app has."""
        if not self.selected_text:
            raise SkipAction
        app = cast("TuiMia", self.app)
        in_background(app, partial(app.copy, self.selected_text, "the selection"))
