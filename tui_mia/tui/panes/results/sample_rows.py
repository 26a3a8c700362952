"""The rows of a run that the app has at hand: a few screens of them, whatever the size of the run."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from tui_mia.store import SampleOrder, SampleRow

AT_HAND: Final = 2_000


class SampleRows:
    """Remembers the rows used last, by the number of their sample, so that another order can use them too."""

    def __init__(self) -> None:
        self._rows: OrderedDict[int, SampleRow | None] = OrderedDict()

    def get(self, number: int) -> SampleRow | None:
        """A row that is at hand; None for one that has to be read, or is gone."""
        row = self._rows.get(number)
        if row is not None:
            self._rows.move_to_end(number)
        return row

    def put(self, rows: Iterable[SampleRow], asked: Iterable[int] = ()) -> None:
        """Take in rows; of those asked for, what did not come is gone and not asked for again."""
        self._rows.update(dict.fromkeys(asked))
        for row in rows:
            self._rows[row.number] = row
            self._rows.move_to_end(row.number)
        while len(self._rows) > AT_HAND:
            self._rows.popitem(last=False)

    def missing(self, order: SampleOrder, first: int, last: int, margin: int) -> list[int]:
        """The numbers to read so that positions `first` to `last` can be shown, if any of them can't.

        With them come their neighbours, as many as `margin` to each side, which
        are likely to be wanted next.
        """
        near = self._not_here(order, first - margin // 2, last + margin // 2)
        return self._not_here(order, first - margin, last + margin) if near else []

    def _not_here(self, order: SampleOrder, first: int, last: int) -> list[int]:
        positions = np.arange(max(0, first), min(len(order), last + 1))
        return [number for number in order.numbers[positions].tolist() if number not in self._rows]
