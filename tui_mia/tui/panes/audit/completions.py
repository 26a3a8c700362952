"""What may stand in the fields of the form: paths, open_clip's names, devices."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from tui_mia.tui.panes.audit.completing_input import Complete, Offer
from tui_mia.tui.panes.audit.listing import complete_path
from tui_mia.tui.panes.audit.spec_fields import SpecField

LOCAL: Final = "local-dir:"
HUB: Final = "hf-hub:"
_DEVICES: Final = ("auto", "cpu", "cuda", "cuda:0", "cuda:1")


class Completer:
    """Knows what may stand in the fields of a form, and what a key means that is left out.

    `models` gives open_clip's architectures with their tags, empty while they
    are not known; `architecture` the one that a table of the form has now. An
    audit that names no `database` goes to this one.
    """

    def __init__(
        self,
        folder: Path,
        database: str,
        models: Callable[[], Mapping[str, Sequence[str]]],
        architecture: Callable[[str], str],
    ) -> None:
        self._folder, self._database = folder, database
        self._models, self._architecture = models, architecture

    def of(self, field: SpecField) -> Complete | None:
        """How a field is completed; None where nothing is known of what may stand there."""
        ways: dict[str, Complete] = {
            "path": self._path,
            "architecture": self._architectures,
            "pretrained": partial(self._tags, field.table),
            "device": self._devices,
        }
        return ways.get(field.completes or "")

    def default(self, field: SpecField) -> str:
        """What it means to leave a key out; empty where that can't be said in a word."""
        return self._database if field.key == "output.database" else field.default

    async def _path(self, typed: str) -> Offer:
        return Offer(tuple(await asyncio.to_thread(complete_path, typed, self._folder)), by_start=True)

    async def _architectures(self, typed: str) -> Offer:
        if typed.startswith(LOCAL):
            start = typed.removeprefix(LOCAL)
            paths = await asyncio.to_thread(complete_path, start, self._folder, lambda entry: entry.is_folder)
            return Offer(tuple(f"{LOCAL}{path}" for path in paths), by_start=True)
        return Offer(tuple(search([LOCAL, HUB, *self._models()], typed)))

    async def _tags(self, table: str, typed: str) -> Offer:
        if "/" in typed or typed.startswith(("~", ".")):
            return await self._path(typed)
        return Offer(tuple(search(self._models().get(self._architecture(table), ()), typed)))

    async def _devices(self, typed: str) -> Offer:
        return Offer(tuple(search(_DEVICES, typed)))


def search(names: Sequence[str], typed: str) -> list[str]:
    """The names that have every word of what was typed; those that begin with it first, then the shorter."""
    words = typed.casefold().split()
    found = [name for name in names if all(word in name.casefold() for word in words)]
    start = typed.casefold().strip()
    return (
        sorted(found, key=lambda name: (not name.casefold().startswith(start), len(name))) if words else found
    )
