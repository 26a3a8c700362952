"""How far a mean over pairs of a positive and a negative may be off, from the influence of each sample."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Clusters: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64]]

# Below this, variances estimated from the smaller side mislead: 5 against 500 samples
# at an AUC of 0.95 would cover in 85 % of draws instead of 95 %.
FEWEST_FOR_A_VARIANCE = 10


@dataclass(frozen=True)
class Side:
    """The samples of one side: `influence` [n] on the estimate, summing to 0, and `weights` [n], to 1."""

    influence: Floats
    weights: Floats


@dataclass(frozen=True)
class Spread:
    """Standard error, its degrees of freedom, and how many independent pairs of the two sides there are."""

    standard_error: float
    degrees: float
    pairs: float

    @property
    def usable(self) -> bool:
        """Whether the standard error says anything."""
        # A count of ten may have come out a rounding error below.
        return self.pairs >= FEWEST_FOR_A_VARIANCE - 1e-6 and self.standard_error > 1e-12


def spread(positives: Side, negatives: Side, clusters: Clusters | None = None) -> Spread:
    """The variance summed over clusters, also across the two sides (Obuchowski 1997).

    Without clusters every sample is one of its own, and the variance is that of
    DeLong et al. (1988). Degrees of freedom after Welch and Satterthwaite, as
    Brunner and Munzel (2000) use them.
    """
    if clusters is None:
        alone = np.arange(len(positives.weights) + len(negatives.weights))
        clusters = alone[: len(positives.weights)], alone[len(positives.weights) :]
    names, inverse = np.unique(np.concatenate(clusters), return_inverse=True)
    above = _by_cluster(positives, inverse[: len(positives.weights)], len(names))
    below = _by_cluster(negatives, inverse[len(positives.weights) :], len(names))
    parts = [_inflation(side.weights) * float(side.influence @ side.influence) for side in (above, below)]
    shared = _inflation(above.weights + below.weights) * float(above.influence @ below.influence)
    independent = [_effective(side.weights) for side in (above, below)]
    inverse_degrees = sum(
        part**2 / max(count - 1, 1e-9) for part, count in zip(parts, independent, strict=True)
    )
    return Spread(
        standard_error=math.sqrt(max(sum(parts) + 2 * shared, 0.0)),
        degrees=max(sum(parts) ** 2 / inverse_degrees, 1.0) if inverse_degrees > 0 else 1.0,
        pairs=min(independent),
    )


def effective_size(clusters: NDArray[np.int64]) -> float:
    """How many samples without near duplicates would tell as much as [n] samples in these clusters."""
    return _effective(np.unique(clusters, return_counts=True)[1] / len(clusters))


def _by_cluster(side: Side, clusters: NDArray[np.intp], count: int) -> Side:
    return Side(
        np.bincount(clusters, side.influence, minlength=count).astype(np.float64),
        np.bincount(clusters, side.weights, minlength=count).astype(np.float64),
    )


def _inflation(weights: Floats) -> float:
    clusters = int(np.count_nonzero(weights))
    return clusters / max(clusters - 1, 1)


def _effective(weights: Floats) -> float:
    """How many of equal weight would tell as much (Kish 1965)."""
    return float(weights.sum() ** 2 / (weights @ weights))
