"""Choosing what to plot: any attacks of any runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from tui_mia.store import ScoredRun


class SeriesList(OptionList, inherit_bindings=False):
    """The list, with vi's keys; a mark is a letter and not a colour."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space,x", "screen.mark", "Mark", id="plots.mark"),
        Binding("enter", "screen.take", "Plot what is marked", id="plots.take"),
        Binding("j,down", "cursor_down", "Down", show=False, id="plots.list-down"),
        Binding("k,up", "cursor_up", "Up", show=False, id="plots.list-up"),
        Binding("ctrl+d,pagedown", "page_down", "A page down", show=False, id="plots.list-page-down"),
        Binding("ctrl+u,pageup", "page_up", "A page up", show=False, id="plots.list-page-up"),
        Binding("g,home", "first", "To the first", show=False, id="plots.list-first"),
        Binding("G,end", "last", "To the last", show=False, id="plots.list-last"),
    ]


class ChooseSeries(ModalScreen[list[ScoredRun] | None]):
    """Which of the named series to plot, at most `most` of them; None leaves things as they were."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "clear", "Unmark all", id="plots.unmark"),
        Binding("slash", "find", "Find", id="plots.find"),
        Binding("escape,q", "back", "Back", id="plots.list-back"),
    ]

    def __init__(self, names: Mapping[ScoredRun, str], chosen: Sequence[ScoredRun], most: int) -> None:
        super().__init__(classes="dialog")
        self._names, self._chosen, self._most = names, set(chosen), most
        self._listed: list[ScoredRun] = []

    def compose(self) -> ComposeResult:
        with Vertical(id="series-dialog"):
            yield Label("What to plot: space marks, enter plots, c unmarks all, / finds", markup=False)
            yield Input(placeholder="part of a run, a model or an attack", id="series-find")
            yield SeriesList(id="series-list")
            yield Label("", id="series-problem", markup=False)

    def on_mount(self) -> None:
        self._list("")
        marked = (index for index, series in enumerate(self._listed) if series in self._chosen)
        self.query_one(SeriesList).highlighted = next(marked, 0)
        self.query_one(SeriesList).focus()

    def action_find(self) -> None:
        self.query_one(Input).focus()

    def action_clear(self) -> None:
        self._chosen.clear()
        self._show_marks()

    def action_back(self) -> None:
        if isinstance(self.focused, Input):
            self.query_one(SeriesList).focus()
        else:
            self.dismiss(None)

    def action_mark(self) -> None:
        highlighted = self.query_one(SeriesList).highlighted
        if highlighted is not None:
            self._turn(highlighted)

    def action_take(self) -> None:
        if not self._chosen:
            self._tell("mark at least one, or go back with escape")
        elif len(self._chosen) <= self._most:
            self.dismiss([series for series in self._names if series in self._chosen])

    @on(Input.Submitted)
    def _found(self) -> None:
        self.query_one(SeriesList).focus()

    @on(Input.Changed)
    def _search(self, event: Input.Changed) -> None:
        self._list(event.value)

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        self._turn(event.option_index)

    def _turn(self, index: int) -> None:
        self._chosen ^= {self._listed[index]}
        self._show_marks()

    def _list(self, text: str) -> None:
        words = text.casefold().split()
        self._listed = [
            series for series, name in self._names.items() if all(word in name.casefold() for word in words)
        ]
        options = self.query_one(SeriesList)
        options.clear_options()
        options.add_options(Option(self._shown(series)) for series in self._listed)
        options.highlighted = 0 if self._listed else None

    def _show_marks(self) -> None:
        options = self.query_one(SeriesList)
        for index, series in enumerate(self._listed):
            options.replace_option_prompt_at_index(index, self._shown(series))
        too_many = len(self._chosen) > self._most
        told = f"{len(self._chosen)} are marked, and {self._most} can be plotted at once" if too_many else ""
        self._tell(told)

    def _tell(self, problem: str) -> None:
        self.query_one("#series-problem", Label).update(problem)

    def _shown(self, series: ScoredRun) -> Content:
        mark = "x" if series in self._chosen else " "
        return Content(f"[{mark}] {printable(self._names[series])}")
