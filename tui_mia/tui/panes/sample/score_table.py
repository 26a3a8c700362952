"""The scores of one sample as lines of text, as detailed as there is room."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from rich.cells import cell_len, set_cell_size
from textual.content import Content
from textual.geometry import Size
from textual.widget import Widget

from tui_mia.clean import printable

if TYPE_CHECKING:
    from tui_mia.store import AttackScore

_POOLS: Final = {"nonmembers": "known non-members", "general": "the general pool", "bank": "the bank"}
_LONGEST_NAME: Final = 24
P_IN_WORDS: Final = (
    "p: the share of known non-members that score as high or higher. q: of the candidates with at most"
    " this q, the share that is expected to be there by chance. Neither says that a sample is a member."
)


class _Column(NamedTuple):
    header: str
    cell: Callable[[AttackScore], str]


_SCORE: Final = _Column("score", lambda score: f"{score.score:.4g}")
_FULL_RANK: Final = _Column("rank", lambda score: f"{score.rank:,} of {score.of:,}")
_RANK: Final = _Column("rank", lambda score: str(score.rank))
_PERCENTILE: Final = _Column("%", lambda score: f"{score.percentile:.1f}")
_P_VALUE: Final = _Column("p", lambda score: probability(score.p_value))
_Q_VALUE: Final = _Column("q", lambda score: probability(score.q_value))

_NAMED_IN_FULL: Final = [
    _SCORE,
    _FULL_RANK,
    _Column("percentile", _PERCENTILE.cell),
    _Column("p-value", _P_VALUE.cell),
    _Column("q-value", _Q_VALUE.cell),
]
# The most detailed first, each with what is between its columns.
_LAYOUTS: Final = (
    ("   ", _NAMED_IN_FULL),
    (" ", _NAMED_IN_FULL),
    (" ", [_SCORE, _FULL_RANK, _PERCENTILE, _P_VALUE, _Q_VALUE]),
    (" ", [_SCORE, _RANK, _PERCENTILE, _P_VALUE, _Q_VALUE]),
    (" ", [_SCORE, _RANK, _P_VALUE, _Q_VALUE]),
    (" ", [_SCORE, _RANK, _P_VALUE]),
    (" ", [_SCORE, _RANK]),
    (" ", [_SCORE]),
)


def score_lines(scores: Sequence[AttackScore], pool: str, width: int) -> list[str]:
    """The header, a line for each attack, and what rank and per cent are of."""
    if not scores:
        return [f"No attack scored {_POOLS.get(pool, printable(pool))}."]
    for gap, columns in _LAYOUTS:
        lines = _aligned(scores, columns, gap)
        if cell_len(lines[0]) <= width:
            break
    of = {score.of for score in scores}
    among = _POOLS.get(pool, printable(pool))
    count = f"{max(of):,} " if len(of) == 1 and among.endswith("s") else ""
    percentile = next((f"; {name}: share below" for name in ("percentile", "%") if name in lines[0]), "")
    return [*lines, f"among {count}{among}{percentile}"]


def meaning_lines(scores: Sequence[AttackScore], width: int) -> list[str]:
    """What p and q mean, in plain words; nothing where no score has them."""
    compared = any(score.p_value is not None for score in scores)
    return textwrap.wrap(P_IN_WORDS, max(width, 20)) if compared else []


def probability(value: float | None) -> str:
    """A p- or q-value in at most five characters; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:.3f}" if value >= 0.001 or value <= 0 else f"{value:.0e}".replace("e-0", "e-")


class ScoreTable(Widget):
    """The scores of a sample, a line for each attack."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._scores: Sequence[AttackScore] = ()
        self._pool = ""

    def show(self, scores: Sequence[AttackScore], pool: str) -> None:
        """Show the scores of a sample of a pool."""
        self._scores, self._pool = scores, pool
        self.refresh(layout=True)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return len(score_lines(self._scores, self._pool, width)) + len(meaning_lines(self._scores, width))

    def render(self) -> Content:
        width = self.content_size.width
        header, *rows = score_lines(self._scores, self._pool, width)
        *rows, note = rows or [""]
        notes = [note, *meaning_lines(self._scores, width)]
        return Content.assemble((header, "bold"), "\n", "\n".join(rows), "\n", ("\n".join(notes), "dim"))


def _aligned(scores: Sequence[AttackScore], columns: Sequence[_Column], gap: str) -> list[str]:
    names = ["attack", *(_shortened(printable(score.attack)) for score in scores)]
    cells = [[column.header, *map(column.cell, scores)] for column in columns]
    widths = [max(map(len, column)) for column in cells]
    first = max(map(cell_len, names))
    return [
        gap.join(
            [
                name + " " * (first - cell_len(name)),
                *(cell.rjust(width) for cell, width in zip(row, widths, strict=True)),
            ]
        )
        for name, *row in zip(names, *cells, strict=True)
    ]


def _shortened(name: str) -> str:
    return name if cell_len(name) <= _LONGEST_NAME else f"{set_cell_size(name, _LONGEST_NAME - 1)}…"
