"""A text over the screen, to be read in full and copied."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from tui_mia.clean import printable
from tui_mia.tui.dialogs import shown

if TYPE_CHECKING:
    from tui_mia.tui.app import TuiMia


class Reader(ModalScreen[None]):
    """A text, whatever is in it, under its name."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter", "dismiss(None)", "Back", id="dialog.reader-back"),
        Binding("y", "copy", "Copy", id="dialog.reader-copy"),
        Binding("j", "scroll(1)", "Down", show=False, id="dialog.reader-down"),
        Binding("k", "scroll(-1)", "Up", show=False, id="dialog.reader-up"),
    ]

    def __init__(self, name: str, text: str) -> None:
        super().__init__(classes="dialog")
        self._title, self._text = name, text

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="reader") as scroll:
            scroll.border_title = Content(printable(self._title))
            scroll.border_subtitle = "y copies it, escape goes back"
            yield Static(shown(self._text), markup=False)

    def on_mount(self) -> None:
        self.query_one("#reader").focus()

    def action_scroll(self, lines: int) -> None:
        self.query_one("#reader").scroll_relative(y=lines, animate=False)

    async def action_copy(self) -> None:
        await cast("TuiMia", self.app).copy(self._text, "the value")
