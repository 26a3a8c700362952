"""What can be seen of samples without the model, at hand or to be read when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Appearances:
    """What can be seen of n samples without the model: captions, `form` [n, F] and `statistics` [n, S]."""

    captions: Sequence[str]
    form: NDArray[np.float32]
    statistics: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.captions)

    def take(self, rows: NDArray[np.int64]) -> Appearances:
        """The samples at `rows`, in that order."""
        return Appearances([self.captions[row] for row in rows], self.form[rows], self.statistics[rows])

    def blocks(self, most: int) -> Iterator[NDArray[np.int64]]:
        """All rows once, at most so many at a time."""
        for start in range(0, len(self), most):
            yield np.arange(start, min(start + most, len(self)))


class Looks(Protocol):
    """The appearances of n samples, which need not be in memory: `blocks` are rows that are cheap to take."""

    def __len__(self) -> int: ...

    def take(self, rows: NDArray[np.int64]) -> Appearances: ...

    def blocks(self, most: int) -> Iterator[NDArray[np.int64]]: ...
