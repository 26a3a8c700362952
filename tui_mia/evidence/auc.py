"""The area under the ROC curve and the difference of two, with intervals that hold in small sets.

The variance is that of DeLong, DeLong and Clarke-Pearson (1988), summed over
clusters where samples are near duplicates (Obuchowski 1997).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from tui_mia.evidence.laws import Hoeffding, Law, Student, StudentOfLogit
from tui_mia.evidence.spread import Clusters, Side, Spread, spread

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Placements:
    """Where each sample stands among those of the other side, ties half, 0 to 1.

    `positives` [n1]: the share of the negatives below each positive.
    `negatives` [n0]: the share of the positives above each negative.
    """

    positives: Floats
    negatives: Floats

    @property
    def auc(self) -> float:
        """The chance that a positive is above a negative, ties half."""
        return float(self.positives.mean())


@dataclass(frozen=True)
class Estimate:
    """A figure with its standard error and an interval; `law` is what the interval rests on."""

    value: float
    standard_error: float
    low: float
    high: float
    law: Law

    def p_above(self, threshold: float = 0.5) -> float:
        """One-sided p-value of "the truth is no more than `threshold`".

        Below (1 - level) / 2 just where the interval lies above the threshold.
        """
        return self.law.p_above(threshold)

    def p_below(self, threshold: float = 0.5) -> float:
        """One-sided p-value of "the truth is no less than `threshold`"."""
        return self.law.p_below(threshold)


def placements(positive: NDArray[np.bool_], scores: Floats) -> Placements:
    """The placements of [n] scores, each side in the order of its samples.

    Raises ValueError unless both sides occur.
    """
    above, below = scores[positive], scores[~positive]
    if not len(above) or not len(below):
        raise ValueError("an AUC needs positives and negatives")
    ranks = rankdata(scores)
    return Placements(
        (ranks[positive] - rankdata(above)) / len(below),
        1 - (ranks[~positive] - rankdata(below)) / len(above),
    )


def auc_estimate(
    found: Placements, clusters: Clusters | None = None, level: float = 0.95, variance_factor: float = 1.0
) -> Estimate:
    """The AUC, with an interval of Student's t on the logit scale.

    `clusters` are the near-duplicate groups of positives [n1] and negatives
    [n0]; a group may have samples on both sides. With fewer than ten groups on
    a side, or where no variance can be seen (an AUC of exactly 0 or 1, a
    constant score), the interval is Hoeffding's, which holds for any scores.
    `variance_factor` is above 1 where scores of different samples are dependent,
    as those of classifiers that share most of their training data are.
    """
    around = _spread(found.positives, found.negatives, clusters)
    around = replace(around, standard_error=around.standard_error * math.sqrt(variance_factor))
    return of_share(found.auc, around, level)


def auc_difference(
    first: Placements,
    second: Placements,
    clusters: Clusters | None = None,
    level: float = 0.95,
    variance_factors: tuple[float, float] = (1.0, 1.0),
) -> Estimate:
    """The AUC of `first` minus that of `second`, two scores of the same samples in the same order.

    Paired (DeLong et al. 1988); `variance_factors` are those of `auc_estimate`, for
    the first score and for the second. Raises ValueError where the samples can't be the same.
    """
    if len(first.positives) != len(second.positives) or len(first.negatives) != len(second.negatives):
        raise ValueError("a paired difference needs two scores of the same samples")
    around = _spread(first.positives - second.positives, first.negatives - second.negatives, clusters)
    for found, factor in zip((first, second), variance_factors, strict=True):
        if factor > 1:
            alone = _spread(found.positives, found.negatives, clusters).standard_error
            more = (factor - 1) * alone**2
            around = replace(around, standard_error=math.sqrt(around.standard_error**2 + more))
    value = first.auc - second.auc
    if around.usable:
        return _estimate(Student(value, around.standard_error, around.degrees), around, level)
    return _estimate(Hoeffding(value, around.pairs, -1.0, 1.0), around, level)


def of_share(value: float, around: Spread, level: float) -> Estimate:
    """An estimate of a share from how far it may be off: on the logit scale, or after Hoeffding."""
    # The mean of ten million shares may be off 1 by a rounding error.
    value = min(max(value, 0.0), 1.0)
    if around.usable and 0 < value < 1:
        return _estimate(StudentOfLogit(value, around.standard_error, around.degrees), around, level)
    return _estimate(Hoeffding(value, around.pairs, 0.0, 1.0), around, level)


def _estimate(law: Law, around: Spread, level: float) -> Estimate:
    low, high = law.bounds(level)
    return Estimate(law.value, around.standard_error, low, high, law)


def _spread(positives: Floats, negatives: Floats, clusters: Clusters | None) -> Spread:
    return spread(_side(positives), _side(negatives), clusters)


def _side(components: Floats) -> Side:
    count = len(components)
    return Side((components - components.mean()) / count, np.full(count, 1 / count))
