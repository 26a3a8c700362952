"""What an audit knows when it is judged, and the two sides that it compares."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tui_mia.evidence.auc import Placements, placements
from tui_mia.evidence.spread import FEWEST_FOR_A_VARIANCE, effective_size
from tui_mia.scored import AttackScores


@dataclass(frozen=True)
class SideScores:
    """One score for each candidate [n] and each known non-member [m] float64; NaN where there is none."""

    candidates: NDArray[np.float64]
    nonmembers: NDArray[np.float64]


@dataclass(frozen=True)
class Audited:
    """Scores and what is known of the samples; n candidates and m known non-members, in one order throughout.

    `member` is [n] int8: 1 and 0 where the label is known, -1 where it is not.
    `duplicates` has an int64 for each sample of each pool, equal where images
    are near duplicates, over all pools; `same_captions` where captions are the
    same but for case and punctuation. `blind` are out-of-fold scores of
    classifiers that never saw the target. `reference` are the attacks on the
    reference model. `control` are the attacks with one half of the known
    non-members in the place of the candidates and the other as known non-members.
    `fitted_to_candidates` are the attacks that, for want of a general pool, were
    fitted to halves of the candidates: the scores of one half depend on the other.
    """

    attacks: Collection[AttackScores]
    member: NDArray[np.int8]
    duplicates: Mapping[str, NDArray[np.int64]]
    same_captions: Mapping[str, NDArray[np.int64]]
    blind: Mapping[str, SideScores]
    reference: Mapping[str, AttackScores]
    control: Collection[AttackScores]
    fitted_to_candidates: Collection[str] = ()

    @property
    def nonmembers(self) -> int:
        """How many known non-members there are."""
        return len(self.duplicates.get("nonmembers", ()))


@dataclass(frozen=True)
class Comparison:
    """The two sides: labelled members and non-members, or without labels candidates and known non-members.

    `positives` are rows of the candidates, `negatives` rows of the candidates
    (labelled) or of the known non-members (group).
    """

    kind: Literal["labelled", "group"]
    positives: NDArray[np.int64]
    negatives: NDArray[np.int64]
    duplicates: tuple[NDArray[np.int64], NDArray[np.int64]]

    @property
    def samples(self) -> int:
        """How many are compared."""
        return len(self.positives) + len(self.negatives)

    @property
    def independent(self) -> tuple[float, float]:
        """How many positives and negatives without near duplicates would tell as much."""
        return effective_size(self.duplicates[0]), effective_size(self.duplicates[1])

    @property
    def is_positive(self) -> NDArray[np.bool_]:
        """[n1 + n0]: the positives first."""
        return np.arange(self.samples) < len(self.positives)

    @property
    def clusters_in_line(self) -> NDArray[np.int64] | None:
        """The groups of the positives and then the negatives; None where every sample is alone."""
        together = np.concatenate(self.duplicates)
        return together if len(np.unique(together)) < len(together) else None

    @property
    def clusters(self) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """The groups of both sides; None where every sample is alone."""
        return None if self.clusters_in_line is None else self.duplicates

    def of_attack(self, attack: AttackScores) -> Placements:
        """How the two sides stand to each other by an attack, with known non-members in their own fold."""
        if self.kind == "labelled":
            return placements(self.is_positive, self.scores(attack))
        assert attack.placements is not None
        assert attack.nonmember_placements is not None
        return Placements(attack.placements[self.positives], 1 - attack.nonmember_placements[self.negatives])

    def scores(self, scored: AttackScores | SideScores) -> NDArray[np.float64]:
        """The scores of the positives and then the negatives: [n1 + n0]."""
        negatives = scored.candidates if self.kind == "labelled" else scored.nonmembers
        assert negatives is not None
        return np.concatenate([scored.candidates[self.positives], negatives[self.negatives]])

    def to_sides(self, scores: NDArray[np.float64], candidates: int, nonmembers: int) -> SideScores:
        """Scores of the positives and then the negatives, for all candidates and known non-members."""
        sides = SideScores(np.full(candidates, np.nan), np.full(nonmembers, np.nan))
        negatives = sides.candidates if self.kind == "labelled" else sides.nonmembers
        sides.candidates[self.positives] = scores[: len(self.positives)]
        negatives[self.negatives] = scores[len(self.positives) :]
        return sides

    def without_duplicates(self) -> Comparison | None:
        """The same without samples that have near duplicates on either side; None where a side is empty."""
        together = np.concatenate(self.duplicates)
        _, inverse, counts = np.unique(together, return_inverse=True, return_counts=True)
        alone = counts[inverse] == 1
        positive, negative = alone[: len(self.positives)], alone[len(self.positives) :]
        if not positive.any() or not negative.any():
            return None
        duplicates = (self.duplicates[0][positive], self.duplicates[1][negative])
        return Comparison(self.kind, self.positives[positive], self.negatives[negative], duplicates)


def compare(audited: Audited) -> Comparison | None:
    """Members against non-members where both are labelled; else candidates against known non-members.

    A few labels are no comparison set: with fewer than ten independent ones on
    a side, known non-members come first.
    """
    of_candidates = audited.duplicates["candidates"]
    members, others = np.flatnonzero(audited.member == 1), np.flatnonzero(audited.member == 0)
    if len(members) and len(others):
        labelled = Comparison("labelled", members, others, (of_candidates[members], of_candidates[others]))
        if not audited.nonmembers or min(labelled.independent) >= FEWEST_FOR_A_VARIANCE:
            return labelled
    if audited.nonmembers:
        rows = np.arange(len(of_candidates)), np.arange(audited.nonmembers)
        return Comparison("group", *rows, (of_candidates, audited.duplicates["nonmembers"]))
    return None
