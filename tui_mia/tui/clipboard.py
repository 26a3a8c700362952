"""Copying to the clipboard of whoever sits at the terminal, over SSH and through tmux.

A program on a remote machine reaches that clipboard only by asking the terminal
(OSC 52), which tmux in its default settings passes on from its own buffer alone.
No way says whether it worked, so the user is told which were taken.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Mapping
from typing import Any

from textual.app import App

SECONDS_FOR_A_TOOL = 2.0


async def copy(app: App[Any], text: str, environment: Mapping[str, str] = os.environ) -> list[str]:
    """Copy by every way there is, and say by which; none is an empty list."""
    ways = []
    if (command := tool(environment)) and await _feed(command, text):
        ways.append(command[0])
    if environment.get("TERM_PROGRAM") != "Apple_Terminal":
        app.copy_to_clipboard(text)
        ways.append("the terminal (OSC 52)")
    return ways


def tool(environment: Mapping[str, str]) -> list[str] | None:
    """The command that takes text to the clipboard from its standard input, where there is one."""
    remote = "SSH_CONNECTION" in environment or "SSH_TTY" in environment
    ways = [
        ("TMUX" in environment, ["tmux", "load-buffer", "-w", "-"]),
        ("WAYLAND_DISPLAY" in environment and not remote, ["wl-copy"]),
        ("DISPLAY" in environment and not remote, ["xclip", "-selection", "clipboard"]),
        (not remote, ["pbcopy"]),
    ]
    return next((command for usable, command in ways if usable and shutil.which(command[0])), None)


async def _feed(command: list[str], text: str) -> bool:
    """Whether the command took the text."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return False
    try:
        await asyncio.wait_for(process.communicate(text.encode("utf-8", "replace")), SECONDS_FOR_A_TOOL)
    except TimeoutError:
        process.kill()
        await process.wait()
    return process.returncode == 0
