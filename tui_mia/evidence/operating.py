"""What a practitioner without labels would get: candidates called at a level of their p-value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest


@dataclass(frozen=True)
class OperatingPoint:
    """The rates at which members and non-members are called, with 95 % intervals (Clopper and Pearson 1934).

    The threshold is taken as it is, so `fpr` is what was achieved, not what was aimed at.
    """

    tpr: float
    tpr_low: float
    tpr_high: float
    fpr: float
    fpr_low: float
    fpr_high: float


def operating_points(
    member: NDArray[np.bool_],
    p_values: NDArray[np.float64],
    levels: Sequence[float],
    resolution: int,
) -> dict[float, OperatingPoint | None]:
    """The rates among [n] labelled candidates if each is called whose p-value is at or below the level.

    `resolution` is the number of known non-members behind the p-values: None
    for a level below 1 / (resolution + 1), which no p-value can reach, and for
    all where one label does not occur.
    """
    members, others = p_values[member], p_values[~member]
    return {
        level: _point(members, others, level)
        if len(members) and len(others) and round(level * (resolution + 1), 6) >= 1
        else None
        for level in levels
    }


def _point(members: NDArray[np.float64], others: NDArray[np.float64], level: float) -> OperatingPoint:
    tpr, fpr = _rate(members, level), _rate(others, level)
    return OperatingPoint(*tpr, *fpr)


def _rate(p_values: NDArray[np.float64], level: float) -> tuple[float, float, float]:
    # p-values are ratios of counts: 0.1 may have come out a bit above 0.1.
    called = int((p_values <= level * (1 + 1e-9)).sum())
    found = binomtest(called, len(p_values)).proportion_ci(0.95, method="exact")
    return called / len(p_values), float(found.low), float(found.high)
