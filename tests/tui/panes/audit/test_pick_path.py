"""Picking a file or a folder with the keys."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from textual.app import App
from textual.pilot import Pilot
from textual.widgets import OptionList

from tui_mia.tui.panes.audit import pick_path
from tui_mia.tui.panes.audit.pick_path import PickPath


class Asking(App[None]):
    picked: list[str | None]

    def ask(self, *arguments: Any, **options: Any) -> None:
        self.picked = []
        self.push_screen(PickPath("Which one?", *arguments, **options), self.picked.append)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    for name in ("sub/deep.toml", "audit.toml", "pairs.csv", "[x].csv", "\x1b]2;PWNED\x07.csv"):
        (tmp_path / name).write_text("x" * 1500)
    return tmp_path


Listed = Callable[..., Awaitable[list[str]]]


@pytest.fixture
def listed(wait_until: Callable[..., Awaitable[None]]) -> Listed:
    """Press keys; what is listed once that has settled."""

    async def press(pilot: Pilot[None], *keys: str) -> list[str]:
        await pilot.press(*keys)
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()
        if not isinstance(pilot.app.screen, PickPath):
            return []
        entries = pilot.app.screen.query_one("#entries", OptionList)
        return [str(entries.get_option_at_index(number).prompt) for number in range(entries.option_count)]

    return press


async def test_typing_narrows_down_and_enter_goes_into_folders_and_takes_files(
    folder: Path, listed: Listed
) -> None:
    async with Asking().run_test(size=(80, 24)) as pilot:
        app = pilot.app
        assert isinstance(app, Asking)
        app.ask("", folder)
        assert await listed(pilot) == [
            "sub/",
            "\\x1b]2;PWNED\\x07.csv  1.5 kB",
            "[x].csv  1.5 kB",
            "audit.toml  1.5 kB",
            "pairs.csv  1.5 kB",
        ]
        assert await listed(pilot, "s") == ["sub/"]
        assert await listed(pilot, "enter") == ["deep.toml  1.5 kB"]
        await listed(pilot, "enter")
        assert app.picked == ["sub/deep.toml"]


async def test_where_a_kind_of_file_is_asked_for_enter_takes_the_first(folder: Path, listed: Listed) -> None:
    async with Asking().run_test(size=(80, 24)) as pilot:
        app = pilot.app
        assert isinstance(app, Asking)
        app.ask("", folder, suffixes=(".toml",))
        assert await listed(pilot) == ["sub/", "audit.toml  1.5 kB"]
        await listed(pilot, "enter")
        assert app.picked == ["audit.toml"]


@pytest.mark.parametrize(
    ("typed", "keys", "picked"),
    [
        ("sub/", ["f4"], "sub"),
        ("", ["ctrl+o"], "."),
        ("/", ["f4"], "/"),
        ("", [*"pa", "tab", "enter"], "pairs.csv"),
        ("", ["down", "down", "up", "enter"], "\x1b]2;PWNED\x07.csv"),
        ("", [*"new.duckdb", "enter"], "new.duckdb"),
        ("", [*"*.csv", "enter"], "*.csv"),
        ("", ["escape"], None),
    ],
)
async def test_what_the_keys_pick(
    folder: Path, listed: Listed, typed: str, keys: list[str], picked: str | None
) -> None:
    async with Asking().run_test(size=(80, 24)) as pilot:
        app = pilot.app
        assert isinstance(app, Asking)
        app.ask(typed, folder, folders=True)
        await listed(pilot)
        for key in keys:
            await listed(pilot, key)
        assert app.picked == [picked]


async def test_a_folder_that_is_not_there_and_one_that_is_too_full_are_told(
    folder: Path, listed: Listed, screen_text: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pick_path, "LISTED_AT_MOST", 2)
    async with Asking().run_test(size=(80, 24)) as pilot:
        app = pilot.app
        assert isinstance(app, Asking)
        app.ask("", folder)
        assert len(await listed(pilot)) == 2
        assert "and 3 more; type to narrow them down" in screen_text(pilot)
        assert await listed(pilot, *"gone/") == []
        assert "gone/: can't be listed: No such file or directory" in screen_text(pilot)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look everywhere")
async def test_a_folder_that_may_not_be_read_is_told(
    folder: Path, listed: Listed, screen_text: Callable[..., str]
) -> None:
    (folder / "sub").chmod(0)
    async with Asking().run_test(size=(80, 24)) as pilot:
        app = pilot.app
        assert isinstance(app, Asking)
        app.ask("sub/", folder)
        await listed(pilot)
        assert "Permission denied" in screen_text(pilot)
    (folder / "sub").chmod(0o700)
