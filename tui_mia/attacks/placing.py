"""Compares candidates with known non-members, each fold by its own fit, and joins the folds.

A candidate's p-value is cross-conformal (Vovk 2015): the share of known
non-members that score at least as high, each compared within its own fold. Its
placement is the same comparison with ties at half.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tui_mia.attacks.attack import Floats
from tui_mia.scored import FITTED_TO_CANDIDATES, AttackScores


@dataclass(frozen=True)
class RawScores:
    """One attack's scores before the folds are joined.

    `group_of` [n] is the group of fits, 0 to G - 1, that scored a candidate;
    `candidates` [F, n] their scores by the fit of each fold; `nonmembers`
    [G, m] the known non-members' by each group's fit that left their fold out.
    """

    attack: str
    group_of: NDArray[np.int64]
    candidates: Floats
    nonmembers: Floats
    facts: Mapping[str, float]


def calibrated(
    target: RawScores, reference: RawScores, attack: str, folds: NDArray[np.int64] | None
) -> RawScores:
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


def _standardised(raw: RawScores, folds: NDArray[np.int64] | None) -> tuple[Floats, Floats]:
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


def finish(raw: RawScores, folds: NDArray[np.int64] | None) -> AttackScores:
    """Average over folds, compare with the known non-members, and join groups where there are two.

    `folds` are those of the known non-members, [m], or None where there are none.
    """
    if folds is None:
        return AttackScores(raw.attack, raw.candidates.mean(axis=0), None, None, None, None, raw.facts)
    size = raw.candidates.shape[1]
    scores, at_least, below = np.empty(size), np.empty(size), np.empty(size)
    known_scores, known_below = np.zeros(len(folds)), np.zeros(len(folds))
    for group, known in enumerate(raw.nonmembers):
        inside = raw.group_of == group
        candidates = raw.candidates[:, inside]
        if len(raw.nonmembers) == 1:
            ranks, own = candidates, known
        else:
            ranks, own = _ranks(candidates, known, folds)
        scores[inside] = ranks.mean(axis=0)
        known_scores += own / len(raw.nonmembers)
        at_least[inside], below[inside] = _compare(candidates, known, folds)
        known_below += _candidates_below(candidates, known, folds)
    return AttackScores(
        attack=raw.attack,
        candidates=scores,
        p_values=(1 + at_least) / (1 + len(folds)),
        nonmembers=known_scores,
        placements=below / max(1, len(folds)),
        nonmember_placements=known_below / max(1, size),
        facts=raw.facts if len(raw.nonmembers) == 1 else {**raw.facts, FITTED_TO_CANDIDATES: 1.0},
    )


def _compare(candidates: Floats, nonmembers: Floats, folds: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """How many known non-members score at least as high, and how many lower with ties at half.

    [F, n] candidate scores and [m] known non-members' to two times [n].
    """
    at_least, below = np.zeros(candidates.shape[1]), np.zeros(candidates.shape[1])
    for fold, scores in enumerate(candidates):
        known = np.sort(nonmembers[folds == fold])
        lower = np.searchsorted(known, scores, side="left")
        at_least += len(known) - lower
        below += (lower + np.searchsorted(known, scores, side="right")) / 2
    return at_least, below


def _candidates_below(candidates: Floats, nonmembers: Floats, folds: NDArray[np.int64]) -> Floats:
    """How many candidates score lower than each known non-member by its fold's fit, ties half: [m]."""
    below = np.zeros(len(nonmembers))
    for fold, scores in enumerate(candidates):
        inside = folds == fold
        steps = np.sort(scores)
        lower, not_higher = (np.searchsorted(steps, nonmembers[inside], side) for side in ("left", "right"))
        below[inside] = (lower + not_higher) / 2
    return below


def _ranks(candidates: Floats, nonmembers: Floats, folds: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """[F, n] candidates and [m] known non-members as ranks among the known non-members of each fold."""
    ranks, own = np.empty_like(candidates), np.empty_like(nonmembers)
    for fold, scores in enumerate(candidates):
        inside = folds == fold
        ranks[fold] = _rank_among(nonmembers[inside], scores)
        own[inside] = _rank_among(nonmembers[inside], nonmembers[inside])
    return ranks, own


def _rank_among(known: Floats, scores: Floats) -> Floats:
    """The share of `known` below each score, linear in between; beyond its ends in deviations of `known`."""
    steps = np.sort(known)
    if len(steps) < 2 or steps[0] == steps[-1]:
        return np.zeros_like(scores)
    rank = np.interp(scores, steps, np.linspace(0, 1, len(steps)))
    beyond = np.maximum(scores - steps[-1], 0) + np.minimum(scores - steps[0], 0)
    result: Floats = rank + beyond / known.std()
    return result
