"""The form in which an audit is set up: every key of the spec, checked as it is typed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, ClassVar, cast, get_args

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal
from textual.widgets import OptionList, Static

from tui_mia.architectures import ArchitecturesError, architectures
from tui_mia.clean import printable
from tui_mia.overrides import command_line
from tui_mia.spec import AuditSpec, PoolName, SpecError, pool_of, read_document, write_document
from tui_mia.tui.completions import LOCAL, Completer
from tui_mia.tui.dialogs import Confirm
from tui_mia.tui.draft import Draft, saved_paths, typed_paths
from tui_mia.tui.latest import Latest
from tui_mia.tui.pane import Pane
from tui_mia.tui.pool_sight import PoolQuestion, PoolSight, look
from tui_mia.tui.spec_check import Checked, Models, Question, check, outlook
from tui_mia.tui.spec_fields import Section, sections
from tui_mia.tui.widgets.field_row import FieldRow
from tui_mia.tui.widgets.pick_path import PickPath
from tui_mia.tui.widgets.save_spec import SaveSpec
from tui_mia.tui.widgets.section_form import GroupForm, SectionForm
from tui_mia.tui.widgets.section_list import SectionList, SectionSight
from tui_mia.tui.widgets.show_command import ShowCommand
from tui_mia.tui.widgets.source_preview import SourcePreview
from tui_mia.tui.widgets.tick import Tick

SETTLE_SECONDS = 0.15
POOLS: tuple[PoolName, ...] = get_args(PoolName)


class AuditPane(Pane):
    """A draft, the form over it, and what is known of the draft: its problems, and what its pools have."""

    HELP: ClassVar[str] = """\
Sets up an audit: which **model**, which **pools** of pairs, which **attacks**.

The list at the left has the sections: `✓` is right, `!` is wrong, `·` is still needed, `-` is not used.
Enter goes into a section, tab and shift+tab walk through its fields, escape comes back to the list.
Below the fields is what the one with the cursor means.

Typing offers what may stand there: models and their tags, files and folders. Down goes into that list,
enter takes what is chosen, tab completes a path. **f4** picks a file or a folder.

