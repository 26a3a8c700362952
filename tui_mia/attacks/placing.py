"""Compares candidates with known non-members, each fold by its own fit, and joins the folds.

A candidate's p-value is cross-conformal (Vovk 2015): the share of known
non-members that score at least as high, each compared within its own fold. Its
placement is the same comparison with ties at half.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tui_mia.attacks.attack import Floats
from tui_mia.scored import FITTED_TO_CANDIDATES, AttackScores

# Of folds or of groups, which are few.
Numbers: TypeAlias = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class RawScores:
    """One attack's scores before the folds are joined.

    `group_of` [n] is the group of fits, 0 to G - 1, that scored a candidate;
    `candidates` [F, n] their scores by the fit of each fold; `nonmembers`
    [G, m] the known non-members' by each group's fit that left their fold out.
    """

    attack: str
    group_of: Numbers
    candidates: Floats
    nonmembers: Floats
    facts: Mapping[str, float]


def calibrated(target: RawScores, reference: RawScores, attack: str, folds: Numbers | None) -> RawScores:
    """The target's scores minus the reference's on the same samples, as an attack of its own.

    Both in deviations of known non-members: one model spreads its scores wider
    than the other, and a plain difference would show any shift that both see.
    Each fold is measured by the others' known non-members, so that a known
    non-member has no part in its own scale; without known non-members, by all
    candidates.
    """
    of_target, of_reference = (_standardised(raw, folds) for raw in (target, reference))
    candidates, nonmembers = (ours - theirs for ours, theirs in zip(of_target, of_reference, strict=True))
    return RawScores(attack, target.group_of, candidates, nonmembers, {})


def _standardised(raw: RawScores, folds: Numbers | None) -> tuple[Floats, Floats]:
    """Candidates [F, n] and known non-members [G, m] in deviations."""
    candidates, nonmembers = raw.candidates.copy(), raw.nonmembers.copy()
    for group in range(len(nonmembers)):
        inside = raw.group_of == group
        for fold in range(len(candidates)):
            own = np.zeros(0, np.bool_) if folds is None else folds == fold
            others = raw.nonmembers[group, ~own]
            measure = others if len(others) else raw.candidates[fold, inside]
            center, deviation = _location(measure)
            candidates[fold, inside] = (candidates[fold, inside] - center) / deviation
            nonmembers[group, own] = (nonmembers[group, own] - center) / deviation
    return candidates, nonmembers


def _location(scores: Floats) -> tuple[float, float]:
    """Mean and deviation; a score that is the same for all has a deviation of 1."""
    deviation = float(scores.std()) if len(scores) else 0.0
    return float(scores.mean()) if len(scores) else 0.0, deviation or 1.0


def finish(raw: RawScores, folds: Numbers | None) -> AttackScores:
    """Average over folds, compare with the known non-members, and join groups where there are two.

    `folds` are those of the known non-members, [m], or None where there are none.
    """
    fits, candidates = raw.candidates.shape
    placing = Placing(raw.attack, fits, candidates, raw.nonmembers, folds)
    placing.add(slice(None), raw.group_of, raw.candidates)
    return placing.finish(raw.facts)


class Placing:
    """Takes the candidates of an attack block by block: of the scores of F fits their mean alone is kept.

    `candidates` is how many there will be; `nonmembers` [G, m] and `folds` [m] are as in
    `RawScores` and `finish`.
    """

    def __init__(
        self,
        attack: str,
        fits: int,
        candidates: int,
        nonmembers: Floats,
        folds: Numbers | None,
    ) -> None:
        self._attack = attack
        self._nonmembers, self._folds = nonmembers, folds
        self._scores = np.empty(candidates)
        self._at_least, self._below = (np.zeros(0 if folds is None else candidates) for _ in range(2))
        self._known: list[list[_Known]] = []
        if folds is not None:
            self._known = [[_Known.of(known[folds == fold]) for fold in range(fits)] for known in nonmembers]

    def add(self, rows: slice, group_of: Numbers, scores: Floats) -> None:
        """Some candidates [b], the group of each [b] and their scores [F, b]."""
        if self._folds is None:
            self._scores[rows] = scores.mean(axis=0)
            return
        of_rows, at_least, below = self._scores[rows], self._at_least[rows], self._below[rows]
        for group, known in enumerate(self._known):
            inside = group_of == group
            of_group = scores[:, inside]
            ranks = np.empty_like(of_group)
            for fold, (among, of_fold) in enumerate(zip(known, of_group, strict=True)):
                lower, not_higher = among.meet(of_fold)
                at_least[inside] += len(among.steps) - lower
                below[inside] += (lower + not_higher) / 2
                ranks[fold] = among.rank(of_fold) if len(self._known) > 1 else of_fold
            of_rows[inside] = ranks.mean(axis=0)

    def finish(self, facts: Mapping[str, float]) -> AttackScores:
        """All that the attack says, once every candidate was added."""
        if self._folds is None:
            return AttackScores(self._attack, self._scores, None, None, None, None, facts)
        size, groups = len(self._folds), len(self._known)
        scores, below = np.zeros(size), np.zeros(size)
        for own, known in zip(self._nonmembers, self._known, strict=True):
            for fold, among in enumerate(known):
                inside = self._folds == fold
                scores[inside] += (among.rank(own[inside]) if groups > 1 else own[inside]) / groups
                below[inside] += among.candidates_below()
        self._at_least += 1
        self._at_least /= 1 + size
        self._below /= max(1, size)
        return AttackScores(
            attack=self._attack,
            candidates=self._scores,
            p_values=self._at_least,
            nonmembers=scores,
            placements=self._below,
            nonmember_placements=below / max(1, len(self._scores)),
            facts=facts if groups == 1 else {**facts, FITTED_TO_CANDIDATES: 1.0},
        )


@dataclass(frozen=True)
class _Known:
    """The k known non-members of a fold: `steps` [k] are their scores as they rise, of `order` [k].

    `met` [k + 1] counts, by how many of them are lower, the candidates that were met, and by how
    many are not higher: twice as many in all.
    """

    steps: Floats
    order: NDArray[np.int64]
    deviation: float
    met: NDArray[np.int64]

    @classmethod
    def of(cls, scores: Floats) -> _Known:
        order = np.argsort(scores, kind="stable")
        deviation = float(scores.std()) if len(scores) else 0.0
        return cls(scores[order], order, deviation, np.zeros(len(scores) + 1, dtype=np.int64))

    @cached_property
    def _shares(self) -> Floats:
        return np.linspace(0, 1, len(self.steps))

    def meet(self, scores: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """How many of the known are lower than each of [b] candidates, and how many not higher."""
        lower, not_higher = (np.searchsorted(self.steps, scores, side) for side in ("left", "right"))
        np.add.at(self.met, lower, 1)
        np.add.at(self.met, not_higher, 1)
        return lower, not_higher

    def candidates_below(self) -> Floats:
        """How many of the candidates that were met are below each of the known, ties half: [k]."""
        below = np.empty(len(self.steps))
        # A candidate is lower than the i-th as it has at most i that are not higher, and so on.
        below[self.order] = np.cumsum(self.met[:-1]) / 2
        return below

    def rank(self, scores: Floats) -> Floats:
        """The share of the known below each score, linear in between; beyond the ends in their deviations."""
        steps = self.steps
        if len(steps) < 2 or steps[0] == steps[-1]:
            return np.zeros_like(scores)
        rank = np.interp(scores, steps, self._shares)
        beyond = np.maximum(scores - steps[-1], 0) + np.minimum(scores - steps[0], 0)
        result: Floats = rank + beyond / self.deviation
        return result
