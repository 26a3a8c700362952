"""The sections of the form, each with what is to be known of it at a glance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, TypeAlias

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

Mark: TypeAlias = Literal["right", "wrong", "needed", "unused"]
MARKS: Final[dict[Mark, str]] = {"right": "✓", "wrong": "!", "needed": "·", "unused": "-"}


@dataclass(frozen=True)
class SectionSight:
    """A line of the list."""

    title: str
    mark: Mark
    detail: str = ""


class SectionList(OptionList):
    """Moves with the arrows or j and k; enter goes into the section."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "cursor_down", "Next section", show=False, id="audit.next-section"),
        Binding("k", "cursor_up", "Previous section", show=False, id="audit.previous-section"),
        Binding("l,right", "select", "Into the section", show=False, id="audit.into-section"),
        Binding("g", "first", "First section", show=False, id="audit.first-section"),
        Binding("G", "last", "Last section", show=False, id="audit.last-section"),
    ]

    def __init__(self, sights: Sequence[SectionSight]) -> None:
        super().__init__(*(Option(self._line(sight)) for sight in sights), compact=True, markup=False)
        self._sights = list(sights)

    def show(self, sights: Sequence[SectionSight]) -> None:
        """Show other lines, where they differ."""
        for number, (before, now) in enumerate(zip(self._sights, sights, strict=True)):
            if before != now:
                self.replace_option_prompt_at_index(number, self._line(now))
        self._sights = list(sights)

    @staticmethod
    def _line(sight: SectionSight) -> Content:
        return Content(f"{MARKS[sight.mark]} {sight.title:<12}{sight.detail:>7}".rstrip())
