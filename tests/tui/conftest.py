"""The app as a person has it: a terminal of some size, keys, and what is on the screen."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import pytest
from textual.pilot import Pilot

from tui_mia.settings import Settings
from tui_mia.tui.app import TuiMia
from tui_mia.tui.pane import Pane, PaneName

WaitUntil: TypeAlias = Callable[..., Awaitable[None]]


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the settings of whoever runs it, or writes to their clipboard or their folders."""
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    for name in ("TMUX", "DISPLAY", "WAYLAND_DISPLAY", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def hostile() -> str:
    """Text that tries to be markup and to take over the terminal."""
    return "[/x] [bold]\x1b]2;PWNED\x07\x1b[2J\u202eback"


@pytest.fixture
def make_app(tmp_path: Path) -> Callable[..., TuiMia]:
    """Make the app on a database, by default one that is not there."""

    def make(database: Path | None = None, **settings: object) -> TuiMia:
        return TuiMia(database or tmp_path / "audits.duckdb", Settings(**settings))  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def screen_text() -> Callable[[Pilot[int]], str]:
    """What is on the screen, a line a row."""

    def text(pilot: Pilot[int]) -> str:
        strips = pilot.app.screen._compositor.render_strips()
        return "\n".join(strip.text.rstrip() for strip in strips)

    return text


@pytest.fixture(scope="session")
def wait_until(screen_text: Callable[[Pilot[int]], str]) -> WaitUntil:
    """Let the app work until a condition holds; fails with what is on the screen if it never does."""

    async def wait(pilot: Pilot[int], condition: Callable[[], object], seconds: float = 20.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"never came true; on the screen:\n{screen_text(pilot)}"
            await pilot.pause(0.01)
        await pilot.pause()

    return wait


@pytest.fixture(scope="session")
def bring(wait_until: WaitUntil) -> Callable[[Pilot[int], PaneName], Awaitable[Pane]]:
    """Bring a pane to the front, once the runs are known."""

    async def bring(pilot: Pilot[int], name: PaneName) -> Pane:
        app = pilot.app
        assert isinstance(app, TuiMia)
        await wait_until(pilot, app.board_ready.is_set)
        pane = await app.bring(name)
        await pilot.pause()
        return pane

    return bring
