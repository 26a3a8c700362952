"""A spec as a form: the list of its sections, and the one that is chosen."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal
from textual.message import Message
from textual.widgets import OptionList

from tui_mia.clean import printable
from tui_mia.spec import PoolName
from tui_mia.tui.panes.audit.completions import Completer
from tui_mia.tui.panes.audit.draft import Draft
from tui_mia.tui.panes.audit.field_row import FieldRow
from tui_mia.tui.panes.audit.pool_sight import PoolSight
from tui_mia.tui.panes.audit.section_form import GroupForm, SectionForm
from tui_mia.tui.panes.audit.section_list import Mark, SectionList, SectionSight
from tui_mia.tui.panes.audit.source_preview import SourcePreview
from tui_mia.tui.panes.audit.spec_check import Checked
from tui_mia.tui.panes.audit.spec_fields import Section, sections
from tui_mia.tui.panes.audit.tick import Tick


class SpecForm(Horizontal):
    """Writes what is typed into a draft; a section is made when it is first shown."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("pagedown", "section(1)", "Next section", show=False, id="audit.page-down"),
        Binding("pageup", "section(-1)", "Previous section", show=False, id="audit.page-up"),
        Binding("tab", "walk", "Next field", show=False, id="audit.walk"),
        Binding("escape", "leave", "Back to the list of sections", show=False, id="audit.leave"),
    ]

    class Changed(Message):
        """The draft is another one than before."""

    def __init__(self, completer: Completer) -> None:
        super().__init__()
        self.draft = Draft()
        self._completer = completer
        self._checked: Checked | None = None
        self._sights: dict[PoolName, PoolSight] = {}
        self._forms: dict[str, SectionForm] = {}
        self._making = asyncio.Lock()

    def compose(self) -> ComposeResult:
        yield SectionList([self._line(section) for section in sections()])

    async def on_mount(self) -> None:
        await self._bring(0)

    async def show(self, draft: Draft) -> None:
        """Show another draft."""
        self.draft = draft
        for form in self._forms.values():
            await form.show(draft)
        self.post_message(self.Changed())

    def tell(self, checked: Checked) -> None:
        """Show what is wrong, each problem at its field."""
        if checked != self._checked:
            self._checked = checked
            for form in self._forms.values():
                form.tell(checked.problems)
        self._tell_list()

    def see(self, name: PoolName, sight: PoolSight) -> None:
        """Show what is known of a pool."""
        self._sights[name] = sight
        for section in sections():
            if section.pool == name and section.key in self._forms:
                self._preview(section).show(sight)
        self._tell_list()

    @property
    def focused_row(self) -> FieldRow | None:
        """The field with the cursor."""
        return next((row for row in self.query(FieldRow) if row.has_focus_within), None)

    def help_text(self) -> str:
        """What the field with the cursor means."""
        focused = self.app.focused
        for node in focused.ancestors_with_self if focused else ():
            if isinstance(node, FieldRow):
                default = printable(self._completer.default(node.field))
                return f"{node.field.name}: {node.field.help}" + (
                    f" By default {default}." if default else ""
                )
            if isinstance(node, Tick) and isinstance(node.parent, GroupForm):
                return node.parent.group.help
        return "enter goes into the section, escape comes back; tab walks through the fields"

    async def go_to(self, key: str) -> None:
        """Put the cursor into the field of a key, or where it would be."""
        for number, section in enumerate(sections()):
            if section.has(key):
                await self._bring(number)
                row = self._forms[section.key].row(key)
                if row is None:
                    self._forms[section.key].focus_first()
                else:
                    row.focus_line()

    async def action_section(self, step: int) -> None:
        """Another section, with the cursor in its first field if it was in a field."""
        number = self._number + step
        if 0 <= number < len(sections()):
            inside = not self._list.has_focus
            await self._bring(number)
            if inside:
                self._forms[sections()[number].key].focus_first()

    @on(FieldRow.Entered)
    async def action_walk(self) -> None:
        """The next field; after the last one of a section, the first one of the next."""
        form = self._forms[sections()[self._number].key]
        chain = [widget for widget in self.screen.focus_chain if form in widget.ancestors]
        if chain and chain[-1] is self.app.focused and self._number + 1 < len(sections()):
            await self.action_section(1)
        else:
            self.screen.focus_next()

    def action_leave(self) -> None:
        self._list.focus()

    @on(OptionList.OptionHighlighted, "SectionList")
    async def _chosen(self, event: OptionList.OptionHighlighted) -> None:
        if event.option_index == self._list.highlighted:
            await self._bring(event.option_index)

    @on(OptionList.OptionSelected, "SectionList")
    async def _entered(self, event: OptionList.OptionSelected) -> None:
        await self._bring(event.option_index)
        self._forms[sections()[event.option_index].key].focus_first()

    @on(FieldRow.Changed)
    def _typed(self, event: FieldRow.Changed) -> None:
        event.stop()
        field, values = event.row.field, event.row.values
        if field.choices and values == [text or field.default for text in self.draft.texts(field)]:
            return
        self.draft.write(field, values)
        # Whoever names the source of a pool wants to use it.
        if any(values) and not self.draft.is_on(field.table):
            self.draft.switch(field.table, True)
            for group in self.query(GroupForm):
                if group.group.table == field.table:
                    group.tick(True)
        self.post_message(self.Changed())

    @on(GroupForm.Switched)
    def _switched(self, event: GroupForm.Switched) -> None:
        event.stop()
        self.draft.switch(event.form.group.table, event.taken_in)
        self.post_message(self.Changed())

    @property
    def _list(self) -> SectionList:
        return self.query_one(SectionList)

    @property
    def _number(self) -> int:
        return self._list.highlighted or 0

    async def _bring(self, number: int) -> None:
        """Show a section; make it if that was not done yet."""
        section = sections()[number]
        async with self._making:
            self._list.highlighted = number
            if section.key not in self._forms:
                form = SectionForm(section, self.draft, self._completer)
                shown = [form, SourcePreview()] if section.pool else [form]
                await self.mount(Container(*shown, classes="section -pool" if section.pool else "section"))
                self._forms[section.key] = form
                self._catch_up(section)
            for other in self._forms.values():
                assert other.parent is not None
                other.parent.display = other is self._forms[section.key]

    def _catch_up(self, section: Section) -> None:
        """Show in a section that was just made what is known of it."""
        if self._checked is not None:
            self._forms[section.key].tell(self._checked.problems)
        if section.pool:
            self._preview(section).show(self._sights.get(section.pool, PoolSight()))

    def _preview(self, section: Section) -> SourcePreview:
        parent = self._forms[section.key].parent
        assert parent is not None
        return parent.query_one(SourcePreview)

    def _tell_list(self) -> None:
        self._list.show([self._line(section) for section in sections()])

    def _line(self, section: Section) -> SectionSight:
        """What the list says of a section."""
        used = any(self.draft.is_on(group.table) for group in section.groups)
        mark: Mark = "right" if used else "unused"
        if self._checked and any(map(section.has, self._checked.problems)):
            mark = "wrong"
        elif self._checked and any(map(section.has, self._checked.needed)):
            mark = "needed"
        count = self._sights[section.pool].count if section.pool in self._sights else None
        return SectionSight(section.title, mark, f"{count.pairs:,}" if used and count and count.files else "")
