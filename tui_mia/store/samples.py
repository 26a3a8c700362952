"""What is asked and told about the samples of a run, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

SampleColumn: TypeAlias = Literal["number", "key", "caption", "member", "pool", "score", "p_value", "q_value"]
Membership: TypeAlias = Literal["yes", "no", "unknown"]


@dataclass(frozen=True, slots=True)
class ScoredAttack:
    """An attack with scores in a run."""

    attack: str
    has_p_values: bool


@dataclass(frozen=True, slots=True)
class ScoreRange:
    """Samples with a score of the attack from `low` to `high`, both included; None is no limit."""

    attack: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class SampleFilter:
    """The samples that fit in every respect that is given; without any, all of them.

    `text` is a part of the caption or of the key, in upper or lower case, with
    no wildcards.
    """

    text: str = ""
    pool: str | None = None
    member: Membership | None = None
    ranges: tuple[ScoreRange, ...] = ()


@dataclass(frozen=True, slots=True)
class SampleSort:
    """An order of samples: what has no value comes last in both directions, equals go by number.

    `attack` says whose scores, p- or q-values are meant. Captions go without regard to case.
    """

    column: SampleColumn = "number"
    descending: bool = False
    attack: str | None = None


@dataclass(frozen=True, slots=True)
class SampleRow:
    """A sample of a run; scores, p- and q-values are by attack, and only those that are numbers."""

    number: int
    sample_id: str
    pool: str
    key: str
    caption: str
    member: bool | None
    scores: Mapping[str, float]
    p_values: Mapping[str, float]
    q_values: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class SampleOrder:
    """The numbers of samples in an order: [n] uint32, so that a million of them are 4 MB."""

    numbers: NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.numbers)

    def position(self, number: int) -> int | None:
        """Where in the order a sample is; None if it is not in it."""
        (positions,) = np.nonzero(self.numbers == number)
        return int(positions[0]) if len(positions) else None


@dataclass(frozen=True, slots=True)
class AttackScore:
    """One attack's score of a sample, and where it stands in the sample's pool.

    `rank` 1 is the highest of `of` scores, equal ones share a rank;
    `percentile` is how many per cent of them are lower.
    """

    attack: str
    score: float
    p_value: float | None
    q_value: float | None
    rank: int
    of: int
    percentile: float


@dataclass(frozen=True, slots=True)
class SampleDetail:
    """All that the database has of a sample; `similarities` are by view, the plain image first."""

    row: SampleRow
    source: str
    width: int | None
    height: int | None
    metadata: str | None
    similarities: list[float]
    scores: list[AttackScore]
