"""Figures of one attack, read from the empirical ROC of all labelled candidates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import betainc
from scipy.stats import binom
from sklearn.metrics import roc_auc_score, roc_curve

FPR_POINTS = (0.1, 0.01, 0.001)
FEWEST_FALSE_POSITIVES = 10


@dataclass(frozen=True)
class Figures:
    """How well a score tells members from non-members.

    `tpr_at_fpr` maps each false positive rate to the true positive rate there,
    or to None where fewer than ten false positives are expected: below the
    resolution of the set. `tpr_intervals` has the 95 % interval of each, of
    which neither threshold nor members are taken as given. `members` and
    `nonmembers` are counts.
    """

    auc: float
    balanced_accuracy: float
    tpr_at_fpr: Mapping[float, float | None]
    tpr_intervals: Mapping[float, tuple[float, float] | None]
    members: int
    nonmembers: int


def figures(
    member: NDArray[np.bool_],
    scores: NDArray[np.float64],
    independent: tuple[float, float] | None = None,
) -> Figures | None:
    """The figures of [n] scores with [n] labels; None unless both labels occur.

    `independent` is how many members and non-members without near duplicates
    would tell as much; all, if it is None.

    Ties count half in the AUC, and a threshold takes all samples of a tie or
    none, so that the order of the samples changes nothing.
    """
    members, nonmembers = int(member.sum()), int((~member).sum())
    if not members or not nonmembers:
        return None
    fpr, tpr, _ = roc_curve(member, scores, drop_intermediate=False)
    # Counts, not rates: 0.1 * 300 is not exactly 30.
    curve = _Curve(np.round(fpr * nonmembers), tpr)
    sizes = independent or (float(members), float(nonmembers))
    allowances = {point: _allowed(point, nonmembers) for point in FPR_POINTS}
    return Figures(
        auc=float(roc_auc_score(member, scores)),
        balanced_accuracy=float(np.max((tpr + 1 - fpr) / 2)),
        tpr_at_fpr={
            point: None if allowed is None else float(_tpr_at(allowed, curve))
            for point, allowed in allowances.items()
        },
        tpr_intervals={
            point: None if allowed is None else _interval(point, allowed, curve, nonmembers, sizes)
            for point, allowed in allowances.items()
        },
        members=members,
        nonmembers=nonmembers,
    )


@dataclass(frozen=True)
class _Curve:
    """At each threshold, from the highest down, the number of false positives and the true positive rate."""

    false_positives: NDArray[np.float64]
    tpr: NDArray[np.float64]


def _allowed(point: float, nonmembers: int) -> int | None:
    """How many false positives a false positive rate allows; None if it expects too few to tell."""
    expected = round(point * nonmembers, 6)
    return None if expected < FEWEST_FALSE_POSITIVES else int(expected)


def _tpr_at(allowed: int | NDArray[np.int64], curve: _Curve) -> NDArray[np.float64]:
    """The highest true positive rate with no more than the allowed false positives."""
    found: NDArray[np.float64] = curve.tpr[np.searchsorted(curve.false_positives, allowed, side="right") - 1]
    return found


def _interval(
    point: float, allowed: int, curve: _Curve, nonmembers: int, independent: tuple[float, float]
) -> tuple[float, float]:
    """The 95 % interval of the true positive rate at a false positive rate.

    The threshold at which the rate is exactly `point` has a binomial number of
    the non-members above it. For each such number the members above it give
    Jeffreys' distribution of their rate (Brown, Cai and DasGupta 2001), and the
    interval has 2.5 % of the mixture on either side. That is the bootstrap of
    threshold and members, without its noise and without a step to zero width
    where no member, or every member, is above. Numbers are those of `independent`
    samples, of which each stands for as many of the curve's as have its near duplicates.
    """
    members, others = independent[0], round(independent[1])
    mean, reach = others * point, 6 * np.sqrt(others * point * (1 - point))
    numbers = np.arange(max(0, int(mean - reach)), min(others, int(mean + reach)) + 1)
    of_curve = np.floor(numbers * (nonmembers / others) + 1e-6).astype(np.int64)
    counts, first = np.unique(_tpr_at(of_curve, curve) * members, return_index=True)
    chances = np.add.reduceat(binom.pmf(numbers, others, point), first)

    def below(rate: float) -> float:
        return float(chances @ betainc(counts + 0.5, members - counts + 0.5, rate) / chances.sum())

    tpr = float(_tpr_at(allowed, curve))
    low = brentq(lambda rate: below(rate) - 0.025, 0, 1) if tpr > 0 else 0.0
    high = brentq(lambda rate: below(rate) - 0.975, 0, 1) if tpr < 1 else 1.0
    return min(float(low), tpr), max(float(high), tpr)
