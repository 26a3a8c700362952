"""A line in a form with one of several values, which the arrow keys change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Generic, TypeVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.reactive import var
from textual.widget import Widget

from tui_mia.clean import printable

Value = TypeVar("Value")


class OneOf(Widget, Generic[Value], can_focus=True):
    """One of `options`, which are texts and their values; enter says that the form is filled in."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,l,space", "turn(1)", "Next", show=False, id="one-of.next"),
        Binding("left,h", "turn(-1)", "Previous", show=False, id="one-of.previous"),
        Binding("enter", "submit", "Take it", show=False, id="one-of.submit"),
    ]

    chosen: var[int] = var(0)

    class Submitted(Message):
        """Enter was pressed."""

    def __init__(
        self,
        options: Sequence[tuple[str, Value]],
        value: Value,
        *,
        id: str | None = None,  # noqa: A002
    ) -> None:
        super().__init__(id=id)
        self._options = options
        values = [option for _, option in options]
        self.set_reactive(OneOf.chosen, values.index(value) if value in values else 0)

    @property
    def value(self) -> Value:
        return self._options[self.chosen][1]

    def render(self) -> Content:
        return Content(f"< {printable(self._options[self.chosen][0])} >")

    def watch_chosen(self) -> None:
        self.refresh()

    def action_turn(self, step: int) -> None:
        self.chosen = (self.chosen + step) % len(self._options)

    def action_submit(self) -> None:
        self.post_message(self.Submitted())

    def on_click(self, event: events.Click) -> None:
        self.action_turn(1)
