"""Makes the pictures of the documentation from real commands.

    python docs/make_pictures.py

Audits the sample world in a temporary folder and writes what the terminal
shows, 80 columns wide, to docs/demo.svg.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

DOCS = Path(__file__).resolve().parent
COMMANDS = [
    ["demo"],
    [
        "query",
        "SELECT caption, csa, wsa_rich, wsa_rich_p_value AS p FROM sample_scores "
        "WHERE pool = 'candidates' ORDER BY wsa_rich DESC LIMIT 4",
    ],
]


def main() -> None:
    console = Console(record=True, width=80, file=open(os.devnull, "w"), force_terminal=True)  # noqa: SIM115
    with tempfile.TemporaryDirectory() as folder:
        for command in COMMANDS:
            console.print(Text("$ tui-mia ", "bold green").append(_as_typed(command), "default"))
            console.print(Text.from_ansi(_on_a_terminal([sys.executable, "-m", "tui_mia", *command], folder)))
    console.save_svg(str(DOCS / "demo.svg"), title="tui-mia demo")


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
