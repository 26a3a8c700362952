"""The list of attacks and checks: a cursor that passes over headings, and lines drawn as they are seen."""

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

from tui_mia.display.check_groups import is_amiss
from tui_mia.tui.panes.checks.check_lines import AttackLine, CheckLine, Line, is_heading, line_text

MARK = "> "


class CheckList(ScrollView, can_focus=True):
    """Lines, of which one that is no heading is chosen."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "check-list--chosen",
        "check-list--heading",
        "check-list--amiss",
        "check-list--fine",
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "move(1)", "Down", show=False, id="checks.down"),
        Binding("k,up", "move(-1)", "Up", show=False, id="checks.up"),
        Binding("right_square_bracket", "group(1)", "To the next group", show=False, id="checks.next-group"),
        Binding(
            "left_square_bracket", "group(-1)", "To the group before", show=False, id="checks.previous-group"
        ),
        Binding("g,home", "first", "To the first line", show=False, id="checks.first"),
        Binding("G,end", "last", "To the last line", show=False, id="checks.last"),
    ]

    class Chosen(Message):
        """Another line is chosen, or none."""

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._lines: Sequence[Line] = ()
        self._position = 0

    @property
    def chosen(self) -> Line | None:
        return self._lines[self._position] if self._lines else None

    def show(self, lines: Sequence[Line], *, keep: bool) -> None:
        """Show these lines; `keep` leaves the cursor where it is."""
        self._lines = lines
        self.virtual_size = Size(0, len(lines))
        places = self._places()
        position = self._position if keep and self._position in places else next(iter(places), 0)
        self._position = position
        self.refresh(layout=True)
        # Only then it is known how many lines are seen.
        self.call_after_refresh(self._see)
        self.post_message(self.Chosen())

    def render_line(self, y: int) -> Strip:
        position = y + self.scroll_offset.y
        width = self.scrollable_content_region.width
        if position >= len(self._lines):
            return Strip.blank(width, self.rich_style)
        line = self._lines[position]
        is_chosen = position == self._position
        style = self.get_component_rich_style("check-list--chosen") if is_chosen else self.rich_style
        if not is_chosen:
            style += self.get_component_rich_style(f"check-list--{_kind(line)}", partial=True)
        mark = MARK if is_chosen else " " * len(MARK)
        text = mark + line_text(line, max(0, width - len(MARK)))
        return Strip([Segment(text, style)]).adjust_cell_length(width, style)

    def action_move(self, lines: int) -> None:
        places = self._places()
        if places:
            now = places.index(self._position) if self._position in places else 0
            self._go(places[max(0, min(now + lines, len(places) - 1))])

    def action_group(self, step: int) -> None:
        firsts = [place for place in self._places() if is_heading(self._lines[place - 1])]
        beyond = [place for place in firsts if (place - self._position) * step > 0]
        if beyond:
            self._go(beyond[0] if step > 0 else beyond[-1])

    def action_first(self) -> None:
        self.action_move(-len(self._lines))

    def action_last(self) -> None:
        self.action_move(len(self._lines))

    def on_click(self, event: events.Click) -> None:
        position = event.y + self.scroll_offset.y
        if position in self._places():
            self._go(position)

    def _places(self) -> list[int]:
        """Where the cursor can be."""
        return [place for place, line in enumerate(self._lines) if not is_heading(line)]

    def _go(self, position: int) -> None:
        moved = position != self._position
        self._position = position
        self._see()
        if moved:
            self.post_message(self.Chosen())

    def _see(self) -> None:
        position = self._position
        # The heading above is seen with the first line of its group.
        above = position - 1 if position and is_heading(self._lines[position - 1]) else position
        top, height = self.scroll_offset.y, max(1, self.scrollable_content_region.height)
        if above < top or position >= top + height:
            self.scroll_to(y=above if above < top else position - height + 1, animate=False, force=True)
        self.refresh()


def _kind(line: Line) -> str:
    """The end of the name of a line's style; the line says the same in words."""
    match line:
        case CheckLine():
            return "amiss" if is_amiss(line.check) else "fine"
        case AttackLine():
            verdict = line.figures.verdict
            return "amiss" if verdict and verdict.outcome != "no evidence" else "fine"
        case _:
            return "heading"
