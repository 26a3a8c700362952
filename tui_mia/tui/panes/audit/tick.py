"""A box to tick, whose state can be seen without colours."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from tui_mia.clean import printable


class Tick(Widget, can_focus=True):
    """`[x]` or `[ ]`, and what it stands for; space or enter changes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space,enter", "change", "Tick or untick", show=False, id="field.tick"),
        Binding("down,j", "app.focus_next", "Next field", show=False, id="field.below"),
        Binding("up,k", "app.focus_previous", "Previous field", show=False, id="field.above"),
    ]

    ticked: reactive[bool] = reactive(False)

    class Changed(Message):
        """The user ticked or unticked the box."""

        def __init__(self, tick: Tick) -> None:
            super().__init__()
            self.tick = tick

    def __init__(self, label: str, ticked: bool) -> None:
        super().__init__()
        self._label = printable(label)
        self.set_reactive(Tick.ticked, ticked)

    def render(self) -> Content:
        return Content(f"[{'x' if self.ticked else ' '}] {self._label}")

    def action_change(self) -> None:
        self.ticked = not self.ticked
        self.post_message(self.Changed(self))

    def on_click(self) -> None:
        self.action_change()
