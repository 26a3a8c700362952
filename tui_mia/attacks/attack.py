"""What an attack is: fitted to what is known, it turns embeddings into one score a sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from tui_mia.embedded import Block, Pool

Need: TypeAlias = Literal["nonmembers", "general"]
Floats: TypeAlias = NDArray[np.float64]


class AttackError(Exception):
    """An attack can't be fitted to these pools; the message says what to change."""


@dataclass(frozen=True)
class Known:
    """All that an attack may be fitted to; labels of candidates are not among it.

    `nonmembers` are the known non-members outside the fold that will be scored
    and None where there are none; `logit_scale` is the target's multiplier of
    cosines (already exponentiated).
    """

    nonmembers: Pool | None
    general: Pool | None
    bank: Pool | None
    logit_scale: float
    seed: int


@dataclass(frozen=True)
class Fitted:
    """A fitted attack: `score` maps a block of n samples to [n] float64, higher for members.

    `facts` are numbers worth keeping about the fit (for WSA: lambda, how many pseudo-members).
    Where all fits look at similarities only, embeddings are not read from disk.
    """

    score: Callable[[Block], Floats]
    facts: Mapping[str, float] = field(default_factory=dict)
    similarities_only: bool = False


class Attack(Protocol):
    """One score a sample. `needs` names the pools without which it can't run."""

    @property
    def name(self) -> str: ...

    @property
    def needs(self) -> frozenset[Need]: ...

    def fit(self, known: Known) -> Fitted:
        """Fit to `known`; called once a fold.

        Raises:
            AttackError: if these pools don't allow it, saying what to change.
        """
        ...


@runtime_checkable
class FittedTogether(Attack, Protocol):
    """An attack whose fits have work in common, which they then do once a block."""

    def fit_folds(self, folds: Sequence[Known]) -> list[Fitted]:
        """What `fit` gives for each of these.

        Raises:
            AttackError: as `fit`.
        """
        ...
