"""The models that open_clip knows, asked of it in a process of its own and remembered by its version.

Importing open_clip takes seconds and brings torch with it; no front end can have that.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Final

from platformdirs import user_cache_path

_LISTING: Final = """
import json, open_clip
names = open_clip.list_models()
print(json.dumps({name: open_clip.list_pretrained_tags_by_model(name) for name in names}))
"""


class ArchitecturesError(Exception):
    """The list can't be had; the message says why. An architecture can be named all the same."""


async def architectures(listing: str = _LISTING) -> dict[str, list[str]]:
    """The names of open_clip's architectures, each with its pretrained tags.

    `listing` is the program that prints them as JSON. To be cancelled at will:
    its process is gone then.

    Raises:
        ArchitecturesError: if open_clip is not there or can't be loaded.
    """
    try:
        path = user_cache_path("tui-mia") / f"architectures-{version('open_clip_torch')}.json"
    except PackageNotFoundError:
        raise ArchitecturesError("open_clip is not installed") from None
    known = await asyncio.to_thread(_remembered, path)
    if known is None:
        text = await _printed(listing)
        known = _parsed(text)
        if known is None:
            raise ArchitecturesError("open_clip's list of models can't be read")
        await asyncio.to_thread(_remember, path, text)
    return known


async def _printed(program: str) -> str:
    # Not asyncio's: a task that is cancelled while it starts one leaves it behind.
    # Not in the current folder: a torch.py there is not torch.
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", program],
        stdin=DEVNULL, stdout=PIPE, stderr=PIPE, start_new_session=True,
    )  # fmt: skip
    try:
        printed, complaints = await asyncio.to_thread(process.communicate)
    finally:
        process.kill()  # whoever reads its end reaps it
    if process.returncode != 0:
        last = complaints.decode(errors="replace").strip().splitlines()[-1:]
        raise ArchitecturesError(f"open_clip can't be loaded: {''.join(last) or process.returncode}")
    # Libraries may print on their own account before.
    return printed.decode(errors="replace").strip().rpartition("\n")[2]


def _remembered(path: Path) -> dict[str, list[str]] | None:
    try:
        return _parsed(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return None


def _remember(path: Path, text: str) -> None:
    # Where nothing can be remembered, it takes as long the next time.
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)


def _parsed(text: str) -> dict[str, list[str]] | None:
    """The list, if it has the shape of one."""
    try:
        known = json.loads(text)
    except ValueError:
        return None
    if not isinstance(known, dict) or not known:
        return None
    lists = all(
        isinstance(tags, list) and all(isinstance(tag, str) for tag in tags) for tags in known.values()
    )
    return known if lists else None
