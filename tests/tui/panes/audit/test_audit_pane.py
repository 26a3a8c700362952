"""Setting up an audit by hand: what is typed, what is said of it, and what becomes of it."""

from __future__ import annotations

import shlex
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Label, OptionList, Select, Static

from tui_mia.architectures import ArchitecturesError
from tui_mia.board import Board
from tui_mia.runs import RunDirectoryError
from tui_mia.spec import AuditSpec, load_spec, read_document
from tui_mia.tui.app import TuiMia
from tui_mia.tui.dialogs import AskPath, Choose
from tui_mia.tui.panes.audit import pane as audit
from tui_mia.tui.panes.audit.field_row import FieldRow
from tui_mia.tui.panes.audit.pane import AuditPane
from tui_mia.tui.panes.audit.pick_path import PickPath
from tui_mia.tui.panes.audit.section_list import SectionList
from tui_mia.tui.panes.audit.show_command import ShowCommand
from tui_mia.tui.panes.audit.source_preview import SourcePreview
from tui_mia.tui.panes.audit.tick import Tick
from tui_mia.tui.widgets.picture import Picture

SIZES = [(80, 24), (160, 50)]
MODELS = {"ViT-B-32": ["laion2b", "openai"], "ViT-L-14": ["openai"]}
Wait: TypeAlias = Callable[..., Awaitable[None]]


@pytest.fixture(autouse=True)
def known_models(monkeypatch: pytest.MonkeyPatch) -> None:
    async def architectures() -> dict[str, list[str]]:
        return MODELS

    monkeypatch.setattr(audit, "architectures", architectures)


