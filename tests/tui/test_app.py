"""The app around its panes: keys that work everywhere, what it says, and how it ends."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import ContentSwitcher, Input, OptionList, Tabs

from tui_mia.settings import load_settings
from tui_mia.tui.app import TuiMia
from tui_mia.tui.dialogs import AskPath, Choose, Confirm
from tui_mia.tui.help import HelpScreen
from tui_mia.tui.keys import all_keys
from tui_mia.tui.pane import PANES

SIZES = [(80, 24), (160, 50)]


def shown_pane(app: TuiMia) -> str | None:
    return app.query_one("#panes", ContentSwitcher).current


@pytest.mark.parametrize("size", SIZES)
async def test_it_opens_on_runs_with_single_keys_at_once(
    make_app: Callable[..., TuiMia], wait_until: Callable[..., Awaitable[None]], size: tuple[int, int]
) -> None:
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await wait_until(pilot, app.board_ready.is_set)
        await wait_until(pilot, lambda: shown_pane(app) == "runs")
        assert not isinstance(app.focused, Input)
        await pilot.press("q")
    assert app.return_code == 0


@pytest.mark.parametrize("size", SIZES)
async def test_numbers_and_tabs_bring_panes_to_the_front(
    make_app: Callable[..., TuiMia], wait_until: Callable[..., Awaitable[None]], size: tuple[int, int]
) -> None:
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await wait_until(pilot, app.board_ready.is_set)
        for number, name in enumerate(PANES, start=1):
            await app.bring("runs")  # from a pane without inputs
            await pilot.press(str(number))
            await wait_until(pilot, lambda name=name: shown_pane(app) == name)
            assert app.query_one(Tabs).active == name
        await pilot.click("#tabs #runs")
        await wait_until(pilot, lambda: shown_pane(app) == "runs")


async def test_a_pane_stays_as_it_was_left(
    make_app: Callable[..., TuiMia], bring: Callable[..., Awaitable[object]]
) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        first = await bring(pilot, "log")
        await bring(pilot, "runs")
        assert await bring(pilot, "log") is first


@pytest.mark.parametrize("name", PANES)
@pytest.mark.parametrize("size", SIZES)
async def test_help_is_about_the_pane_and_lists_its_keys(
    make_app: Callable[..., TuiMia],
    bring: Callable[..., Awaitable[object]],
    wait_until: Callable[..., Awaitable[None]],
    screen_text: Callable[[Pilot[int]], str],
    name: str,
    size: tuple[int, int],
) -> None:
    app = make_app()
    async with app.run_test(size=size) as pilot:
        pane = await bring(pilot, name)
        assert len(pane.HELP) > 40  # type: ignore[attr-defined]
        await pilot.press("f1")
        await wait_until(pilot, lambda: isinstance(app.screen, HelpScreen))
        assert pane.HELP.split()[0].strip("#*") in screen_text(pilot)  # type: ignore[attr-defined]
        await pilot.press("escape")
        await wait_until(pilot, lambda: not isinstance(app.screen, HelpScreen))


def test_every_key_has_an_id_of_its_own_that_says_where_it_works() -> None:
    keys = all_keys()
    assert len(keys) > 40
    for key in keys:
        assert re.fullmatch(r"[a-z][a-z-]*\.[a-z][a-z0-9-]*", key.id), key
        assert key.does, key


async def test_a_key_can_be_given_to_something_else(make_app: Callable[..., TuiMia]) -> None:
    app = make_app(keymap={"app.quit": "f12"})
    async with app.run_test() as pilot:
        await pilot.press("q")
        assert app.is_running
        await pilot.press("f12")
    assert app.return_code == 0


async def test_the_theme_is_remembered(
    make_app: Callable[..., TuiMia], wait_until: Callable[..., Awaitable[None]]
) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        app.theme = "gruvbox"
        await wait_until(pilot, lambda: load_settings().theme == "gruvbox")


async def test_wrong_settings_are_said_and_the_app_opens(tmp_path: Path, screen_text: object) -> None:
    folder = tmp_path / "xdg_config_home" / "tui-mia"
    folder.mkdir(parents=True)
    (folder / "settings.toml").write_text("them = 1")
    app = TuiMia(tmp_path / "audits.duckdb")
    async with app.run_test() as pilot:
        await pilot.pause()
        assert any("them: unknown key" in line.message for line in app.journal)


async def test_what_is_said_can_hurt_nobody(
    make_app: Callable[..., TuiMia], screen_text: Callable[[Pilot[int]], str], hostile: str
) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        app.say(hostile, toast=True)
        await pilot.pause()
        assert "\x1b" not in screen_text(pilot)
        assert hostile in [line.message for line in app.journal]


async def test_what_was_copied_can_be_written_to_a_file(
    make_app: Callable[..., TuiMia], tmp_path: Path, wait_until: Callable[..., Awaitable[None]]
) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await wait_until(pilot, app.board_ready.is_set)
        await app.copy("select 1", "the query")
        assert app.clipboard == "select 1"
        await pilot.press("f7")
        await wait_until(pilot, lambda: isinstance(app.screen, AskPath))
        app.screen.query_one(Input).value = str(tmp_path / "out.txt")
        await pilot.press("enter")
        await wait_until(pilot, (tmp_path / "out.txt").exists)
    assert (tmp_path / "out.txt").read_text() == "select 1"
    assert (tmp_path / "out.txt").stat().st_mode & 0o777 == 0o600


async def test_a_file_that_is_there_is_not_written_over(
    make_app: Callable[..., TuiMia], tmp_path: Path
) -> None:
    (tmp_path / "out.txt").write_text("mine")
    app = make_app()
    async with app.run_test():
        app.write_text(tmp_path / "out.txt", "yours")
        assert app.journal[-1].level == "error"
    assert (tmp_path / "out.txt").read_text() == "mine"


async def test_a_picture_of_the_screen_is_a_file_in_the_current_folder(
    make_app: Callable[..., TuiMia], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    app = make_app()
    async with app.run_test() as pilot:
        await pilot.press("f8")
        await pilot.pause()
    (picture,) = tmp_path.glob("tui-mia-*.svg")
    assert picture.read_text().startswith("<svg")


async def test_choices_are_taken_by_their_key_or_by_enter(make_app: Callable[..., TuiMia]) -> None:
    app = make_app()
    answers: list[int | None] = []
    async with app.run_test() as pilot:
        for keys in (["b"], ["down", "enter"], ["j", "enter"], ["escape"], ["enter"]):
            await app.push_screen(Choose("Which?", [("a", "one", 1), ("b", "two", 2)]), answers.append)
            await pilot.press(*keys)
            await pilot.pause()
    assert answers == [2, 2, 2, None, 1]


async def test_enter_is_never_yes(make_app: Callable[..., TuiMia]) -> None:
    app = make_app()
    answers: list[bool | None] = []
    async with app.run_test() as pilot:
        for keys in (["enter"], ["y"], ["n"], ["escape"]):
            await app.push_screen(Confirm("Delete it?", "Yes, delete it"), answers.append)
            await pilot.press(*keys)
            await pilot.pause()
    assert answers == [False, True, False, None]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Name a file."),
        ("{folder}", "Name a file."),
        ("{folder}/a.txt", "End the name in .csv, .json."),
        ("{folder}/there.csv", "There is such a file already"),
        ("{folder}/no/a.csv", "There is no folder"),
        ("{folder}/new.csv", None),
        ("~nobody-of-this-name/a.csv", "There is no folder"),
        ("{folder}/" + "long" * 100 + ".csv", None),
    ],
)
def test_a_path_that_cannot_be_written_is_said_to_be(tmp_path: Path, text: str, said: str | None) -> None:
    (tmp_path / "there.csv").touch()
    problem = AskPath("Where to?", "", [".csv", ".json"]).problem(text.format(folder=tmp_path))
    assert problem is None if said is None else problem and problem.startswith(said)


async def test_dialogs_show_hostile_text_and_do_not_obey_it(
    make_app: Callable[..., TuiMia], screen_text: Callable[[Pilot[int]], str], hostile: str
) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await app.push_screen(Choose(hostile, [("", hostile, 1)]))
        await pilot.pause()
        assert app.screen.query_one(OptionList).option_count == 1
        assert "\\x1b" in screen_text(pilot)
        assert "[/x]" in screen_text(pilot)
