"""Picks a file or a folder: what is in a folder, narrowed down by what is typed."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Label, OptionList
from textual.widgets.option_list import Option

from tui_mia.clean import printable
from tui_mia.tui.background import in_background
from tui_mia.tui.panes.audit.listing import Entry, common_start, fitting, list_folder
from tui_mia.tui.widgets.plain_input import PlainInput

LISTED_AT_MOST = 1000


class PickPath(ModalScreen[str | None]):
    """The path that was picked, as it was typed: relative to `base` where it began so; escape gives None.

    With `suffixes` only such files are listed; with `folders` a folder can be
    picked too.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Back", id="pick.back"),
        Binding("down", "move(1)", "Next", show=False, id="pick.down"),
        Binding("up", "move(-1)", "Previous", show=False, id="pick.up"),
        Binding("pagedown", "move(10)", "Ten on", show=False, id="pick.page-down"),
        Binding("pageup", "move(-10)", "Ten back", show=False, id="pick.page-up"),
        Binding("tab", "complete", "Complete", show=False, priority=True, id="pick.complete"),
        Binding("f4,ctrl+o", "take_folder", "Take this folder", show=False, id="pick.folder"),
    ]

    def __init__(
        self, question: str, typed: str, base: Path, *, suffixes: tuple[str, ...] = (), folders: bool = False
    ) -> None:
        super().__init__(classes="dialog")
        self._question, self._typed, self._base = question, typed, base
        self._suffixes, self._folders = suffixes, folders
        self._listed: tuple[str, list[Entry], str] = ("", [], "")
        self._shown: list[Entry] = []

    def compose(self) -> ComposeResult:
        with Vertical(id="pick"):
            yield Label(self._question, id="question", markup=False)
            yield PlainInput(self._typed, "type to narrow down, or a whole path")
            yield OptionList(id="entries", compact=True, markup=False)
            yield Label("", id="problem", markup=False)
            folder = "  f4 takes this folder" if self._folders else ""
            yield Label(f"↑ ↓  enter opens or takes{folder}  tab completes", id="hint", markup=False)

    def on_mount(self) -> None:
        self.query_one("#entries").can_focus = False
        self.query_one(PlainInput).focus()
        self._look()

    @property
    def _above(self) -> str:
        """What is typed of the folder that is listed, with its slash."""
        typed = self.query_one(PlainInput).value
        above, slash, _ = typed.rpartition("/")
        return "~/" if typed == "~" else above + slash

    def action_move(self, step: int) -> None:
        entries = self.query_one("#entries", OptionList)
        if entries.option_count:
            chosen = -1 if entries.highlighted is None else entries.highlighted
            entries.highlighted = max(0, min(chosen + step, entries.option_count - 1))

    def action_complete(self) -> None:
        """Take what is typed as far as all names that fit agree."""
        names = [f"{entry.name}{'/' if entry.is_folder else ''}" for entry in self._shown]
        typed = self.query_one(PlainInput).value
        agreed = self._above + common_start(names)
        if len(agreed) > len(typed):
            self._write(agreed)

    def action_take_folder(self) -> None:
        if self._folders:
            self.dismiss(self._above.rstrip("/") or ("/" if self._above else "."))

    @on(Input.Changed)
    def _look(self) -> None:
        in_background(self, self._list, in_place_of="list")

    @on(Input.Submitted)
    def _entered(self) -> None:
        highlighted = self.query_one("#entries", OptionList).highlighted
        typed = self.query_one(PlainInput).value
        if highlighted is not None and highlighted < len(self._shown):
            self._take(self._shown[highlighted])
        elif typed and not typed.endswith("/"):
            self.dismiss(typed)  # a glob, a brace range, or a file that is yet to come

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        self._take(self._shown[event.option_index])

    def _take(self, entry: Entry) -> None:
        if entry.is_folder:
            self._write(f"{self._above}{entry.name}/")
        else:
            self.dismiss(f"{self._above}{entry.name}")

    def _write(self, text: str) -> None:
        line = self.query_one(PlainInput)
        line.value = text
        line.cursor_position = len(text)

    async def _list(self) -> None:
        above, typed = self._above, self.query_one(PlainInput).value
        if self._listed[0] != above or not self._listed[1]:
            self._listed = (above, *await asyncio.to_thread(_entries, self._base, above))
        _, entries, problem = self._listed
        start = typed[len(above) :] if typed.startswith(above) else ""
        self._shown = [entry for entry in fitting(entries, start) if self._is_listed(entry)]
        listing = self.query_one("#entries", OptionList)
        listing.clear_options()
        listing.add_options(Option(_line(entry)) for entry in self._shown[:LISTED_AT_MOST])
        listing.highlighted = self._first_choice()
        more = len(self._shown) - LISTED_AT_MOST
        empty = "" if self._shown else "nothing here fits"
        text = problem or (f"and {more:,} more; type to narrow them down" if more > 0 else empty)
        self.query_one("#problem", Label).update(printable(text))

    def _first_choice(self) -> int | None:
        """What enter takes at once: where a certain kind of file is asked for, the first of that kind."""
        files = (number for number, entry in enumerate(self._shown) if not entry.is_folder)
        first = next(files, 0) if self._suffixes else 0
        return first if self._shown and first < LISTED_AT_MOST else None

    def _is_listed(self, entry: Entry) -> bool:
        return entry.is_folder or not self._suffixes or entry.name.endswith(self._suffixes)


def _entries(base: Path, above: str) -> tuple[list[Entry], str]:
    """What is in the folder, or why that can't be known."""
    try:
        return list_folder(base / os.path.expanduser(above)), ""
    except OSError as error:
        return [], f"{above or '.'}: can't be listed: {error.strerror}"
    except ValueError as error:
        return [], f"{above}: {error}"


def _line(entry: Entry) -> Content:
    return Content(
        f"{printable(entry.name)}/" if entry.is_folder else f"{printable(entry.name)}  {_size(entry.size)}"
    )


def _size(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
