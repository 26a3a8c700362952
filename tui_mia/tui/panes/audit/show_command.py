"""The command line that does the same as the form, ready to copy."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Label, Static

from tui_mia.clean import printable
from tui_mia.tui.dialogs import AskPath

if TYPE_CHECKING:
    from tui_mia.tui.app import TuiMia


class ShowCommand(ModalScreen[None]):
    """An option a line, as a shell would take it; y copies it, w writes it to a file."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,f6", "dismiss(None)", "Back", id="command.back"),
        Binding("y,c", "copy", "Copy", id="command.copy"),
        Binding("w", "write", "Write to a file", id="command.write"),
    ]

    def __init__(self, command: Sequence[str]) -> None:
        super().__init__(classes="dialog")
        self._text = wrapped(command)

    def compose(self) -> ComposeResult:
        with Vertical(id="command"):
            yield Label("The same audit without the app:", id="question", markup=False)
            with VerticalScroll():
                yield Static(Content("\n".join(map(printable, self._text.split("\n")))))
            yield Label("y copies  w writes it to a file  escape goes back", id="hint", markup=False)

    async def action_copy(self) -> None:
        await cast("TuiMia", self.app).copy(self._text, "the command")

    def action_write(self) -> None:
        def write(path: Path | None) -> None:
            if path is not None:
                cast("TuiMia", self.app).write_text(path, f"{self._text}\n")

        self.app.push_screen(AskPath("Write the command to:", "audit.sh"), write)


def wrapped(command: Sequence[str]) -> str:
    """A command for a shell, each option on a line of its own with its value."""
    program, options = command[:2], command[2:]
    lines = [program, *(options[number : number + 2] for number in range(0, len(options), 2))]
    return " \\\n  ".join(shlex.join(line) for line in lines)
