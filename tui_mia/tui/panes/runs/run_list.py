"""The list of runs: however many there are, only the lines on the screen are made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui_mia.board import BoardRun, RunStatus
from tui_mia.tui.panes.runs.run_row import columns_for, run_line

MARK = "> "
STYLES: dict[RunStatus, str] = {
    "queued": "run-list--waits",
    "starting": "run-list--live",
    "running": "run-list--live",
    "cancelling": "run-list--live",
    "saving": "run-list--live",
    "done": "run-list--done",
    "failed": "run-list--failed",
    "cut off": "run-list--failed",
    "cancelled": "run-list--waits",
}


class RunList(ScrollView, can_focus=True):
    """Runs, a line each; one of them is chosen, and stays so while others come and go."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"run-list--chosen", *STYLES.values()}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "move(1)", "Down", show=False, id="runs.down"),
        Binding("k,up", "move(-1)", "Up", show=False, id="runs.up"),
        Binding("ctrl+d,pagedown", "page(1)", "A page down", show=False, id="runs.page-down"),
        Binding("ctrl+u,pageup", "page(-1)", "A page up", show=False, id="runs.page-up"),
        Binding("g,home", "choose_first", "To the first run", show=False, id="runs.first"),
        Binding("G,end", "choose_last", "To the last run", show=False, id="runs.last"),
    ]

    class Chosen(Message):
        """Another run is chosen, or none any more."""

    class Opened(Message):
        """The chosen run was clicked once more."""

    class Resized(Message):
        """The lines have another width."""

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._runs: Sequence[BoardRun] = ()
        self._position = 0

    @property
    def chosen(self) -> BoardRun | None:
        return self._runs[self._position] if self._runs else None

    @property
    def newest(self) -> BoardRun | None:
        return self._runs[0] if self._runs else None

    def show(self, runs: Sequence[BoardRun]) -> None:
        """Show these runs; the chosen one is the same as before, if it is still among them."""
        before = self.chosen
        count = len(self._runs)
        self._runs = runs
        if before is not None:
            ids = [run.run_id for run in runs]
            # The newest are first: whoever looks at the newest looks on at what is newest then.
            same = ids.index(before.run_id) if before.run_id in ids else min(self._position, len(ids) - 1)
            self._position = max(0, same)
        if len(runs) != count:
            self.virtual_size = Size(0, len(runs))
            self.refresh(layout=True)
        self.refresh()
        self._tell_of_change(before)

    def choose(self, run_id: str) -> bool:
        """Choose a run by its id; whether there is such a run."""
        for position, run in enumerate(self._runs):
            if run.run_id == run_id:
                self._go(position)
                return True
        return False

    def render_line(self, y: int) -> Strip:
        position = y + self.scroll_offset.y
        width = self.scrollable_content_region.width
        if position >= len(self._runs):
            return Strip.blank(width, self.rich_style)
        run = self._runs[position]
        is_chosen = position == self._position
        base = self.get_component_rich_style("run-list--chosen") if is_chosen else self.rich_style
        state = self.get_component_rich_style(STYLES[run.status], partial=True)
        columns = columns_for(width - len(MARK))
        text = run_line(run, columns)
        status = columns[0].width or 0
        return Strip(
            [
                Segment(MARK if is_chosen else " " * len(MARK), base),
                Segment(text[:status], base if is_chosen else base + state),
                Segment(text[status:], base),
            ]
        ).adjust_cell_length(width, base)

    def action_move(self, lines: int) -> None:
        self._go(self._position + lines)

    def action_page(self, pages: int) -> None:
        self._go(self._position + pages * max(1, self.scrollable_content_region.height - 1))

    def action_choose_first(self) -> None:
        self._go(0)

    def action_choose_last(self) -> None:
        self._go(len(self._runs) - 1)

    def on_resize(self) -> None:
        self.post_message(self.Resized())

    def on_click(self, event: events.Click) -> None:
        position = event.y + self.scroll_offset.y
        if position < len(self._runs):
            if position == self._position and event.chain > 1:
                self.post_message(self.Opened())
            self._go(position)

    def _go(self, position: int) -> None:
        before = self.chosen
        self._position = max(0, min(position, len(self._runs) - 1))
        top, height = self.scroll_offset.y, max(1, self.scrollable_content_region.height)
        if not top <= self._position < top + height:
            y = self._position if self._position < top else self._position - height + 1
            self.scroll_to(y=y, animate=False, force=True)
        self.refresh()
        self._tell_of_change(before)

    def _tell_of_change(self, before: BoardRun | None) -> None:
        now = self.chosen
        if (before and before.run_id) != (now and now.run_id):
            self.post_message(self.Chosen())
