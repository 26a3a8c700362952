"""The journal on the screen: the last lines that were said, followed unless the reader looks back."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from datetime import datetime
from typing import ClassVar, Final

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import RichLog

from tui_mia.clean import printable
from tui_mia.tui.app import JOURNAL_LINES, JournalLine

# Few enough to be drawn while a key is answered.
LINES_AT_ONCE: Final = 100
SECONDS_BETWEEN_BATCHES: Final = 0.02


class Journal(RichLog):
    """What was said, a line each with its time and level; further lines of a message stand below it."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"journal--time", "journal--warning", "journal--error"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "scroll_down", "Down", show=False, id="log.down"),
        Binding("k", "scroll_up", "Up", show=False, id="log.up"),
        Binding("h", "scroll_left", "Left", show=False, id="log.left"),
        Binding("l", "scroll_right", "Right", show=False, id="log.right"),
        Binding("ctrl+d", "page_down", "A page down", show=False, id="log.page-down"),
        Binding("ctrl+u", "page_up", "A page up", show=False, id="log.page-up"),
        Binding("g", "scroll_home", "To the first line", show=False, id="log.first"),
        Binding("G", "follow", "To the end, and follow it", show=False, id="log.last"),
    ]

    class Moved(Message):
        """There are new lines, or the reader looks at others."""

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(max_lines=JOURNAL_LINES, min_width=0, auto_scroll=False, id=id)
        self.follows = True
        self._waiting: deque[JournalLine] = deque(maxlen=JOURNAL_LINES)
        self._is_writing = False

    def add(self, lines: Iterable[JournalLine]) -> None:
        """Take lines to be shown, soon; of a flood only the end."""
        self._waiting.extend(lines)
        self.resume()

    def resume(self) -> None:
        """Show what came while the journal could not be seen, when its width was not known."""
        if self._waiting and not self._is_writing and self.size.width:
            self._is_writing = True
            self._write_some()

    def show_again(self, lines: Iterable[JournalLine]) -> None:
        """Show these lines and no others, as they look now."""
        self.clear()
        self._waiting.clear()
        self.follows = True
        self.add(lines)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        follows = new_value >= self.max_scroll_y
        if follows != self.follows:
            self.follows = follows
            self.post_message(self.Moved())

    def action_follow(self) -> None:
        self.follows = True
        self.scroll_end(animate=False)

    def action_page_down(self) -> None:
        self.scroll_page_down(animate=False)

    def action_page_up(self) -> None:
        self.scroll_page_up(animate=False)

    def _write_some(self) -> None:
        follows = self.follows
        lines = [self._waiting.popleft() for _ in range(min(LINES_AT_ONCE, len(self._waiting)))]
        self.write(Text("\n").join(map(self._line, lines)), scroll_end=False)
        if follows:
            self.action_follow()
        self.post_message(self.Moved())
        self._is_writing = bool(self._waiting)
        if self._is_writing:
            self.set_timer(SECONDS_BETWEEN_BATCHES, self._write_some)

    def _line(self, line: JournalLine) -> Text:
        style = "" if line.level == "info" else self.get_component_rich_style(f"journal--{line.level}")
        first, *others = line.message.splitlines() or [""]
        text = Text(f"{datetime.fromtimestamp(line.time):%H:%M:%S} ")
        text.stylize(self.get_component_rich_style("journal--time"))
        text.append(f"{line.level:<8}{printable(first)}", style)
        for other in others:
            text.append(f"\n{'':17}{printable(other)}", style)
        return text


def as_text(lines: Iterable[JournalLine]) -> str:
    """The lines for a file, which can be shown on a terminal without harm."""
    return "".join(
        f"{datetime.fromtimestamp(line.time):%Y-%m-%d %H:%M:%S} {line.level:<8}"
        + "\n".join(printable(part) for part in line.message.splitlines())
        + "\n"
        for line in lines
    )
