"""Copying: over SSH, in tmux, on a desktop; and what is said of it."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

import pytest
from textual.app import App

from tui_mia.tui import clipboard


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of programs that write what they are given to a file of their name."""
    for name in ("tmux", "wl-copy", "xclip"):
        program = tmp_path / name
        program.write_text(
            f'#!/bin/sh\nprintf "%s " "$@" > "{program}.arguments"\ncat > "{program}.copied"\n'
        )
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({"TMUX": "/tmp/socket", "DISPLAY": ":0"}, "tmux"),
        ({"TMUX": "/tmp/socket", "SSH_TTY": "/dev/pts/1"}, "tmux"),
        ({"WAYLAND_DISPLAY": "wayland-0", "DISPLAY": ":0"}, "wl-copy"),
        ({"DISPLAY": ":0"}, "xclip"),
    ],
)
@pytest.mark.usefixtures("tools")
def test_the_nearest_tool_is_used(environment: dict[str, str], name: str) -> None:
    command = clipboard.tool(environment)
    assert command is not None
    assert command[0] == name


@pytest.mark.usefixtures("tools")
def test_a_display_at_the_other_end_of_ssh_is_not_the_users() -> None:
    assert clipboard.tool({"DISPLAY": "localhost:10.0", "SSH_CONNECTION": "a b c d"}) is None


async def test_in_tmux_the_text_goes_to_its_buffer_and_to_the_terminal(tools: Path) -> None:
    app: App[object] = App()
    ways = await clipboard.copy(app, "a cat — 猫", {"TMUX": "x"})
    assert ways == ["tmux", "the terminal (OSC 52)"]
    assert (tools / "tmux.copied").read_text() == "a cat — 猫"
    assert (tools / "tmux.arguments").read_text() == "load-buffer -w - "
    assert app.clipboard == "a cat — 猫"


async def test_a_tool_that_fails_is_not_claimed(tools: Path) -> None:
    (tools / "tmux").write_text("#!/bin/sh\nexit 1\n")
    assert await clipboard.copy(App(), "text", {"TMUX": "x"}) == ["the terminal (OSC 52)"]


async def test_a_tool_that_hangs_is_given_up(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tools / "tmux").write_text("#!/bin/sh\nexec sleep 60\n")
    monkeypatch.setattr(clipboard, "SECONDS_FOR_A_TOOL", 0.05)
    assert "tmux" not in await clipboard.copy(App(), "text", {"TMUX": "x"})


async def test_a_terminal_that_takes_nothing_is_no_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert await clipboard.copy(App(), "text", {"TERM_PROGRAM": "Apple_Terminal"}) == []
