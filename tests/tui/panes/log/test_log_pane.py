"""The Log pane: what was said is shown, kept, followed, copied and written; worker's logs in a pager."""

from __future__ import annotations

import subprocess
from collections.abc import Awaitable, Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, OptionList, Static

from tui_mia.board import BoardRun
from tui_mia.runs import RunDirectory
from tui_mia.tui.app import JOURNAL_LINES, JournalLine, TuiMia
from tui_mia.tui.dialogs import AskPath, Choose
from tui_mia.tui.panes.log.journal import Journal, as_text
from tui_mia.tui.panes.log.pane import cleaned, pager

MakeApp = Callable[..., TuiMia]
Bring = Callable[..., Awaitable[Any]]
WaitUntil = Callable[..., Awaitable[None]]
ScreenText = Callable[[Pilot[int]], str]

SIZES = [(80, 24), (160, 50)]


def status(app: TuiMia) -> str:
    return str(app.query_one("#log-status", Static).content)


@pytest.mark.parametrize("size", SIZES)
async def test_what_was_said_before_and_after_the_pane_opened_is_there_with_its_level_as_a_word(
    make_app: MakeApp, bring: Bring, wait_until: WaitUntil, screen_text: ScreenText, size: tuple[int, int]
) -> None:
    app = make_app()
    app.say("said before", "warning")
    async with app.run_test(size=size) as pilot:
        await bring(pilot, "log")
        app.say("two lines:\nthe second", "error")
        await wait_until(pilot, lambda: "the second" in screen_text(pilot))
        text = screen_text(pilot)
        assert "warning said before" in text
        assert "error   two lines:\n" in text
        assert "\n                 the second" in text
        assert "warnings and errors: 2; following the end" in status(app)


async def test_what_is_said_while_another_pane_is_in_front_is_there_later(
    make_app: MakeApp, bring: Bring, wait_until: WaitUntil, screen_text: ScreenText
) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await bring(pilot, "log")
        await bring(pilot, "sample")
        app.say("said elsewhere " + "x" * 70)
        await bring(pilot, "log")
        await wait_until(pilot, lambda: "said elsewhere" in screen_text(pilot))


async def test_hostile_text_is_shown_and_not_obeyed(
    make_app: MakeApp, bring: Bring, wait_until: WaitUntil, screen_text: ScreenText, hostile: str
) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await bring(pilot, "log")
        app.say(hostile, "error")
        await wait_until(pilot, lambda: "[/x] [bold]\\x1b]2;PWNED\\x07" in screen_text(pilot))
        assert "\x1b" not in screen_text(pilot)
    assert "\x1b" not in as_text(app.journal)


async def test_the_end_is_followed_unless_the_reader_looks_back(
    make_app: MakeApp, bring: Bring, wait_until: WaitUntil, screen_text: ScreenText
) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await bring(pilot, "log")
        for number in range(300):
            app.say(f"line {number:03}")
        await wait_until(pilot, lambda: "line 299" in screen_text(pilot))
        await pilot.press("g")
        await wait_until(pilot, lambda: "not following" in status(app))
        await wait_until(pilot, lambda: "line 000" in screen_text(pilot))
        app.say("line 300")
        await pilot.pause()
        assert "line 300" not in screen_text(pilot)
        await pilot.press("G")
        await wait_until(pilot, lambda: "line 300" in screen_text(pilot))
        app.say("line 301")
        await wait_until(pilot, lambda: "line 301" in screen_text(pilot))
        await pilot.press("ctrl+u", "k")
        await wait_until(pilot, lambda: "not following" in status(app))


async def test_a_flood_is_shown_to_its_end_and_kept_within_bounds(
    make_app: MakeApp, bring: Bring, wait_until: WaitUntil, screen_text: ScreenText
) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await bring(pilot, "log")
        for number in range(2 * JOURNAL_LINES):
            app.journal.append(JournalLine("info", f"line {number}"))
        journal = app.query_one(Journal)
        journal.show_again(app.journal)
        await wait_until(pilot, lambda: f"line {2 * JOURNAL_LINES - 1}" in screen_text(pilot))
        assert len(journal.lines) == JOURNAL_LINES
        assert "lines: 5,000" in status(app)


async def test_long_lines_wrap_on_request(
    make_app: MakeApp, bring: Bring, wait_until: WaitUntil, screen_text: ScreenText
) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await bring(pilot, "log")
        app.say(" ".join(["word"] * 40) + " lastword")
        await wait_until(pilot, lambda: "word" in screen_text(pilot))
        assert "lastword" not in screen_text(pilot)
        await pilot.press("z")
        await wait_until(pilot, lambda: "lastword" in screen_text(pilot))
        assert "long lines wrap" in status(app)
        await pilot.press("z")
        await wait_until(pilot, lambda: "lastword" not in screen_text(pilot))


