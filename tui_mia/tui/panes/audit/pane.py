"""The pane in which an audit is set up: a form, checked as it is typed, and what is done with it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, ClassVar, get_args

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Static

from tui_mia.architectures import ArchitecturesError, architectures
from tui_mia.clean import printable
from tui_mia.overrides import command_line
from tui_mia.runs import RunDirectoryError
from tui_mia.spec import AuditSpec, PoolName, SpecError, pool_of, read_document, write_document
from tui_mia.tui.background import in_background
from tui_mia.tui.dialogs import Confirm
from tui_mia.tui.latest import Latest
from tui_mia.tui.pane import Pane
from tui_mia.tui.panes.audit.completions import LOCAL, Completer
from tui_mia.tui.panes.audit.draft import Draft, saved_paths, typed_paths
from tui_mia.tui.panes.audit.pick_path import PickPath
from tui_mia.tui.panes.audit.pool_sight import PoolQuestion, PoolSight, look
from tui_mia.tui.panes.audit.save_spec import SaveSpec
from tui_mia.tui.panes.audit.section_list import SectionList
from tui_mia.tui.panes.audit.show_command import ShowCommand
from tui_mia.tui.panes.audit.spec_check import Checked, Models, Question, check, in_words, with_pools
from tui_mia.tui.panes.audit.spec_form import SpecForm

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
    ]

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._folder = Path.cwd()
        self._path: Path | None = None
        self._saved = Draft().document()
        self._models: Models = {}
        self._checked: Checked | None = None
        self._sights: dict[PoolName, PoolSight] = {}
        self._asked: dict[PoolName, PoolQuestion] = {}
        self._checking = Latest(
            check, lambda _, checked: self._take(checked), self.say_failed, SETTLE_SECONDS
        )
        self._looking = {name: Latest(look, self._see, self.say_failed, SETTLE_SECONDS) for name in POOLS}

    def compose(self) -> ComposeResult:
        database = self._relative(self.tui.database.absolute())
        yield SpecForm(Completer(self._folder, database, lambda: self._models, self._architecture))
        yield Static("", id="audit-help", markup=False)
        yield Static("", id="audit-state", markup=False)

    def on_mount(self) -> None:
        in_background(self, self._checking.run)
        for looking in self._looking.values():
            in_background(self, looking.run)
        in_background(self, self._ask_for_models)
        self._have_checked()

    def first_focus(self) -> Widget:
        return self.query_one(SectionList)

    async def show(self, spec: AuditSpec | Path) -> None:
        """Put a spec or a file into the form; asks where something would be lost."""
        if await self._may_be_replaced():
            await self._load(spec)

    @property
    def form(self) -> SpecForm:
        return self.query_one(SpecForm)

    @on(events.DescendantFocus)
    def _tell_help(self) -> None:
        self.query_one("#audit-help", Static).update(self.form.help_text())

    # What is typed, and what comes of it

    @on(SpecForm.Changed)
    def _have_checked(self) -> None:
        """Have the draft checked, and looked at what its pools have where that may have changed."""
        document = self.form.draft.document()
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
        self._tell_state()

    def _see(self, question: PoolQuestion, sight: PoolSight) -> None:
        self._sights[question.name] = sight
        self.form.see(question.name, sight)
        self._tell_state()

    def _tell_state(self) -> None:
        words = "checking"
        if found := self._found:
            self.form.tell(found)
            words = in_words(found, self.tui.database)
        name = "" if self._path is None else f"{self._relative(self._path)}: "
        state, text = self.query_one("#audit-state", Static), printable(name + words)
        if state.content != text:
            state.update(text)

    @property
    def _found(self) -> Checked | None:
        """What is known of the draft as it is now."""
        problems = {name: sight.problem for name, sight in self._sights.items()}
        return None if self._checked is None else with_pools(self._checked, problems)

    def _relative(self, path: Path) -> str:
        """A path as someone in this folder would write it."""
        return str(path.relative_to(self._folder) if path.is_relative_to(self._folder) else path)

    def _architecture(self, table: str) -> str:
        return str(self.form.draft.document().get(table, {}).get("architecture", ""))

    async def _ask_for_models(self) -> None:
        try:
            self._models = await architectures()
        except ArchitecturesError as error:
            self.tui.say(f"the names of models can't be offered: {error}", "warning")
        else:
            self._have_checked()

    # Actions

    def action_start(self) -> None:
        in_background(self, self._start)

    def action_command(self) -> None:
        in_background(self, self._show_command)

    def action_load(self) -> None:
        in_background(self, self._pick_and_load)

    def action_save(self) -> None:
        in_background(self, self._save)

    def action_new(self) -> None:
        in_background(self, self._begin_anew)

    def action_pick(self) -> None:
        in_background(self, self._pick)

    async def _start(self) -> None:
        """Submit the audit, or go to what is wrong with it."""
        spec = await self._spec_or_what_is_wrong("the audit can't run yet")
        if spec is None:
            return
        await self.tui.board_ready.wait()
        board = self.tui.board
        known = {run.run_id for run in board.runs()}
        try:
            run_id = await board.submit(spec)
        except (RunDirectoryError, OSError) as error:
            self.tui.say(f"the run can't be started: {error}", "error", toast=True)
            return
        what = "is on its way" if run_id not in known else "of the same spec goes on; it was unfinished"
        self.tui.say(f"run {run_id} {what}", toast=True)
        self.tui.open_pane("runs")

    async def _show_command(self) -> None:
        """Show the command line of the audit, or go to what is wrong with it."""
        spec = await self._spec_or_what_is_wrong("there is no command line yet")
        if spec is not None:
            self.app.push_screen(ShowCommand(command_line(spec)))

    async def _spec_or_what_is_wrong(self, complaint: str) -> AuditSpec | None:
        question = Question(self.form.draft.document(), self._folder, self.tui.database, self._models)
        self._take(await asyncio.to_thread(lambda: next(check(question, lambda: False))))
        found = self._found
        assert found is not None
        if found.spec is None:
            await self.form.go_to(next(iter([*found.problems, *found.needed])))
            words = in_words(found, self.tui.database).removeprefix("! ")
            self.tui.say(f"{complaint}: {words}", "warning", toast=True)
        return found.spec

    async def _pick(self) -> None:
        """Put a path that is picked into the field with the cursor."""
        row = self.form.focused_row
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
            question = f"{row.field.key}: which folder of a model?"
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
        self._path, self._saved = path, draft.document()
        await self.form.show(draft)

    async def _may_be_replaced(self) -> bool:
        """Whether what was typed is saved, or may be lost."""
        if self.form.draft.document() == self._saved:
            return True
        question = Confirm("What was typed has not been saved.", "Drop it", "Keep it")
        answer: bool | None = await self.app.push_screen_wait(question)
        return bool(answer)

    async def _save(self) -> None:
        proposed = self._relative(self._path) if self._path else "audit.toml"
        path = await self.app.push_screen_wait(SaveSpec(proposed))
        if path is None:
            return
        path, document = self._folder / path, self.form.draft.document()
        try:
            await asyncio.to_thread(lambda: write_document(saved_paths(document, self._folder, path), path))
        except (OSError, UnicodeEncodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "a file name in it is not valid UTF-8"
            self.tui.say(f"{path}: can't be written: {reason}", "error", toast=True)
        else:
            self._path, self._saved = path, document
            self.tui.say(f"wrote {path}", toast=True)
            self._tell_state()


def document_of(spec: AuditSpec) -> dict[str, Any]:
    """A spec as TOML has it."""
    return spec.model_dump(mode="json", by_alias=True, exclude_none=True)
