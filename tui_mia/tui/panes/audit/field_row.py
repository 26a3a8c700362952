"""One key of a spec in a form: its name, what was typed, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import Input, Label, Select

from tui_mia.clean import printable
from tui_mia.tui.panes.audit.completing_input import CompletingInput
from tui_mia.tui.panes.audit.completions import Completer
from tui_mia.tui.panes.audit.spec_fields import SpecField
from tui_mia.tui.widgets.plain_input import PlainInput


class FieldRow(Vertical):
    """A field: a line to type in, several, or a choice. Several have a free line after them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "app.focus_next", "Next field", show=False, id="field.next"),
        Binding("up", "app.focus_previous", "Previous field", show=False, id="field.previous"),
    ]

    class Changed(Message):
        """Something else was typed or chosen."""

        def __init__(self, row: FieldRow) -> None:
            super().__init__()
            self.row = row

    class Entered(Message):
        """Whoever typed is done with this field."""

    def __init__(self, field: SpecField, values: Sequence[str], completer: Completer) -> None:
        super().__init__()
        self.field = field
        self._first_values, self._completer = values, completer

    def compose(self) -> ComposeResult:
        for number, value in enumerate(self._lines(self._first_values)):
            yield self._line(number, value)
        problem = Label("", classes="problem", markup=False)
        problem.display = False
        yield problem

    @property
    def values(self) -> list[str]:
        """What is typed, a line each."""
        if self.field.choices:
            return [str(self.query_one(Select).value)]
        return [line.value for line in self.query(PlainInput)]

    async def set(self, values: Sequence[str]) -> None:
        """Show other values, that nobody typed."""
        wanted = self._lines(values)
        if self.field.choices:
            with self.prevent(Select.Changed):
                self.query_one(Select).value = wanted[0]
            return
        lines = list(self.query(".line"))
        for line in lines[len(wanted) :]:
            await line.remove()
        for number, value in enumerate(wanted):
            if number < len(lines):
                self._put(number, value)
            else:
                await self._add(number, value)

    async def put(self, line: int, value: str) -> None:
        """Put a value into one of the lines, as if it had been typed there."""
        self._put(line, value)
        await self._typed()

    def tell(self, problem: str) -> None:
        """Show what is wrong; nothing where it is right."""
        label = self.query_one(".problem", Label)
        label.update(f"! {printable(problem)}" if problem else "")
        label.display = bool(problem)

    def focus_line(self) -> None:
        """Give the focus to where one types."""
        (self.query_one(Select) if self.field.choices else self.query(PlainInput).first()).focus()

    def focused_line(self) -> int:
        """Which line has the focus; the last one where none has."""
        lines = list(self.query(PlainInput))
        return next((number for number, line in enumerate(lines) if line.has_focus), len(lines) - 1)

    @on(Input.Changed)
    async def _changed(self, event: Input.Changed) -> None:
        event.stop()
        await self._typed()

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        event.stop()
        self.post_message(self.Entered())

    @on(Select.Changed)
    def _chosen(self, event: Select.Changed) -> None:
        event.stop()
        self.post_message(self.Changed(self))

    async def _typed(self) -> None:
        if self.field.several and all(self.values):
            await self._add(len(self.values), "")
        self.post_message(self.Changed(self))

    def _lines(self, values: Sequence[str]) -> list[str]:
        """What the lines show."""
        if self.field.choices:
            return [next((value for value in values if value in self.field.choices), self.field.default)]
        return [*values, ""] if self.field.several else [*values, ""][:1]

    def _line(self, number: int, value: str) -> Horizontal:
        name = Label("" if number else self.field.name, classes="name", markup=False)
        if self.field.choices:
            options = [(choice, choice) for choice in self.field.choices]
            return Horizontal(
                name, Select(options, value=value, allow_blank=False, compact=True), classes="line"
            )
        default = printable(self._completer.default(self.field))
        default = f"{default} (default)" if default else ""
        placeholder = "and another" if number else "needed" if self.field.required else default
        complete = self._completer.of(self.field)
        if complete is None:
            return Horizontal(name, PlainInput(value, placeholder), classes="line")
        return Horizontal(name, CompletingInput(value, placeholder, complete), classes="line")

    def _put(self, number: int, value: str) -> None:
        line = list(self.query(PlainInput))[number]
        with line.prevent(Input.Changed):
            line.value = value
            line.cursor_position = len(value)

    async def _add(self, number: int, value: str) -> None:
        await self.mount(self._line(number, value), before=self.query_one(".problem"))