async def test_the_last_error_is_copied_and_where_there_is_none_that_is_said(
    make_app: MakeApp, bring: Bring, wait_until: WaitUntil
) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await bring(pilot, "log")
        await pilot.press("y")
        await wait_until(pilot, lambda: app.journal[-1].message == "there was no error")
        for message, level in [("first", "error"), ("second\nline", "error"), ("careful", "warning")]:
            app.say(message, level)  # type: ignore[arg-type]
        await pilot.press("y")
        await wait_until(pilot, lambda: app.clipboard == "second\nline")


async def test_the_journal_is_written_to_a_private_file(
    make_app: MakeApp, bring: Bring, wait_until: WaitUntil, tmp_path: Path, hostile: str
) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await bring(pilot, "log")
        app.say(hostile, "error")
        await pilot.press("w")
        await wait_until(pilot, lambda: isinstance(app.screen, AskPath))
        app.screen.query_one(Input).value = str(tmp_path / "out.log")
        await pilot.press("enter")
        await wait_until(pilot, (tmp_path / "out.log").exists)
    assert "error   [/x] [bold]\\x1b]2;PWNED" in (tmp_path / "out.log").read_text()
    assert (tmp_path / "out.log").stat().st_mode & 0o777 == 0o600


@pytest.fixture
def lent(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The terminal can be lent, and these commands got it."""
    commands: list[list[str]] = []

    def run(command: list[str], *, check: bool) -> None:
        if "missing" in command[0]:
            raise FileNotFoundError(2, "No such file or directory")
        commands.append(command)

    @contextmanager
    def suspend(self: TuiMia) -> Any:
        yield

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(TuiMia, "suspend", suspend)
    return commands


def give_runs(app: TuiMia, monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    """Let the board know runs with these directories, and no others."""
    runs = [BoardRun(folder.name, "done", directory=RunDirectory(folder)) for folder in folders]
    monkeypatch.setattr(app.board, "runs", lambda: runs)


async def test_the_log_of_a_chosen_run_opens_in_the_pager(
    make_app: MakeApp,
    bring: Bring,
    wait_until: WaitUntil,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lent: list[list[str]],
) -> None:
    folders = [tmp_path / "run-1", tmp_path / "run-2", tmp_path / "no-log"]
    for folder in folders:
        folder.mkdir()
        (folder / "worker.log").write_text("log")
    (folders[2] / "worker.log").unlink()
    monkeypatch.setenv("PAGER", "most -s")
    app = make_app()
    async with app.run_test() as pilot:
        await bring(pilot, "log")
        give_runs(app, monkeypatch, *folders)
        await pilot.press("o")
        await wait_until(pilot, lambda: isinstance(app.screen, Choose))
        assert app.screen.query_one(OptionList).option_count == 2
        await pilot.press("j", "enter")
        await wait_until(pilot, lambda: lent)
        assert lent[0][:2] == ["most", "-s"]
        assert Path(lent[0][2]).name == "worker.log"
        monkeypatch.setenv("PAGER", "missing-pager")
        await pilot.press("o", "enter")
        await wait_until(pilot, lambda: "missing-pager can't be started" in app.journal[-1].message)


async def test_a_terminal_that_cannot_be_lent_is_told_where_the_log_is(
    make_app: MakeApp,
    bring: Bring,
    wait_until: WaitUntil,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "worker.log").write_text("log")
    app = make_app()
    async with app.run_test() as pilot:
        await bring(pilot, "log")
        give_runs(app, monkeypatch, tmp_path)
        await pilot.press("o", "enter")
        await wait_until(pilot, lambda: str(tmp_path / "worker.log") in app.journal[-1].message)


async def test_without_runs_there_is_no_log_to_open(
    make_app: MakeApp, bring: Bring, wait_until: WaitUntil, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await bring(pilot, "log")
        give_runs(app, monkeypatch)
        await pilot.press("o")
        await wait_until(pilot, lambda: "has a worker.log" in app.journal[-1].message)


@pytest.mark.parametrize(
    ("environment", "command"),
    [
        ({}, ["less"]),
        ({"PAGER": ""}, ["less"]),
        ({"PAGER": "more"}, ["more"]),
        ({"PAGER": "less -S '+G'"}, ["less", "-S", "+G"]),
        ({"PAGER": "it's broken"}, ["less"]),
    ],
)
def test_the_pager_is_the_users(environment: dict[str, str], command: list[str]) -> None:
    assert pager(environment) == command


def test_what_the_pager_gets_has_nothing_to_obey(tmp_path: Path, hostile: str) -> None:
    log, private = tmp_path / "worker.log", tmp_path / "private"
    private.mkdir()
    log.write_bytes(hostile.encode() + b"\nlast \xff")
    text = cleaned(log, private).read_text()
    assert "\x1b" not in text
    assert text.endswith("\nlast \ufffd\n")
