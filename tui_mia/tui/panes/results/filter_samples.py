"""Asks which samples to show."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Input, Label

from tui_mia.store.samples import Membership, SampleFilter, ScoreRange
from tui_mia.tui.panes.results.one_of import OneOf
from tui_mia.tui.panes.results.sample_columns import POOL_NAMES
from tui_mia.tui.widgets.plain_input import PlainInput

if TYPE_CHECKING:
    from tui_mia.store.samples import ScoredAttack

_MEMBERSHIP: list[tuple[str, Membership | None]] = [
    ("any", None),
    ("members", "yes"),
    ("non-members", "no"),
    ("not known", "unknown"),
]


class FilterSamples(ModalScreen[SampleFilter | None]):
    """A filter, filled in as the one that holds now; escape gives None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss(None)", "Back", key_display="esc", id="filter.back"),
        Binding("down", "app.focus_next", "Next line", show=False, id="filter.down"),
        Binding("up", "app.focus_previous", "Previous line", show=False, id="filter.up"),
    ]

    def __init__(
        self, where: SampleFilter, pools: Sequence[str], attacks: Sequence[ScoredAttack], attack: str | None
    ) -> None:
        super().__init__(classes="dialog")
        limits = where.ranges[0] if where.ranges else ScoreRange(attack or "")
        self._pool: OneOf[str | None] = OneOf(
            [("any", None), *((POOL_NAMES.get(pool, pool), pool) for pool in pools)], where.pool, id="pool"
        )
        self._member: OneOf[Membership | None] = OneOf(_MEMBERSHIP, where.member, id="member")
        self._attack = OneOf(
            [(scored.attack, scored.attack) for scored in attacks] or [("no attack", "")],
            limits.attack,
            id="attack",
        )
        self._text = PlainInput(where.text, "part of a caption or key")
        self._low, self._high = (
            PlainInput("" if limit is None else str(limit), "any") for limit in (limits.low, limits.high)
        )

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog"):
            yield Label("Show the samples with", id="question")
            for label, widget in (
                ("text", self._text),
                ("pool", self._pool),
                ("member", self._member),
                ("score of", self._attack),
                ("  from", self._low),
                ("  to", self._high),
            ):
                yield from _line(label, widget)
            yield Label("", id="problem", markup=False)
            yield Label("enter shows them   ← → change   escape goes back", id="hint", markup=False)

    def on_mount(self) -> None:
        self._text.focus()

    @on(Input.Submitted)
    @on(OneOf.Submitted)
    def _take(self) -> None:
        try:
            low, high = _number("from", self._low.value), _number("to", self._high.value)
        except ValueError as error:
            self.query_one("#problem", Label).update(str(error))
            return
        wants_scores = low is not None or high is not None
        ranges = (ScoreRange(self._attack.value, low, high),) if wants_scores else ()
        self.dismiss(SampleFilter(self._text.value, self._pool.value, self._member.value, ranges))


def _line(label: str, widget: Widget) -> Iterator[Widget]:
    with Horizontal(classes="filter-line"):
        yield Label(label, classes="filter-label")
        yield widget


def _number(name: str, text: str) -> float | None:
    """A number or nothing. Raises `ValueError` that says what to type."""
    if not text.strip():
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if math.isnan(number):
        raise ValueError(f'"{name}" must be a number such as 0.25, or nothing')
    return number
