"""The app: its panes, its keys, and what all panes share: the board, the journal, the clipboard.

Only Textual and the standard library are imported before the first paint; a
pane brings what it needs when it is first shown.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import inspect
import signal
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

from textual import on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.driver import Driver
from textual.drivers.linux_driver import LinuxDriver
from textual.message import Message
from textual.theme import Theme
from textual.widgets import ContentSwitcher, Footer, Static, Tab, Tabs

from tui_mia.clean import printable
from tui_mia.settings import Settings, SettingsError, load_settings, remember_theme
from tui_mia.tui.background import in_background
from tui_mia.tui.commands import KeyCommands
from tui_mia.tui.pane import PANES, TITLES, Pane, PaneName
from tui_mia.tui.pane_classes import pane_class
from tui_mia.tui.status_line import status_line
from tui_mia.tui.terminal import Terminal

if TYPE_CHECKING:
    from tui_mia.board import Board
    from tui_mia.spec import AuditSpec
    from tui_mia.store import SampleOrder, SampleSource

Level: TypeAlias = Literal["info", "warning", "error"]
JOURNAL_LINES = 5_000
SECONDS_BETWEEN_LOOKS = 0.5


@dataclass(frozen=True)
class JournalLine:
    """Something that the app or one of its workers said."""

    level: Level
    message: str
    time: float = field(default_factory=time.time)


class TuiMia(App[int]):
    """The terminal app on one database; its result is the exit code."""

    TITLE = "tui-mia"
    CSS_PATH = "app.tcss"
    COMMANDS: ClassVar = {KeyCommands}
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (120, "-wide")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(
                str(number),
                f"open_pane('{name}')",
                f"{TITLES[name]} pane",
                show=False,
                id=f"app.{name}",
            )
            for number, name in enumerate(PANES, start=1)
        ),
        Binding("question_mark,f1", "help", "Help", key_display="?", id="app.help"),
        Binding("f10", "command_palette", "All commands", show=False, id="app.commands"),
        Binding("f9", "change_theme", "Change the theme", show=False, id="app.theme"),
        Binding("f8", "save_picture", "Write a picture of the screen (SVG)", show=False, id="app.picture"),
        Binding("f7", "write_copied", "Write what was copied to a file", show=False, id="app.write-copied"),
        Binding("q,ctrl+c", "quit", "Quit", key_display="q", id="app.quit"),
        Binding("ctrl+q", "quit", "Quit", show=False, priority=True, id="app.quit-anywhere"),
    ]

    class Said(Message):
        """A line was added to the journal."""

        def __init__(self, line: JournalLine) -> None:
            super().__init__()
            self.line = line

    def __init__(self, database: Path, settings: Settings | None = None) -> None:
        super().__init__()
        self.database = database
        self.journal: deque[JournalLine] = deque(maxlen=JOURNAL_LINES)
        self.settings = settings or self._load_settings()
        self.board_ready = asyncio.Event()
        self.looked_at: str | None = None
        """The run that was chosen last, in whichever pane."""
        self._board: Board | None = None
        self._panes: dict[str, Pane] = {}
        self._board_version = -1
        self._going_on: set[str] = set()
        self._copied = ""
        self._asking_to_quit = False
        self._opening = asyncio.Lock()

    def get_driver_class(self) -> type[Driver]:
        wanted = super().get_driver_class()
        return Terminal if wanted is LinuxDriver else wanted

    @property
    def board(self) -> Board:
        """The runs of the database; there once `board_ready` is set."""
        if self._board is None:
            raise RuntimeError("the board is not ready yet: wait for board_ready")
        return self._board

    def compose(self) -> ComposeResult:
        with Horizontal(id="top"):
            named = (Tab(f"{number} {TITLES[name]}", id=name) for number, name in enumerate(PANES, 1))
            tabs = Tabs(*named, active="runs", id="tabs")
            tabs.can_focus = False
            yield tabs
            yield Static(id="status", markup=False)
        yield ContentSwitcher(id="panes")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self.animation_level = "none"
        self.set_keymap(dict(self.settings.keymap))
        if self.settings.theme in self.available_themes:
            self.theme = self.settings.theme
        else:
            self.say(f"there is no theme {self.settings.theme!r}; f9 shows those there are", "warning")
        self.theme_changed_signal.subscribe(self, self._remember_theme)
        self._install_signal_handlers()
        self.set_interval(SECONDS_BETWEEN_LOOKS, self._look_at_the_board)
        self.call_after_refresh(self._begin)

    def _begin(self) -> None:
        self.open_pane("runs")
        in_background(self, self._open_board)

    async def _open_board(self) -> None:
        """Find the runs; then load the other panes' code, so that most open at once."""
        try:
            board_module = await asyncio.to_thread(importlib.import_module, "tui_mia.board")
            store = await asyncio.to_thread(importlib.import_module, "tui_mia.store")
            store.limit_memory("48MiB", threads=1)
            self._board = board_module.Board(self.database, self.say)
            await self.board.open()
            known = len(self.board.runs())
            self.say(f"{self.database.absolute()}: {known} {'run' if known == 1 else 'runs'}")
        finally:
            if self._board is not None:
                self.board_ready.set()
        for name in PANES:
            if name != "sql":  # pyarrow comes with it, which is 30 MB
                await asyncio.to_thread(pane_class, name)
        # What is loaded stays: looking through all of it for garbage would hold up a key now and then.
        gc.freeze()

    async def on_unmount(self) -> None:
        gc.unfreeze()
        if self._board is not None:
            await self._board.leave()

    # Panes

    def open_pane(self, name: PaneName) -> None:
        """Bring a pane to the front."""
        in_background(self, partial(self.bring, name))

    async def action_open_pane(self, name: PaneName) -> None:
        # Not in the background: keys that follow wait, and go to this pane.
        await self.bring(name)

    async def bring(self, name: PaneName) -> Pane:
        """Bring a pane to the front, and wait until it is there."""
        async with self._opening:
            switcher = self.query_one("#panes", ContentSwitcher)
            pane = self._panes.get(name)
            if pane is None:
                made = await asyncio.to_thread(pane_class, name)
                self.stylesheet.read(Path(inspect.getfile(made)).with_suffix(".tcss"))
                pane = made(id=name)
                await switcher.add_content(pane)
                self._panes[name] = pane
            changed = switcher.current != name
            switcher.current = name
            with self.prevent(Tabs.TabActivated):
                self.query_one(Tabs).active = name
        if changed:
            # At once, not in its turn: the next key is for this pane.
            pane.screen.set_focus(pane.first_focus())
        await pane.on_show_pane()
        return pane

    @on(Tabs.TabActivated)
    def _tab_chosen(self, event: Tabs.TabActivated) -> None:
        name = event.tab.id
        if name in PANES and self.query_one("#panes", ContentSwitcher).current not in (None, name):
            self.open_pane(name)

    def show_results(self, run_id: str) -> None:
        """Show the samples of a run."""
        in_background(self, partial(self._show, "results", run_id))

    def show_sample(self, run_id: str, order: SampleOrder, position: int, source: SampleSource) -> None:
        """Show one sample; `order` is what previous and next go by."""
        in_background(self, partial(self._show, "sample", run_id, order, position, source))

    def show_plots(self, runs: list[str]) -> None:
        """Plot runs, laid over one another."""
        in_background(self, partial(self._show, "plots", runs))

    def show_checks(self, run_id: str) -> None:
        """Show the checks and verdicts of a run."""
        in_background(self, partial(self._show, "checks", run_id))

    def edit_spec(self, spec: AuditSpec | Path) -> None:
        """Put a spec into the form of the Audit pane."""
        in_background(self, partial(self._show, "audit", spec))

    async def _show(self, name: PaneName, *what: object) -> None:
        pane = await self.bring(name)
        show: Callable[..., Awaitable[None]] = pane.show  # type: ignore[attr-defined]
        await show(*what)

    # What is said

    def say(self, message: str, level: Level = "info", *, toast: bool = False) -> None:
        """Add a line to the journal, which the Log pane shows; with `toast` also in a corner for a moment."""
        line = JournalLine(level, message)
        self.journal.append(line)
        if not self.is_running:
            return
        if log := self._panes.get("log"):
            log.post_message(self.Said(line))
        if toast:
            self._toast(message, level)

    def _toast(self, message: str, level: Level) -> None:
        severity: Literal["information", "warning", "error"] = "information" if level == "info" else level
        text = "\n".join(printable(part) for part in message.splitlines()[:6])
        self.notify(text, severity=severity, markup=False)

    def _look_at_the_board(self) -> None:
        """The line at the top right, and a bell for a run that came to its end."""
        if self._board is None or self._board.version == self._board_version:
            return
        self._board_version = self._board.version
        going_on = {run.run_id for run in self._board.runs() if run.is_live or run.status == "saving"}
        for run_id in self._going_on - going_on:
            run = self._board.run(run_id)
            if run is not None:
                # The board has told the journal already.
                self._toast(f"run {run_id}: {run.status}", "info" if run.status == "done" else "warning")
                if self.settings.bell:
                    self.bell()
        self._going_on = going_on
        for status in self.query("#status").results(Static):  # none while the app ends
            status.update(status_line(self._board))

    # Keys that work everywhere

    def action_help(self) -> None:
        from tui_mia.tui.help import HelpScreen

        current = self.query_one("#panes", ContentSwitcher).current
        pane = self._panes.get(current or "")
        title = TITLES[current] if current in PANES else "tui-mia"
        self.push_screen(
            HelpScreen(title, pane.HELP if pane else "", list(self.screen.active_bindings.values()))
        )

    def action_save_picture(self) -> None:
        path = Path(f"tui-mia-{datetime.now():%Y%m%d-%H%M%S}.svg").absolute()
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(self.export_screenshot(title="tui-mia"))
        except OSError as error:
            self.say(f"{path}: can't be written: {error.strerror}", "error", toast=True)
        else:
            self.say(f"wrote {path}", toast=True)

    async def copy(self, text: str, what: str) -> None:
        """Copy to the user's clipboard as far as that can be done, and say how."""
        from tui_mia.tui import clipboard

        self._copied = text
        ways = await clipboard.copy(self, text)
        key = self._keymap.get("app.write-copied", "f7")
        if ways:
            by = " and ".join(ways)
            self.say(f"copied {what} by {by}; if it did not arrive, {key} writes it to a file", toast=True)
        else:
            self.say(
                f"this terminal has no way to copy; {key} writes {what} to a file", "warning", toast=True
            )

    async def action_write_copied(self) -> None:
        from tui_mia.tui.dialogs import AskPath

        if not self._copied:
            self.say("nothing has been copied yet", "warning", toast=True)
            return

        def write(path: Path | None) -> None:
            if path is not None:
                self.write_text(path, self._copied)

        self.push_screen(AskPath("Write what was copied to:", "copied.txt"), write)

    def write_text(self, path: Path, text: str) -> None:
        """Write a new file, readable by its owner only, and say so, or why not."""
        try:
            with path.open("x", encoding="utf-8") as file:
                path.chmod(0o600)
                file.write(text)
        except OSError as error:
            self.say(f"{path}: can't be written: {error.strerror}", "error", toast=True)
        else:
            self.say(f"wrote {path}", toast=True)

    async def action_quit(self) -> None:
        """Leave; with a run going on, ask what is to become of it."""
        live = self._board.live() if self._board else []
        if not live or self._asking_to_quit:
            self.exit(0)
            return
        from tui_mia.tui.dialogs import Choose

        queued = len(self.board.queued())
        waiting = f"; {queued} more wait in the queue until tui-mia is opened again" if queued else ""
        runs = "A run is" if len(live) == 1 else f"{len(live)} runs are"
        options: list[tuple[str, str, str | None]] = [
            ("l", "Leave it running and quit; tui-mia finds it again", "leave"),
            ("c", "Cancel it and quit; it can be resumed", "cancel"),
            ("b", "Back", None),
        ]
        self._asking_to_quit = True
        self.push_screen(Choose(f"{runs} going on{waiting}.", options), self._quit)

    async def _quit(self, answer: str | None) -> None:
        self._asking_to_quit = False
        if answer == "cancel":
            self.query_one("#status", Static).update("cancelling")
            await self.board.cancel_all()
        if answer is not None:
            self.exit(0)

    def _install_signal_handlers(self) -> None:
        """Leave the terminal as it was when somebody else ends us; runs go on."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            # Not in a thread: tests may run there, and they get no signals.
            with contextlib.suppress(ValueError, RuntimeError):
                loop.add_signal_handler(number, self.exit, 128 + number, 128 + number)

    def _load_settings(self) -> Settings:
        try:
            return load_settings()
        except SettingsError as error:
            self.say(f"{error}; the defaults are used", "error")
            return Settings()

    def _remember_theme(self, theme: Theme) -> None:
        try:
            remember_theme(theme.name)
        except SettingsError as error:
            self.say(str(error), "warning", toast=True)