As soon as a pool has a source, its pairs are counted and the first ones shown.
Paths are relative to the folder that tui-mia was started in; a saved file has them relative to itself.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f5,ctrl+r", "start", "Run", key_display="f5", id="audit.start"),
        Binding("f3,ctrl+l", "load", "Load", key_display="f3", id="audit.load"),
        Binding("f2", "save", "Save", id="audit.save"),
        Binding("f6", "command", "Command", tooltip="Show the command line", id="audit.command"),
        Binding("f4,ctrl+o", "pick", "Pick file", key_display="f4", id="audit.pick"),
        Binding("ctrl+n", "new", "Begin a new audit", show=False, id="audit.new"),
        Binding("pagedown", "section(1)", "Next section", show=False, id="audit.page-down"),
        Binding("pageup", "section(-1)", "Previous section", show=False, id="audit.page-up"),
        Binding("tab", "walk", "Next field", show=False, id="audit.walk"),
        Binding("escape", "leave", "Back to the list of sections", show=False, id="audit.leave"),
    ]

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._folder = Path.cwd()
        self._draft, self._path = Draft(), cast("Path | None", None)
        self._saved = self._draft.document()
        self._models: Models = {}
        self._checked: Checked | None = None
        self._sights: dict[PoolName, PoolSight] = {name: PoolSight() for name in POOLS}
        self._asked: dict[PoolName, PoolQuestion] = {}
        self._checking = Latest(check, lambda _, checked: self._take(checked), SETTLE_SECONDS)
        self._looking = {name: Latest(look, self._see, SETTLE_SECONDS) for name in POOLS}
        self._completer = Completer(self._folder, lambda: self._models, self._architecture)

    def compose(self) -> ComposeResult:
        with Horizontal(id="audit-body"):
            yield SectionList([SectionSight(section.title, "unused") for section in sections()])
            for number, section in enumerate(sections()):
                pool = section.key.startswith("pools.")
                with Container(classes="section -pool" if pool else "section") as container:
                    container.display = number == 0
                    yield SectionForm(section, self._draft, self._completer.of)
                    if pool:
                        yield SourcePreview()
        yield Static("", id="audit-help", markup=False)
        yield Static("", id="audit-state", markup=False)

    def on_mount(self) -> None:
        self.query_one(SectionList).highlighted = 0
        self._in_background(self._checking.run())
        for looking in self._looking.values():
            self._in_background(looking.run())
        self._in_background(self._ask_for_models())
        self._changed()

    def focus_first(self) -> None:
        self.query_one(SectionList).focus()

    async def show(self, spec: AuditSpec | Path) -> None:
        """Put a spec or a file into the form; asks where something would be lost."""
        if await self._may_be_replaced():
            await self._load(spec)

    # Moving about

    @on(OptionList.OptionHighlighted, "SectionList")
    def _section_chosen(self, event: OptionList.OptionHighlighted) -> None:
        for number, container in enumerate(self.query(".section")):
            container.display = number == event.option_index
        self._tell_help()

    @on(OptionList.OptionSelected, "SectionList")
    def _section_entered(self) -> None:
        self._form().focus_first()

    @on(FieldRow.Entered)
    def action_walk(self) -> None:
        """The next field; after the last one of a section, the first one of the next."""
        chain = [widget for widget in self.screen.focus_chain if self._form() in widget.ancestors]
        if chain and chain[-1] is self.app.focused:
            self.action_section(1)
        else:
            self.screen.focus_next()

    def action_leave(self) -> None:
        self.query_one(SectionList).focus()

    def action_section(self, step: int) -> None:
        """Another section, with the cursor in its first field where it was in one."""
        listing = self.query_one(SectionList)
        number = (listing.highlighted or 0) + step
        if 0 <= number < len(sections()):
            inside = not listing.has_focus
            listing.highlighted = number
            if inside:
                self.call_after_refresh(self._form().focus_first)

    @on(events.DescendantFocus)
    def _tell_help(self) -> None:
        self.query_one("#audit-help", Static).update(self._help_text())

    def _help_text(self) -> str:
        focused = self.app.focused
        for node in focused.ancestors_with_self if focused else ():
            if isinstance(node, FieldRow):
                default = f" By default {node.field.default}." if node.field.default else ""
                return f"{node.field.name}: {node.field.help}{default}"
            if isinstance(node, Tick) and isinstance(node.parent, GroupForm):
                return node.parent.group.help
        return "enter goes into the section, escape comes back; tab walks through the fields"

    def _section(self) -> Section:
        return sections()[self.query_one(SectionList).highlighted or 0]

    def _form(self, key: str | None = None) -> SectionForm:
        key = key or self._section().key
        return next(form for form in self.query(SectionForm) if form.section.key == key)

    # What is typed, and what comes of it

    @on(FieldRow.Changed)
    def _typed(self, event: FieldRow.Changed) -> None:
        field, values = event.row.field, event.row.values
        shown = [text or field.default for text in self._draft.texts(field)] if field.choices else []
        if values != shown:
            self._draft.write(field, values)
            # Whoever names the source of a pool wants to use it.
            if any(values) and not self._draft.is_on(field.table):
                self._draft.switch(field.table, True)
                for group in self._form().query(GroupForm):
                    group.tick(self._draft.is_on(group.group.table))
            self._changed()

    @on(GroupForm.Switched)
    def _switched(self, event: GroupForm.Switched) -> None:
        self._draft.switch(event.form.group.table, event.taken_in)
        self._changed()

    def _changed(self) -> None:
        """Have the draft checked, and the pools that are not what they were looked at."""
        document = self._draft.document()
        self._checked = None
        self._checking.ask(Question(document, self._folder, self.tui.database, self._models))
        for name in POOLS:
            question = PoolQuestion(name, pool_of(document, self._folder, name))
            if self._asked.get(name) != question:
                self._asked[name] = question
                self._looking[name].ask(question)
        self._tell_state()

    def _take(self, checked: Checked) -> None:
        self._checked = checked
        for form in self.query(SectionForm):
            form.tell(checked.problems)
        self._tell_state()

    def _see(self, question: PoolQuestion, sight: PoolSight) -> None:
        self._sights[question.name] = sight
        form = self._form(f"pools.{question.name}")
        assert form.parent is not None
        form.parent.query_one(SourcePreview).show(sight)
        self._tell_state()

    def _tell_state(self) -> None:
        self.query_one("#audit-state", Static).update(printable(self._state()))
        self.query_one(SectionList).show([self._sight(section) for section in sections()])

    def _state(self) -> str:
        checked = self._checked
        name = "" if self._path is None else f"{self._path.name}: "
        if checked is None:
            return f"{name}checking"
        if checked.problems:
            (key, message), *others = checked.problems.items()
            more = f" (and {len(others)} more)" if others else ""
            return f"! {key}: {message}{more}"
        if checked.spec is None:
            return f"{name}still needed: {', '.join(checked.needed)}"
        return (
            f"{name}ready, f5 runs it. {outlook(checked.spec)}{self._other_database(checked.spec)}".rstrip()
        )

    def _other_database(self, spec: AuditSpec) -> str:
        here = self.tui.database.absolute()
        return "" if Path(spec.output.database) == here else f" Its scores go to {here}, which is open here."

    def _sight(self, section: Section) -> SectionSight:
        """What the list says of a section."""
        form, checked = self._form(section.key), self._checked
        detail = ""
        if section.key.startswith("pools."):
            count = self._sights[cast(PoolName, section.key.removeprefix("pools."))].count
            detail = f"{count.pairs:,}" if count and count.files and self._draft.is_on(section.key) else ""
        if checked and any(form.has(key) for key in checked.problems):
            return SectionSight(section.title, "wrong", detail)
        if checked and any(form.has(key) for key in checked.needed):
            return SectionSight(section.title, "needed", detail)
        used = any(self._draft.is_on(group.table) for group in section.groups)
        return SectionSight(section.title, "right" if used else "unused", detail)

    def _architecture(self) -> str:
        return str(self._draft.document()["model"].get("architecture", ""))

    async def _ask_for_models(self) -> None:
        try:
            self._models = await architectures()
        except ArchitecturesError as error:
            self.tui.say(f"the names of models can't be offered: {error}", "warning")
        else:
            self._changed()

    # Actions

    async def action_start(self) -> None:
        """Submit the audit, or go to what is wrong with it."""
        spec = await self._spec_or_what_is_wrong("the audit can't run yet")
        if spec is None:
            return
        await self.tui.board_ready.wait()
        board = self.tui.board
        known = {run.run_id for run in board.runs()}
        run_id = await board.submit(spec)
        what = "is on its way" if run_id not in known else "of the same spec goes on; it was unfinished"
        self.tui.say(f"run {run_id} {what}", toast=True)
        self.tui.open_pane("runs")

    async def action_command(self) -> None:
        """Show the command line of the audit, or go to what is wrong with it."""
        spec = await self._spec_or_what_is_wrong("there is no command line yet")
        if spec is not None:
            self.app.push_screen(ShowCommand(command_line(spec)))

    def action_load(self) -> None:
        self._in_background(self._pick_and_load())

    def action_save(self) -> None:
        self._in_background(self._save())

    def action_new(self) -> None:
        self._in_background(self._begin_anew())

    def action_pick(self) -> None:
        self._in_background(self._pick())

    async def _spec_or_what_is_wrong(self, complaint: str) -> AuditSpec | None:
        question = Question(self._draft.document(), self._folder, self.tui.database, self._models)
        self._take(await asyncio.to_thread(lambda: next(check(question, lambda: False))))
        assert self._checked is not None
        if self._checked.spec is None:
            self._go_to(next(iter([*self._checked.problems, *self._checked.needed])))
            self.tui.say(f"{complaint}: {self._state()}", "warning", toast=True)
        return self._checked.spec

    def _go_to(self, key: str) -> None:
        for number, section in enumerate(sections()):
            form = self._form(section.key)
            if form.has(key):
                self.query_one(SectionList).highlighted = number
                row = form.row(key)
                self.call_after_refresh(row.focus_line if row else form.focus_first)

    async def _pick(self) -> None:
        """Put a path that is picked into the field with the cursor."""
        row = next((row for row in self.query(FieldRow) if row.has_focus_within), None)
        if row is None or row.field.completes not in ("path", "architecture", "pretrained"):
            self.tui.say("f4 picks for a field that holds a file or a folder", "warning", toast=True)
            return
        line = row.focused_line()
        prefix = LOCAL if row.field.completes == "architecture" else ""
        typed = row.values[line]
        typed = typed.removeprefix(prefix) if typed.startswith(prefix) else ""
        folders = bool(prefix) or row.field.several
        question = f"{row.field.key}: which file{' or folder' if folders else ''}?"
        if prefix:
            question = "model.architecture: which folder of a model?"
        picked = await self.app.push_screen_wait(PickPath(question, typed, self._folder, folders=folders))
        if picked is not None:
            await row.put(line, prefix + picked)

    async def _pick_and_load(self) -> None:
        if await self._may_be_replaced():
            question = PickPath("Load which audit?", "", self._folder, suffixes=(".toml",))
            picked = await self.app.push_screen_wait(question)
            if picked is not None:
                await self._load(self._folder / Path(picked).expanduser())

    async def _load(self, spec: AuditSpec | Path) -> None:
        try:
            if isinstance(spec, Path):
                document = await asyncio.to_thread(read_document, spec)
                draft = Draft(typed_paths(document, spec.resolve().parent, self._folder))
            else:
                draft = Draft(typed_paths(document_of(spec), Path("/"), self._folder))
        except SpecError as error:
            self.tui.say(str(error), "error", toast=True)
            return
        await self._put(draft, spec if isinstance(spec, Path) else None)
        if draft.left_out:
            self.tui.say(f"no spec has these keys: {', '.join(draft.left_out)}", "warning", toast=True)

    async def _begin_anew(self) -> None:
        if await self._may_be_replaced():
            await self._put(Draft(), None)

    async def _put(self, draft: Draft, path: Path | None) -> None:
        """Show another draft."""
        self._draft, self._path, self._saved = draft, path, draft.document()
        for form in self.query(SectionForm):
            await form.show(draft)
        self._changed()

    async def _may_be_replaced(self) -> bool:
        """Whether what was typed is saved, or may be lost."""
        if self._draft.document() == self._saved:
            return True
        question = Confirm("What was typed has not been saved.", "Drop it", "Keep it")
        answer: bool | None = await self.app.push_screen_wait(question)
        return bool(answer)

    async def _save(self) -> None:
        proposed = self._path or self._folder / "audit.toml"
        below = proposed.is_relative_to(self._folder)
        shown = proposed.relative_to(self._folder) if below else proposed
        path = await self.app.push_screen_wait(SaveSpec(str(shown)))
        if path is None:
            return
        path, document = self._folder / path, self._draft.document()
        try:
            await asyncio.to_thread(lambda: write_document(saved_paths(document, self._folder, path), path))
        except (OSError, UnicodeEncodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "a file name in it is not valid UTF-8"
            self.tui.say(f"{path}: can't be written: {reason}", "error", toast=True)
        else:
            self._path, self._saved = path, document
            self.tui.say(f"wrote {path}", toast=True)
            self._tell_state()

    def _in_background(self, work: Awaitable[object]) -> None:
        async def told() -> None:
            try:
                await work
            except Exception as error:
                self.tui.say(f"{type(error).__name__}: {error}", "error", toast=True)
                raise

        self.run_worker(told(), exit_on_error=False)


def document_of(spec: AuditSpec) -> dict[str, Any]:
    """A spec as TOML has it."""
    return spec.model_dump(mode="json", by_alias=True, exclude_none=True)
