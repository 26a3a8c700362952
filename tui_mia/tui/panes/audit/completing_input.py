"""A line to type in, with what it may become below it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, TypeAlias

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from tui_mia.clean import printable
from tui_mia.tui.background import in_background
from tui_mia.tui.panes.audit.listing import common_start
from tui_mia.tui.widgets.plain_input import PlainInput

OFFERED_AT_MOST = 200


@dataclass(frozen=True)
class Offer:
    """What a text may become.

    With `by_start` the texts go on from what was typed, as paths do, and tab
    completes as far as they agree.
    """

    texts: tuple[str, ...] = ()
    by_start: bool = False


Complete: TypeAlias = Callable[[str], Awaitable[Offer]]


class Completions(OptionList, can_focus=False):
    """The list below the line."""


class CompletingInput(Vertical):
    """Offers completions while its user types; down opens the list, enter takes what is chosen in it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "choose(1)", "Choose a completion", show=False, id="field.down"),
        Binding("up", "choose(-1)", "Choose a completion", show=False, id="field.up"),
        Binding("tab", "complete", "Complete a path", show=False, id="field.complete"),
        Binding("escape", "hide", "Close the list", show=False, id="field.close"),
    ]

    def __init__(self, value: str, placeholder: str, complete: Complete) -> None:
        super().__init__()
        self._value, self._placeholder, self._complete = value, placeholder, complete
        self._offer = Offer()
        self._taken: str | None = None

    def compose(self) -> ComposeResult:
        yield PlainInput(self._value, self._placeholder)
        yield Completions(compact=True)

    @property
    def input(self) -> PlainInput:
        return self.query_one(PlainInput)

    @property
    def list(self) -> Completions:
        return self.query_one(Completions)

    @property
    def is_open(self) -> bool:
        return bool(self.list.display)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "choose":
            return self.is_open or parameters == (1,)
        if action == "complete":
            return self._completed() is not None
        return self.is_open if action == "hide" else True

    def action_choose(self, step: int) -> None:
        if not self.is_open:
            self._look_up(opened=True)
        elif step > 0:
            self.list.action_cursor_down()
        else:
            self.list.action_cursor_up()

    def action_hide(self) -> None:
        self.list.display = False

    def action_complete(self) -> None:
        if (text := self._completed()) is not None:
            self._take(text)

    def _completed(self) -> str | None:
        """What is chosen, or what all completions of a path agree on, if that is more than what was typed."""
        if not self.is_open:
            return None
        if self.list.highlighted is not None:
            return self._offer.texts[self.list.highlighted]
        agreed = common_start(list(self._offer.texts)) if self._offer.by_start else ""
        typed = self.input.value
        # A folder's name is complete without its slash: tab goes on to the next field.
        return agreed if len(agreed) > len(typed) and agreed != f"{typed}/" else None

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        if self.input.has_focus and event.value != self._taken:
            self._taken = None
            self._look_up(opened=False)

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        if self.is_open and self.list.highlighted is not None:
            event.stop()
            self._take(self._offer.texts[self.list.highlighted])
        else:
            self.action_hide()

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self._take(self._offer.texts[event.option_index])

    def on_descendant_blur(self, _: events.DescendantBlur) -> None:
        self.action_hide()

    def _take(self, text: str) -> None:
        goes_on = self._offer.by_start and (text.endswith("/") or text not in self._offer.texts)
        self._taken = None if goes_on else text
        self.input.value = text
        self.input.cursor_position = len(text)
        self.input.focus()
        if not goes_on:
            self.action_hide()
            self._offer = Offer()

    def _look_up(self, opened: bool) -> None:
        in_background(self, partial(self._look, opened), in_place_of="completions")

    async def _look(self, opened: bool) -> None:
        typed = self.input.value
        offer = await self._complete(typed)
        if typed != self.input.value or not self.input.has_focus:
            return
        texts = offer.texts[:OFFERED_AT_MOST]
        self._offer = offer
        self.list.clear_options()
        self.list.add_options(Option(Content(_shown(text, offer.by_start))) for text in texts)
        self.list.highlighted = 0 if opened and texts else None
        self.list.display = bool(texts) and texts != (typed,) and (opened or bool(typed))


def _shown(text: str, by_start: bool) -> str:
    """A completion as a line; of a path only its end."""
    if by_start:
        text = re.split(r"^local-dir:|/(?=[^/])", text)[-1]
    return printable(text)
