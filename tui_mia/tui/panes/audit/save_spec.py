"""Asks where to save an audit; a file that is there can be written over."""

from __future__ import annotations

import os

from textual import on
from textual.widgets import Input, Label

from tui_mia.tui.dialogs import AskPath, typed_path


class SaveSpec(AskPath):
    """A .toml file; says before enter is pressed that one that is there will change."""

    def __init__(self, proposed: str) -> None:
        super().__init__("Save the audit as:", proposed, (".toml",))

    def on_mount(self) -> None:
        self._hint(self.query_one(Input).value)

    @on(Input.Changed)
    def _tell(self, event: Input.Changed) -> None:
        self._hint(event.value)

    def problem(self, text: str) -> str | None:
        path = typed_path(text)
        return None if os.path.isfile(path) and path.suffix == ".toml" else super().problem(text)

    def _hint(self, text: str) -> None:
        over = self.problem(text) is None and os.path.exists(typed_path(text))
        writes = "enter writes over the file that is there, its comments stay" if over else "enter writes"
        self.query_one("#hint", Label).update(f"{writes}; escape goes back")
