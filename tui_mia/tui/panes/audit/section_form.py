"""One section of the form: what it is about, and its fields."""

from __future__ import annotations

from collections.abc import Mapping

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.message import Message
from textual.widgets import Label

from tui_mia.clean import printable
from tui_mia.tui.panes.audit.completions import Completer
from tui_mia.tui.panes.audit.draft import Draft
from tui_mia.tui.panes.audit.field_row import FieldRow
from tui_mia.tui.panes.audit.spec_fields import Group, Section
from tui_mia.tui.panes.audit.tick import Tick


class GroupForm(Vertical):
    """The fields of one table, under a box to tick where the table can be left out."""

    class Switched(Message):
        """The table was taken in or left out."""

        def __init__(self, form: GroupForm, taken_in: bool) -> None:
            super().__init__()
            self.form, self.taken_in = form, taken_in

    def __init__(self, group: Group, draft: Draft, completer: Completer) -> None:
        super().__init__(classes="attack" if group.table.startswith("attacks.") else "")
        self.group = group
        self._draft, self._completer = draft, completer

    def compose(self) -> ComposeResult:
        if self.group.optional:
            yield Tick(self.group.label, self._draft.is_on(self.group.table))
        for field in self.group.fields:
            yield FieldRow(field, self._draft.texts(field), self._completer)

    async def show(self, draft: Draft) -> None:
        """Show another draft."""
        self.tick(draft.is_on(self.group.table))
        for row in self.query(FieldRow):
            await row.set(draft.texts(row.field))

    def tick(self, taken_in: bool) -> None:
        """Show whether the table is taken in."""
        for tick in self.query(Tick):
            tick.ticked = taken_in

    @on(Tick.Changed)
    def _ticked(self, event: Tick.Changed) -> None:
        event.stop()
        self.post_message(self.Switched(self, event.tick.ticked))


class SectionForm(VerticalScroll, can_focus=False, inherit_bindings=False):
    """The groups of a section, one under the other; page up and down are the form's."""

    def __init__(self, section: Section, draft: Draft, completer: Completer) -> None:
        super().__init__()
        self.section = section
        self._draft, self._completer = draft, completer

    def compose(self) -> ComposeResult:
        if self.section.help:
            yield Label(self.section.help, classes="about", markup=False)
        problem = Label("", classes="problem section-problem", markup=False)
        problem.display = False
        yield problem
        for group in self.section.groups:
            yield GroupForm(group, self._draft, self._completer)

    async def show(self, draft: Draft) -> None:
        """Show another draft."""
        for group in self.query(GroupForm):
            await group.show(draft)

    def tell(self, problems: Mapping[str, str]) -> None:
        """Show the problems of this section, by key, each at its field; others above the fields."""
        at_fields = {row.field.key for row in self.query(FieldRow)}
        for row in self.query(FieldRow):
            row.tell(problems.get(row.field.key, ""))
        others = [text for key, text in problems.items() if key not in at_fields and self.section.has(key)]
        label = self.query_one(".section-problem", Label)
        label.update(f"! {printable(others[0])}" if others else "")
        label.display = bool(others)

    def row(self, key: str) -> FieldRow | None:
        """The field of a key, if it is here."""
        return next((row for row in self.query(FieldRow) if row.field.key == key), None)

    def focus_first(self) -> None:
        """Give the focus to the first thing that takes it."""
        for widget in self.query("*"):
            if widget.focusable:
                widget.focus()
                return
