"""What F1 shows: what the pane is for, and the keys that work there."""

from __future__ import annotations

from typing import ClassVar

from rich.table import Table
from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import ActiveBinding, Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Markdown, Static


class HelpScreen(ModalScreen[None]):
    """The help of one pane; any of the keys that open it closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,f1,question_mark", "dismiss(None)", "Back", id="help.back"),
        Binding("j,down", "scroll(1)", "Down", show=False, id="help.down"),
        Binding("k,up", "scroll(-1)", "Up", show=False, id="help.up"),
    ]

    def __init__(self, title: str, text: str, bindings: list[ActiveBinding]) -> None:
        super().__init__(classes="dialog")
        self._title, self._text, self._active = title, text, bindings

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="help") as scroll:
            scroll.border_title = self._title
            scroll.border_subtitle = "escape goes back"
            yield Markdown(self._text)
            yield Static(self._keys())

    def on_mount(self) -> None:
        self.query_one("#help").focus()

    def action_scroll(self, lines: int) -> None:
        self.query_one("#help").scroll_relative(y=lines, animate=False)

    def _keys(self) -> Table:
        """A line for whatever keys do: the pane's first, then those that work everywhere, then Textual's."""
        keys: dict[str, list[str]] = {}
        for active in sorted(self._active, key=_distance):
            if active.binding.description:
                description = active.tooltip or active.binding.description
                keys.setdefault(description, []).append(self.app.get_key_display(active.binding))
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column("key", no_wrap=True)
        table.add_column("does")
        for description, names in keys.items():
            table.add_row(Text(" ".join(dict.fromkeys(names)), style="bold"), Text(description))
        return table


def _distance(active: ActiveBinding) -> int:
    if isinstance(active.node, App):
        return 1
    return 0 if active.binding.id else 2
