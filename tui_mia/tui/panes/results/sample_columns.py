"""The columns of the Results pane: which there is room for, and what a sample has in each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rich.cells import cell_len, set_cell_size

from tui_mia.clean import printable
from tui_mia.store.samples import SampleRow, SampleSort

if TYPE_CHECKING:
    from tui_mia.store.samples import SampleColumn, ScoredAttack

SCORE_WIDTH: Final = 9
P_VALUE_WIDTH: Final = 8
NARROWEST_CAPTION: Final = 24
POOL_NAMES: Final[Mapping[str, str]] = {"nonmembers": "non-members"}
_SHORT_POOLS: Final[Mapping[str, str]] = {"candidates": "cand", "nonmembers": "nonm", "general": "gen"}
_WIDEST_POOL: Final = len("non-members")
# The attacks that say most, the best first; of others the first by name stands for a run.
_BEST_ATTACKS: Final = ("wsa_rich", "wsa", "loss", "aea_mean", "csa")
# Where a smaller value is what one looks for, or where text is read from its beginning.
_DESCENDING_FIRST: Final[frozenset[SampleColumn]] = frozenset({"score", "member"})


@dataclass(frozen=True)
class Column:
    """A column of so many cells; `sort` is the order that it stands for, in its usual direction."""

    label: str
    width: int
    cell: Callable[[SampleRow], str]
    sort: SampleSort | None = None
    right: bool = False

    def text(self, row: SampleRow, skip: int = 0) -> str:
        """What the row has here after the first characters, safe to show and as wide as the column."""
        # A character may take no cell at all, so there are more of them than cells; but a text may be long.
        return _fitted(printable(self.cell(row)[skip : skip + 4 * self.width]), self.width, self.right)

    def header(self, sort: SampleSort) -> str:
        """The label, with an arrow if this is what rows are sorted by."""
        arrow = direction(sort) if self.sort is not None and same_column(self.sort, sort) else ""
        return _fitted(_cut(printable(self.label), self.width - len(arrow)) + arrow, self.width, self.right)


def headline(attacks: Sequence[ScoredAttack]) -> ScoredAttack | None:
    """The attack that stands for a run where there is room for one."""
    by_name = {attack.attack: attack for attack in attacks}
    best = [by_name[name] for name in _BEST_ATTACKS if name in by_name]
    return next(iter([*best, *attacks]), None)


def first_sort(attacks: Sequence[ScoredAttack]) -> SampleSort:
    """The order in which a run is shown at first: what looks most like a member on top."""
    best = headline(attacks)
    return usual(SampleSort("score", attack=best.attack)) if best else SampleSort()


def all_sorts(attacks: Sequence[ScoredAttack]) -> list[SampleSort]:
    """Every order there is, each in its usual direction."""
    scores = [SampleSort("score", attack=attack.attack) for attack in attacks]
    of_p_values: tuple[SampleColumn, ...] = ("p_value", "q_value")
    compared = [
        SampleSort(column, attack=attack.attack)
        for column in of_p_values
        for attack in attacks
        if attack.has_p_values
    ]
    columns: tuple[SampleColumn, ...] = ("number", "key", "caption", "member", "pool")
    return [usual(sort) for sort in (*scores, *compared, *map(SampleSort, columns))]


def usual(sort: SampleSort) -> SampleSort:
    """The same column in the direction that one wants first: highest scores, smallest p- and q-values."""
    return SampleSort(sort.column, sort.column in _DESCENDING_FIRST, sort.attack)


def flipped(sort: SampleSort) -> SampleSort:
    return SampleSort(sort.column, not sort.descending, sort.attack)


def same_column(one: SampleSort, other: SampleSort) -> bool:
    return (one.column, one.attack) == (other.column, other.attack)


def direction(sort: SampleSort) -> str:
    return "▼" if sort.descending else "▲"


def sort_name(sort: SampleSort) -> str:
    """What rows are sorted by, without the direction."""
    if sort.column == "score":
        return printable(sort.attack or "score")
    if sort.column == "p_value":
        return f"p-value of {printable(sort.attack or '?')}"
    if sort.column == "q_value":
        return f"q-value of {printable(sort.attack or '?')}"
    return {"number": "number", "key": "key", "caption": "caption", "member": "member", "pool": "pool"}[
        sort.column
    ]


def columns_for(
    width: int, attacks: Sequence[ScoredAttack], sort: SampleSort, highest_number: int, *, wide: bool
) -> list[Column]:
    """The columns that fit into `width` cells with one between each; the caption has what is left.

    There is room for one attack in a narrow table, which is the one sorted by;
    a wide one has them all as far as they fit.
    """
    shown = next((attack for attack in attacks if attack.attack == sort.attack), headline(attacks))
    before = [
        Column("#", len(str(highest_number)), lambda row: str(row.number), SampleSort(), right=True),
        Column("M", 1, member_letter, usual(SampleSort("member"))),
        Column("pool", _WIDEST_POOL, lambda row: POOL_NAMES.get(row.pool, row.pool), SampleSort("pool"))
        if wide
        else Column("pool", 4, lambda row: _SHORT_POOLS.get(row.pool, row.pool), SampleSort("pool")),
    ]
    has_p_values = shown is not None and shown.has_p_values
    after = [_p_value_column(shown.attack), _q_value_column(shown.attack)] if shown and has_p_values else []
    taken = sum(column.width + 1 for column in (*before, *after)) + len("* ")
    room = (width - taken - NARROWEST_CAPTION) // (SCORE_WIDTH + 1)
    scores = [_score_column(attack.attack) for attack in _fitting(attacks, shown, room if wide else 1)]
    caption = width - taken - len(scores) * (SCORE_WIDTH + 1)
    return [
        *before,
        *scores,
        *after,
        Column("caption", max(1, caption), lambda row: row.caption, SampleSort("caption")),
    ]


def member_letter(row: SampleRow) -> str:
    return {True: "M", False: "N", None: "-"}[row.member]


def number_text(value: float | None) -> str:
    """A score in at most nine cells."""
    if value is None:
        return "-"
    text = f"{value:.4f}"
    return text if len(text) <= SCORE_WIDTH and (abs(value) >= 0.001 or value == 0) else f"{value:.2e}"


def p_value_text(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}" if value >= 0.0001 else f"{value:.1e}"


def _fitting(attacks: Sequence[ScoredAttack], shown: ScoredAttack | None, room: int) -> list[ScoredAttack]:
    """The attacks that there is room for, in their order, among them the one that must be shown."""
    if shown is None or len(attacks) <= room:
        return list(attacks)
    others = [attack for attack in attacks if attack != shown][: max(0, room - 1)]
    return [attack for attack in attacks if attack == shown or attack in others]


def _score_column(attack: str) -> Column:
    return Column(
        attack,
        SCORE_WIDTH,
        lambda row: number_text(row.scores.get(attack)),
        usual(SampleSort("score", attack=attack)),
        right=True,
    )


def _p_value_column(attack: str) -> Column:
    return Column(
        "p-value",
        P_VALUE_WIDTH,
        lambda row: p_value_text(row.p_values.get(attack)),
        SampleSort("p_value", attack=attack),
        right=True,
    )


def _q_value_column(attack: str) -> Column:
    return Column(
        "q-value",
        P_VALUE_WIDTH,
        lambda row: p_value_text(row.q_values.get(attack)),
        SampleSort("q_value", attack=attack),
        right=True,
    )


def _fitted(text: str, width: int, right: bool) -> str:
    text = _cut(text, width)
    padding = " " * (width - cell_len(text))
    return padding + text if right else text + padding


def _cut(text: str, width: int) -> str:
    """The text in at most so many cells; what is left out is an ellipsis."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, max(0, width - 1)).rstrip() + "…" if width > 0 else ""
