"""Asks for a line of text."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Label

from tui_mia.tui.dialogs import shown
from tui_mia.tui.widgets.plain_input import PlainInput


class AskText(ModalScreen[str | None]):
    """What was typed; escape, or nothing typed, gives None."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Back", id="ask.back")]

    def __init__(self, question: str, placeholder: str) -> None:
        super().__init__(classes="dialog")
        self._question, self._placeholder = question, placeholder

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog"):
            yield Label(shown(self._question), id="question", markup=False)
            yield PlainInput("", self._placeholder)
            yield Label("enter goes there, escape goes back", id="hint", markup=False)

    @on(Input.Submitted)
    def _take(self, event: Input.Submitted) -> None:
        self.dismiss(event.value.strip() or None)