@pytest.fixture
def folder(tmp_path: Path, world: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the app is started: a folder with the sample world in it."""
    (tmp_path / "world").symlink_to(world)
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Person:
    """Somebody at the form."""

    def __init__(self, pilot: Pilot[int], pane: AuditPane, wait_until: Wait) -> None:
        self.pilot, self.pane, self._wait_until = pilot, pane, wait_until

    async def wait(self, condition: Callable[[], object]) -> None:
        await self._wait_until(self.pilot, condition)

    async def sees(self, words: str) -> None:
        await self.wait(lambda: words in self.state)

    @property
    def state(self) -> str:
        return str(self.pane.query_one("#audit-state", Static).content)

    @property
    def help(self) -> str:
        return str(self.pane.query_one("#audit-help", Static).content)

    def row(self, key: str) -> FieldRow:
        return next(row for row in self.pane.query(FieldRow) if row.field.key == key)

    def problem(self, key: str) -> str:
        label = self.row(key).query_one(".problem", Label)
        return str(label.content) if label.display else ""

    def lines(self) -> list[str]:
        listing = self.pane.query_one(SectionList)
        return [str(listing.get_option_at_index(n).prompt) for n in range(listing.option_count)]

    def line(self, title: str) -> str:
        return next(line for line in self.lines() if title in line)

    async def write(self, key: str, text: str) -> None:
        """Type into a field, as with the keys; the list of completions closed."""
        await self.pane.form.go_to(key)
        await self.pilot.pause()
        line = self.pilot.app.focused
        assert isinstance(line, Input)
        line.value = text[:-1]
        line.cursor_position = len(line.value)
        await self.pilot.press(text[-1])

    def preview(self) -> SourcePreview | None:
        return next((preview for preview in self.pane.query(SourcePreview) if preview.is_on_screen), None)

    def captions(self) -> str:
        preview = self.preview()
        return str(preview.query_one(".captions", Static).content) if preview else ""

    async def picks(self, *names: str) -> None:
        """Wait until the picker lists these, as the first ones."""

        def listed() -> bool:
            entries = list(self.pilot.app.screen.query("#entries").results(OptionList))
            lines = [str(option.prompt) for option in entries[0].options] if entries else []
            return len(lines) >= len(names) and all(map(str.startswith, lines, names))

        await self.wait(listed)


@pytest.fixture
def person(bring: Callable[..., Awaitable[object]], wait_until: Wait) -> Callable[..., Awaitable[Person]]:
    async def come(pilot: Pilot[int]) -> Person:
        pane = await bring(pilot, "audit")
        assert isinstance(pane, AuditPane)
        return Person(pilot, pane, wait_until)

    return come


Come: TypeAlias = Callable[[Pilot[int]], Awaitable[Person]]
MakeApp: TypeAlias = Callable[..., TuiMia]


@pytest.mark.parametrize("size", SIZES)
async def test_the_sample_world_is_set_up_by_typing(
    folder: Path, make_app: MakeApp, person: Come, screen_text: Callable[..., str], size: tuple[int, int]
) -> None:
    app = make_app()
    async with app.run_test(size=size) as pilot:
        somebody = await person(pilot)
        await somebody.sees("still needed: model.architecture, pools.candidates.source")
        assert [line[0] for line in somebody.lines()] == ["·", "·", *"----", *"✓✓✓✓"]

        await pilot.press("enter", *"local-dir:world/models/target")
        await somebody.sees("still needed: pools.candidates.source")
        assert "An open_clip architecture" in somebody.help

        await pilot.press("pagedown", *"world/candidates.tar")
        await somebody.wait(lambda: "1,400" in somebody.line("Candidates"))
        assert "1,400 pairs in 1 file" in screen_text(pilot)
        assert somebody.captions().startswith("• non-member: ")
        assert len(somebody.captions().splitlines()) == 3
        preview = somebody.preview()
        assert preview is not None
        picture = preview.query_one(Picture)
        await somebody.wait(lambda: picture._drawing is not None)
        assert "▀" in screen_text(pilot)

        await somebody.sees("ready, f5 runs it. Without non-members there are no p-values")
        await somebody.write("pools.nonmembers.source", "world/nonmembers.tar")
        await somebody.wait(lambda: "300" in somebody.line("Non-members"))
        await somebody.wait(lambda: somebody.state == "ready, f5 runs it.")
        assert somebody.line("Non-members").startswith("✓")
        assert next(iter(somebody.row("pools.nonmembers.source").parent.query(Tick))).ticked  # type: ignore[union-attr]


async def test_what_is_wrong_is_said_at_its_field_and_leaves_when_it_is_mended(
    folder: Path, make_app: MakeApp, person: Come
) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        somebody = await person(pilot)
        await somebody.write("attacks.aea.views", "65")
        await somebody.wait(lambda: somebody.problem("attacks.aea.views"))
        assert "less than or equal to 64" in somebody.problem("attacks.aea.views")
        assert somebody.line("Attacks").startswith("!")
        assert somebody.state.startswith("! attacks.aea.views")
        await pilot.press("backspace")
        await somebody.wait(lambda: not somebody.problem("attacks.aea.views"))
        assert somebody.line("Attacks").startswith("✓")

        await somebody.write("pools.candidates.source", "gone.csv")
        await somebody.wait(
            lambda: "no file or folder matches" in somebody.problem("pools.candidates.source")
        )
        await somebody.write("pools.candidates.source", "world/README.md")
        await somebody.wait(lambda: "unknown format" in somebody.problem("pools.candidates.source"))
        assert somebody.line("Candidates").startswith("!")


async def test_names_of_models_are_searched_and_checked(
    folder: Path, make_app: MakeApp, person: Come
) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        somebody = await person(pilot)
        await pilot.press("enter", *"l-14")
        await somebody.wait(lambda: "knows no 'l-14'" in somebody.problem("model.architecture"))
        await pilot.press("down", "enter")
        assert somebody.row("model.architecture").values == ["ViT-L-14"]
        await somebody.sees("still needed: model.pretrained")
        await pilot.press("tab", *"laion2b")
        await somebody.wait(lambda: "has no tag 'laion2b'" in somebody.problem("model.pretrained"))


async def test_without_open_clips_list_a_model_can_be_named_all_the_same(
    folder: Path, make_app: MakeApp, person: Come, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken() -> Mapping[str, list[str]]:
        raise ArchitecturesError("open_clip can't be loaded: no torch")

    monkeypatch.setattr(audit, "architectures", broken)
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        somebody = await person(pilot)
        await somebody.wait(lambda: any("no torch" in line.message for line in app.journal))
        await somebody.write("model.architecture", "ViT-X")
        await somebody.sees("still needed: pools.candidates.source")


async def test_tab_walks_through_all_fields_and_sections_and_escape_comes_back(
    folder: Path, make_app: MakeApp, person: Come
) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        somebody = await person(pilot)
        assert isinstance(app.focused, SectionList)
        await pilot.press("enter")
        walked = []
        for step in range(40):
            if step == 6:
                await somebody.pane.form.go_to("pools.bank.limit")
                await pilot.pause()
            row = somebody.pane.form.focused_row
            walked.append(row.field.key if row else "")
            if row and row.field.key == "output.layout":
                break
            await pilot.press("tab")
        assert walked[:5] == [
            "model.architecture",
            "model.pretrained",
            "model.precision",
            "model.device",
            "pools.candidates.source",
        ]
        assert walked[6:8] == ["pools.bank.limit", ""], "the reference begins with a box to tick"
        assert walked[-4:] == ["run.address", "run.actors", "output.database", "output.layout"]
        await pilot.press("escape")
        assert isinstance(app.focused, SectionList)
        assert app.focused.highlighted == 9
        await pilot.press("g", "l")
        row = somebody.pane.form.focused_row
        assert row is not None
        assert row.field.key == "model.architecture"


async def test_several_sources_each_have_a_line_and_commas_are_part_of_names(
    folder: Path, make_app: MakeApp, person: Come
) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        somebody = await person(pilot)
        await somebody.write("pools.candidates.source", "a, b.csv")
        row = somebody.row("pools.candidates.source")
        await somebody.wait(lambda: row.values == ["a, b.csv", ""])
        await pilot.press("tab", *"c.csv")
        await somebody.wait(lambda: row.values == ["a, b.csv", "c.csv", ""])
        assert somebody.pane.form.draft.document()["pools"]["candidates"]["source"] == ["a, b.csv", "c.csv"]


async def test_a_pool_is_taken_in_by_naming_its_source_and_can_be_left_out(
    folder: Path, make_app: MakeApp, person: Come
) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        somebody = await person(pilot)
        await somebody.write("pools.bank.source", "world/general.tar")
        await somebody.wait(lambda: "600" in somebody.line("Bank"))
        await pilot.press("escape", "l", "space")
        assert isinstance(app.focused, Tick)
        await somebody.wait(lambda: somebody.line("Bank") == "- Bank")
        assert "bank" not in somebody.pane.form.draft.document()["pools"]
        await pilot.press("space")
        await somebody.wait(lambda: "600" in somebody.line("Bank"))


async def test_nothing_typed_is_lost_when_panes_are_switched(
    folder: Path, make_app: MakeApp, person: Come, bring: Callable[..., Awaitable[object]]
) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        somebody = await person(pilot)
        await somebody.write("model.pretrained", "openai")
        await bring(pilot, "runs")
        await bring(pilot, "audit")
        assert somebody.row("model.pretrained").values == ["openai"]


async def test_a_loaded_file_is_shown_and_saved_as_it_was(
    folder: Path, make_app: MakeApp, person: Come
) -> None:
    text = (
        "# mine\n[model]\narchitecture = 'local-dir:world/models/target'\nprecision = 'fast'\n"
        "[pools.candidates]\nsource = ['world/candidates.tar', 'world/general.tar']\nmember = [true, false]\n"
        "[attacks.aea]\nviews = 3  # few\n"
    )
    (folder / "audit.toml").write_text(text)
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        somebody = await person(pilot)
        await pilot.press("f3")
        await somebody.picks("world/", "audit.toml")
        await pilot.press("enter")
        await somebody.sees("audit.toml: ready")
        await somebody.wait(lambda: "2,000" in somebody.line("Candidates"))
        assert somebody.row("model.precision").query_one(Select).value == "fast"
        await somebody.pane.form.go_to("pools.candidates.source")
        assert somebody.row("pools.candidates.source").values == [
            "world/candidates.tar",
            "world/general.tar",
            "",
        ]
        assert somebody.row("pools.candidates.member").values == ["true, false"]
        await somebody.pane.form.go_to("attacks.aea.views")
        await pilot.pause()
        assert [tick.ticked for tick in somebody.pane.query(Tick) if tick.is_on_screen] == [
            False,
            True,
            False,
            False,
        ]

        await pilot.press("f2")
        await somebody.wait(lambda: isinstance(app.screen, AskPath))
        await pilot.press("enter")
        await somebody.wait(lambda: any("wrote" in line.message for line in app.journal))
        assert (folder / "audit.toml").read_text() == text

        await somebody.write("attacks.aea.views", "4")
        await pilot.press("f2")
        await somebody.wait(lambda: isinstance(app.screen, AskPath))
        await pilot.press("enter")
        await somebody.wait(
            lambda: (folder / "audit.toml").read_text() == text.replace("views = 3", "views = 4")
        )


async def test_loading_over_what_is_not_saved_asks(
    folder: Path, make_app: MakeApp, person: Come, world: Path
) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        somebody = await person(pilot)
        await somebody.write("model.pretrained", "openai")
        app.edit_spec(world / "audit.toml")
        await somebody.wait(lambda: isinstance(app.screen, Choose))
        await pilot.press("n")
        await somebody.wait(lambda: not app.screen.is_modal)
        assert somebody.row("model.pretrained").values == ["openai"]
        app.edit_spec(world / "audit.toml")
        await somebody.wait(lambda: isinstance(app.screen, Choose))
        await pilot.press("y")
        await somebody.sees("ready")
        assert somebody.row("model.pretrained").values == [""]
        assert somebody.row("model.architecture").values == [f"local-dir:{world}/models/target"]


async def test_a_spec_of_a_run_can_be_edited(
    folder: Path, make_app: MakeApp, person: Come, world: Path
) -> None:
    app = make_app()
    spec = load_spec(world / "audit.toml", {"attacks.aea.views": 2, "output.database": "audits.duckdb"})
    async with app.run_test(size=(80, 24)) as pilot:
        somebody = await person(pilot)
        app.edit_spec(spec)
        await somebody.sees("ready")
        found = somebody.pane._found
        assert found is not None
        assert found.spec == spec


@pytest.mark.parametrize(
    ("text", "words"),
    [("[model", "is not valid TOML"), ("pools = 3", "pools is not a table")],
)
async def test_a_file_that_is_no_spec_leaves_the_form_as_it_is(
    folder: Path, make_app: MakeApp, person: Come, text: str, words: str
) -> None:
    (folder / "audit.toml").write_text(text)
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        somebody = await person(pilot)
        app.edit_spec(folder / "audit.toml")
        await somebody.wait(lambda: any(words in line.message for line in app.journal))
        await somebody.sees("still needed")


async def test_keys_that_no_spec_has_are_told_and_left_out(
    folder: Path, make_app: MakeApp, person: Come
) -> None:
    (folder / "audit.toml").write_text('[model]\narchitecture = "ViT-B-32"\ndevise = "cpu"\n')
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        somebody = await person(pilot)
        app.edit_spec(folder / "audit.toml")
        await somebody.wait(
            lambda: any("no spec has these keys: model.devise" in line.message for line in app.journal)
        )


async def test_the_command_line_is_one_key_away_and_can_be_copied(
    folder: Path, make_app: MakeApp, person: Come, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied: list[str] = []

    async def copy(text: str, what: str) -> None:
        copied.append(text)

    app = make_app()
    monkeypatch.setattr(app, "copy", copy)
    async with app.run_test(size=(80, 24)) as pilot:
        somebody = await person(pilot)
        await pilot.press("f6")
        await somebody.wait(lambda: any("no command line yet" in line.message for line in app.journal))
        app.edit_spec(world / "audit.toml")
        await somebody.sees("ready")
        await pilot.press("f6")
        await somebody.wait(lambda: isinstance(app.screen, ShowCommand))
        await pilot.press("y")
        await somebody.wait(lambda: copied)
        words = shlex.split(copied[0].replace("\\\n", " "))
        assert words[:4] == ["tui-mia", "run", "--model", f"local-dir:{world}/models/target"]
        assert words[-2:] == ["--db", str(app.database)]
        await pilot.press("w")
        await somebody.wait(lambda: isinstance(app.screen, AskPath))
        await pilot.press("enter")
        await somebody.wait(lambda: (folder / "audit.sh").is_file())
        await pilot.press("escape")
        assert not app.screen.is_modal


async def test_starting_submits_the_audit_and_goes_to_the_runs(
    folder: Path, make_app: MakeApp, person: Come, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(self: Board) -> None:
        """No device is free."""

    monkeypatch.setattr(Board, "_start_what_can", nothing)
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        somebody = await person(pilot)
        app.edit_spec(world / "audit.toml")
        await somebody.sees("ready")
        await pilot.press("f5")
        await somebody.wait(lambda: app.board.queued())
        await somebody.wait(lambda: app.query_one("#panes").current == "runs")  # type: ignore[attr-defined]
        [run] = app.board.queued()
        assert isinstance(run.spec, AuditSpec)
        assert run.spec.pools.candidates.source == [str(world / "candidates.tar")]
        assert run.spec.output.database == str(app.database)
        app.open_pane("audit")
        await somebody.wait(lambda: isinstance(app.focused, SectionList))
        await pilot.press("f5")
        await somebody.wait(lambda: any("goes on; it was unfinished" in line.message for line in app.journal))
        assert len(app.board.queued()) == 1


async def test_a_run_that_can_not_be_started_is_told(
    folder: Path, make_app: MakeApp, person: Come, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(self: Board, spec: AuditSpec, *, new: bool = False) -> str:
        raise RunDirectoryError("no room is left")

    monkeypatch.setattr(Board, "submit", refuse)
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        somebody = await person(pilot)
        app.edit_spec(world / "audit.toml")
        await somebody.sees("ready")
        await pilot.press("f5")
        await somebody.wait(
            lambda: any("can't be started: no room is left" in line.message for line in app.journal)
        )
        assert app.is_running


async def test_starting_too_early_goes_to_what_is_missing(
    folder: Path, make_app: MakeApp, person: Come
) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        somebody = await person(pilot)
        await somebody.write("model.architecture", "hf-hub:a/b")
        await pilot.press("escape", "f5")
        await somebody.wait(lambda: somebody.pane.form.focused_row is not None)
        row = somebody.pane.form.focused_row
        assert row is not None
        assert row.field.key == "pools.candidates.source"
        assert app.board.runs() == []


async def test_a_file_is_picked_for_the_field_with_the_cursor(
    folder: Path, make_app: MakeApp, person: Come
) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        somebody = await person(pilot)
        await somebody.write("pools.candidates.source", "world/")
        await pilot.press("escape", "f4")
        await somebody.wait(lambda: isinstance(app.screen, PickPath))
        await pilot.press(*"cand")
        await somebody.picks("candidates.tar")
        await pilot.press("enter")
        await somebody.wait(lambda: "1,400" in somebody.line("Candidates"))
        assert somebody.row("pools.candidates.source").values == ["world/candidates.tar", ""]

        await somebody.pane.form.go_to("model.architecture")
        await pilot.press("f4")
        await somebody.wait(lambda: isinstance(app.screen, PickPath))
        await pilot.press(*"world/models/target/", "f4")
        await somebody.wait(
            lambda: somebody.row("model.architecture").values == ["local-dir:world/models/target"]
        )

        await somebody.pane.form.go_to("pools.candidates.limit")
        await pilot.press("f4")
        await somebody.wait(lambda: any("picks for a field" in line.message for line in app.journal))


@pytest.mark.parametrize("size", SIZES)
async def test_hostile_names_and_captions_are_shown_not_obeyed(
    folder: Path,
    make_app: MakeApp,
    person: Come,
    screen_text: Callable[..., str],
    hostile: str,
    size: tuple[int, int],
) -> None:
    name = "[x]\x1b]2;PWNED\x07.csv"
    (folder / name).write_text(f'image,caption\nworld/none.png,"{hostile}"\nhostile.png,"{hostile}"\n')
    (folder / "hostile.png").write_bytes(b"\x89PNG no picture at all")
    app = make_app()
    async with app.run_test(size=size) as pilot:
        somebody = await person(pilot)
        await somebody.pane.form.go_to("pools.candidates.source")
        await somebody.row("pools.candidates.source").put(0, name)
        await somebody.wait(lambda: "\\x1b]2;PWNED" in somebody.captions())
        await somebody.wait(lambda: "1 of the first 2 rejected" in screen_text(pilot))
        assert "\x1b" not in screen_text(pilot)
        assert "[/x] [bold]" in somebody.captions()


async def test_begin_anew_empties_the_form(folder: Path, make_app: MakeApp, person: Come) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        somebody = await person(pilot)
        await somebody.write("model.pretrained", "openai")
        await pilot.press("ctrl+n")
        await somebody.wait(lambda: isinstance(app.screen, Choose))
        await pilot.press("y")
        await somebody.wait(lambda: somebody.row("model.pretrained").values == [""])


async def test_what_is_saved_elsewhere_has_paths_as_they_are_seen_from_there(
    folder: Path, make_app: MakeApp, person: Come
) -> None:
    (folder / "audits").mkdir()
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        somebody = await person(pilot)
        await somebody.write("pools.candidates.source", "world/candidates.tar")
        await pilot.press("f2")
        await somebody.wait(lambda: isinstance(app.screen, AskPath))
        app.screen.query_one(Input).value = "audits/a.toml"
        await pilot.press("enter")
        await somebody.wait(lambda: (folder / "audits" / "a.toml").is_file())
        document = read_document(folder / "audits" / "a.toml")
        assert document["pools"]["candidates"]["source"] == f"{folder}/world/candidates.tar"
