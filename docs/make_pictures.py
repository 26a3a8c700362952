"""Makes the pictures of the documentation from real commands and the real app.

    python docs/make_pictures.py

Audits the sample world in a temporary folder. docs/demo.svg is what the
terminal shows of that, 80 columns wide; docs/app-*.svg are panes of the app on
the same database.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text
from textual.pilot import Pilot
from textual.widgets import ContentSwitcher

from tui_mia.demo import sample_world
from tui_mia.settings import Settings
from tui_mia.tui.app import TuiMia

DOCS = Path(__file__).resolve().parent
COMMANDS = [
    ["demo"],
    [
        "query",
        "SELECT caption, csa, wsa_rich, wsa_rich_p_value AS p FROM sample_scores "
        "WHERE pool = 'candidates' ORDER BY wsa_rich DESC LIMIT 4",
    ],
]
# What is pressed to come to each pane, from the one before.
PANES = [
    ("runs", []),
    ("results", ["enter"]),
    ("sample", ["j", "j", "enter"]),
    ("plots", ["2", "p"]),
    ("checks", ["2", "c"]),
]
SIZE = (120, 36)
SECONDS_TO_SETTLE = 2.0


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        _commands(folder)
        # Captions and times of the run are real; the folder's name would say nothing.
        os.chdir(folder)
        asyncio.run(_app(Path("audits.duckdb")))


def _commands(folder: str) -> None:
    console = Console(record=True, width=80, file=open(os.devnull, "w"), force_terminal=True)  # noqa: SIM115
    for command in COMMANDS:
        console.print(Text("$ tui-mia ", "bold green").append(_as_typed(command), "default"))
        console.print(Text.from_ansi(_on_a_terminal([sys.executable, "-m", "tui_mia", *command], folder)))
    console.save_svg(str(DOCS / "demo.svg"), title="tui-mia demo")


async def _app(database: Path) -> None:
    app = TuiMia(database, Settings())
    async with app.run_test(size=SIZE) as pilot:
        await app.board_ready.wait()
        for name, keys in PANES:
            await _press(pilot, keys)
            while app.query_one("#panes", ContentSwitcher).current != name:
                await pilot.pause(0.05)
            await pilot.pause(SECONDS_TO_SETTLE)
            picture = _from_here(app.export_screenshot(title="tui-mia"))
            (DOCS / f"app-{name}.svg").write_text(picture, encoding="utf-8")


def _from_here(picture: str) -> str:
    """A picture in which the sample world lies in the current folder, and nothing moves."""
    world = re.escape(str(sample_world()))
    return re.sub(
        rf"{world}([^<]*)", lambda found: f"sample_data{found[1]}".ljust(len(found[0]), "\xa0"), picture
    )


async def _press(pilot: Pilot[int], keys: Sequence[str]) -> None:
    for key in keys:
        await pilot.press(key)
        await pilot.pause(0.5)


def _as_typed(command: list[str]) -> str:
    return " ".join(f'"{word}"' if " " in word else word for word in command)


def _on_a_terminal(command: list[str], folder: str) -> str:
    """What a command prints on stdout when that is a terminal of 80 columns."""
    ours, theirs = os.openpty()
    environment = {**os.environ, "COLUMNS": "80", "TERM": "xterm-256color"}
    with subprocess.Popen(
        command,
        cwd=folder,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        env=environment,
    ):
        os.close(theirs)
        printed = b""
        while chunk := _read(ours):
            printed += chunk
    os.close(ours)
    return printed.decode().replace("\r\n", "\n")


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # the other side is closed
        return b""


if __name__ == "__main__":
    main()
