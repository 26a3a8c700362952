"""The Log pane: what the app and its workers said."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult, SuspendNotSupported
from textual.binding import Binding, BindingType
from textual.widgets import Static

from tui_mia.clean import printable
from tui_mia.tui.app import TuiMia
from tui_mia.tui.dialogs import AskPath, Choose
from tui_mia.tui.pane import Pane
from tui_mia.tui.panes.log.journal import Journal, as_text

MOST_RUNS = 200
MOST_BYTES = 16 * 2**20


class LogPane(Pane):
    HELP = """
**What the app and its workers said**, with the time and how grave it is: `info`, `warning` or `error`.

The end is followed until you scroll back; `G` goes to the end and follows it again. The last 5,000
lines are kept, for as long as the app is open; `w` writes them to a file. What a run's own worker
wrote, with the tracebacks of its libraries, is in the `worker.log` of its run directory: `o` opens
that in your pager.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "o",
            "open_worker_log",
            "Worker's log",
            tooltip="Open the log of a run's worker in the pager",
            id="log.open",
        ),
        Binding("w", "write", "Write", tooltip="Write the log to a file", id="log.write"),
        Binding("y", "copy_error", "Copy error", tooltip="Copy the last error", id="log.copy"),
        Binding("z", "wrap", "Wrap", tooltip="Wrap long lines, or not", id="log.wrap"),
    ]

    def compose(self) -> ComposeResult:
        yield Journal(id="journal")
        yield Static(id="log-status", markup=False)

    @property
    def journal(self) -> Journal:
        return self.query_one(Journal)

    def on_mount(self) -> None:
        self.journal.add(self.tui.journal)
        self._tell_where_we_are()

    async def on_show_pane(self) -> None:
        self.call_after_refresh(self.journal.resume)

    @on(TuiMia.Said)
    def _said(self, event: TuiMia.Said) -> None:
        event.stop()
        self.journal.add([event.line])

    @on(Journal.Moved)
    def _tell_where_we_are(self) -> None:
        lines = len(self.tui.journal)
        warnings = sum(line.level != "info" for line in self.tui.journal)
        where = "following the end" if self.journal.follows else "not following: G goes to the end"
        wraps = "long lines wrap" if self.journal.wrap else "z wraps long lines"
        self.query_one("#log-status", Static).update(
            f"lines: {lines:,}, warnings and errors: {warnings:,}; {where}; {wraps}"
        )

    def action_wrap(self) -> None:
        self.journal.wrap = not self.journal.wrap
        self.journal.show_again(self.tui.journal)
        self._tell_where_we_are()

    def action_write(self) -> None:
        def write(path: Path | None) -> None:
            if path is not None:
                self.tui.write_text(path, as_text(self.tui.journal))

        self.app.push_screen(AskPath("Write the log to:", "tui-mia.log"), write)

    async def action_copy_error(self) -> None:
        for line in reversed(self.tui.journal):
            if line.level == "error":
                await self.tui.copy(line.message, "the last error")
                return
        self.tui.say("there was no error", toast=True)

    def action_open_worker_log(self) -> None:
        if not self.tui.board_ready.is_set():
            self.tui.say("the runs are not known yet; try again in a moment", "warning", toast=True)
            return
        logs = [
            ("", f"{run.run_id}  {run.status:<10}  {run.architecture}", run.directory.log_path)
            for run in self.tui.board.runs()
            if run.directory is not None and run.directory.log_path.is_file()
        ]
        if not logs:
            self.tui.say("no run of this database has a worker.log", "warning", toast=True)
            return
        self.app.push_screen(Choose("Whose log?", logs[:MOST_RUNS]), self._page)

    def _page(self, log: Path | None) -> None:
        if log is None:
            return
        command = pager(os.environ)
        try:
            with tempfile.TemporaryDirectory() as private, self.app.suspend():
                subprocess.run([*command, str(cleaned(log, Path(private)))], check=False)
        except SuspendNotSupported:
            self.tui.say(f"this terminal can't be lent to a pager; the log is {log}", "warning", toast=True)
        except OSError as error:
            name = printable(command[0])
            self.tui.say(
                f"{name} can't be started ({error.strerror}): set PAGER to a pager that is installed, "
                f"or read {log}",
                "error",
                toast=True,
            )


def cleaned(log: Path, folder: Path) -> Path:
    """A copy of the end of a log in which no pager, however it is set, finds anything to obey."""
    copy = folder / log.name
    with log.open("rb") as file:
        file.seek(-min(log.stat().st_size, MOST_BYTES), os.SEEK_END)
        lines = file.read().decode("utf-8", "replace").splitlines()
    copy.write_text("".join(f"{printable(line)}\n" for line in lines), encoding="utf-8")
    return copy


def pager(environment: Mapping[str, str]) -> Sequence[str]:
    """The user's pager as a command, by default less."""
    try:
        command = shlex.split(environment.get("PAGER", ""))
    except ValueError:
        command = []
    return command or ["less"]
