"""The AUC among samples that are alike in all that the blind baselines see."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from tui_mia.evidence.auc import Estimate, of_share
from tui_mia.evidence.spread import Side, spread

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

# Five strata remove nine tenths of the bias (Cochran 1968), which is well within the noise of a
# small set. What is left falls with the square of their number, the noise only with the root of
# the samples, so larger sets need more.
FEWEST_STRATA, MOST_STRATA = 5, 200
SMALLER_SIDE_PER_STRATUM = 10


@dataclass(frozen=True)
class Adjusted:
    """The AUC within strata, None where no stratum has samples of both sides.

    `strata` is how many have both. `overlap`, 0 to 1, is what the two sides have
    in common: the sum over strata of the smaller of their two shares.
    """

    estimate: Estimate | None
    strata: int
    overlap: float


def adjusted_auc(
    positive: NDArray[np.bool_],
    scores: Floats,
    propensity: Floats,
    clusters: Integers | None = None,
    level: float = 0.95,
    variance_factor: float = 1.0,
) -> Adjusted:
    """The chance that a positive is above a negative of the same stratum of `propensity`, ties half.

    All arrays [n], in one order. Strata are quantiles of the propensity of both
    sides together, equal values never apart; each weighs as many pairs as it
    has. Removes what the propensity captures of a shift and nothing else.
    `variance_factor` is that of `auc_estimate`.
    Raises ValueError unless both sides occur.
    """
    if positive.all() or not positive.any():
        raise ValueError("an AUC needs positives and negatives")
    strata = _strata(positive, propensity)
    count = int(strata.max()) + 1
    above, below = (
        np.bincount(strata[side], minlength=count).astype(np.float64) for side in (positive, ~positive)
    )
    pairs = float(above @ below)
    overlap = float(np.minimum(above / above.sum(), below / below.sum()).sum())
    if not pairs:
        return Adjusted(None, 0, overlap)
    beaten = _won(strata, scores, positive)
    value = float(beaten[positive].sum()) / pairs
    met = np.where(positive, below[strata], above[strata])
    won = np.where(positive, beaten, met - beaten)
    influence, weights = (won - value * met) / pairs, met / pairs
    around = spread(
        Side(influence[positive], weights[positive]),
        Side(influence[~positive], weights[~positive]),
        None if clusters is None else (clusters[positive], clusters[~positive]),
    )
    around = replace(around, standard_error=around.standard_error * math.sqrt(variance_factor))
    return Adjusted(of_share(value, around, level), int(((above > 0) & (below > 0)).sum()), overlap)


def _strata(positive: NDArray[np.bool_], propensity: Floats) -> Integers:
    """For each sample the number of its stratum, from 0 up."""
    smaller = int(min(positive.sum(), (~positive).sum()))
    count = min(max(smaller // SMALLER_SIDE_PER_STRATUM, FEWEST_STRATA), MOST_STRATA)
    # Midranks keep equal values together.
    shares = (rankdata(propensity) - 0.5) / len(propensity)
    strata: Integers = np.minimum((shares * count).astype(np.int64), count - 1)
    return strata


def _won(strata: Integers, scores: Floats, positive: NDArray[np.bool_]) -> Floats:
    """For each sample, how many of the other side it beats within its stratum, ties half: [n]."""
    # One ranking of (stratum, score): the samples of earlier strata count for both terms and cancel.
    order = np.lexsort((scores, strata))
    steps = (np.diff(strata[order]) != 0) | (np.diff(scores[order]) != 0)
    place = np.empty(len(scores), dtype=np.int64)
    place[order] = np.concatenate([[0], np.cumsum(steps)])
    counts = np.zeros((2, int(place.max()) + 1))
    for row, side in enumerate((~positive, positive)):
        counts[row] = np.bincount(place[side], minlength=counts.shape[1])
    below = np.cumsum(counts, axis=1) - counts / 2
    first = np.searchsorted(strata[order], np.arange(int(strata.max()) + 1))
    before = below[:, place[order][first]] - counts[:, place[order][first]] / 2
    other = np.where(positive, 0, 1)
    result: Floats = below[other, place] - before[other, strata]
    return result
