"""Small questions over the screen: yes or no, one of several, a file to write."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Label, OptionList
from textual.widgets.option_list import Option

from tui_mia.clean import printable
from tui_mia.tui.widgets.plain_input import PlainInput

Answer = TypeVar("Answer")


class Choose(ModalScreen[Answer | None], Generic[Answer]):
    """One of several answers, by arrow keys and enter, or by the key before each; escape gives None.

    `options` are (key, text, answer); a key of "" has none.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss(None)", "Back", id="dialog.back"),
        Binding("j", "down", "Down", show=False, id="dialog.down"),
        Binding("k", "up", "Up", show=False, id="dialog.up"),
    ]

    def __init__(
        self, question: str, options: Sequence[tuple[str, str, Answer | None]], chosen: int = 0
    ) -> None:
        super().__init__(classes="dialog")
        self._question, self._options, self._chosen = question, options, chosen

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog"):
            yield Label(shown(self._question), id="question", markup=False)
            yield OptionList(
                *(
                    Option(Content(f"{key:<2} {printable(text)}" if key else printable(text)))
                    for key, text, _ in self._options
                )
            )

    def on_mount(self) -> None:
        self.query_one(OptionList).highlighted = self._chosen

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._options[event.option_index][2])

    def on_key(self, event: object) -> None:
        character = getattr(event, "character", None)
        for key, _, answer in self._options:
            if key and key == character:
                self.dismiss(answer)
                return

    def action_down(self) -> None:
        self.query_one(OptionList).action_cursor_down()

    def action_up(self) -> None:
        self.query_one(OptionList).action_cursor_up()


class Confirm(Choose[bool]):
    """Yes or no; the harmless answer is the one that enter gives."""

    def __init__(self, question: str, yes: str, no: str = "No, go back") -> None:
        super().__init__(question, [("n", no, False), ("y", yes, True)])


class AskPath(ModalScreen[Path | None]):
    """A file to write, relative to the current folder; one that is there is not taken."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Back", id="dialog.leave")]

    def __init__(self, question: str, proposed: str, suffixes: Sequence[str] = ()) -> None:
        super().__init__(classes="dialog")
        self._question, self._proposed, self._suffixes = question, proposed, tuple(suffixes)

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog"):
            yield Label(shown(self._question), id="question", markup=False)
            yield PlainInput(self._proposed)
            yield Label("", id="problem", markup=False)
            yield Label("enter writes, escape goes back", id="hint", markup=False)

    @on(Input.Changed)
    def _say_what_is_wrong(self, event: Input.Changed) -> None:
        self.query_one("#problem", Label).update(self.problem(event.value) or "")

    @on(Input.Submitted)
    def _take(self, event: Input.Submitted) -> None:
        problem = self.problem(event.value)
        if problem is None:
            self.dismiss(typed_path(event.value))
        else:
            self.query_one("#problem", Label).update(problem)

    def problem(self, text: str) -> str | None:
        """Why this file can't be written, if that can be known."""
        # os.path's functions say no where those of Path raise: too long a name, a folder that is not ours.
        path = typed_path(text)
        if not text.strip() or os.path.isdir(path):
            return "Name a file."
        if self._suffixes and path.suffix not in self._suffixes:
            return f"End the name in {', '.join(self._suffixes)}."
        if os.path.lexists(path):
            return "There is such a file already; choose another name."
        if not os.path.isdir(path.parent):
            return printable(f"There is no folder {path.parent}.")
        return None


def typed_path(text: str) -> Path:
    """The path that somebody typed, with `~` for their home."""
    return Path(os.path.expanduser(text))


def shown(text: str) -> str:
    """Text of several lines, made safe to show."""
    return "\n".join(printable(line) for line in text.split("\n"))
