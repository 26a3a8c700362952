"""A line to type in that shows control characters instead of sending them to the terminal."""

from __future__ import annotations

from rich.highlighter import Highlighter
from rich.text import Text
from textual.widgets import Input

from tui_mia.clean import printable


class _Visible(Highlighter):
    """Puts a mark in place of each hidden character, so that the cursor stays about where it belongs."""

    def highlight(self, text: Text) -> None:
        text.plain = "".join(char if printable(char) == char else "\ufffd" for char in text.plain)


class PlainInput(Input):
    """One line high, without a border; the text in it stays when it gets the focus."""

    def __init__(self, value: str = "", placeholder: str = "") -> None:
        super().__init__(value, placeholder, compact=True, select_on_focus=False, highlighter=_Visible())
