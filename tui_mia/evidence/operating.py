"""What a practitioner without labels would get: candidates called at a level of their p-value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta


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
    independent: tuple[float, float] | None = None,
) -> dict[float, OperatingPoint | None]:
    """The rates among [n] labelled candidates if each is called whose p-value is at or below the level.

    `resolution` is the number of known non-members behind the p-values: None
    for a level below 1 / (resolution + 1), which no p-value can reach, and for
    all where one label does not occur. `independent` is how many members and
    non-members without near duplicates would tell as much.
    """
    members, others = p_values[member], p_values[~member]
    sizes = independent or (len(members), len(others))
    return {
        level: OperatingPoint(*_rate(members, level, sizes[0]), *_rate(others, level, sizes[1]))
        if len(members) and len(others) and round(level * (resolution + 1), 6) >= 1
        else None
        for level in levels
    }


def _rate(p_values: NDArray[np.float64], level: float, independent: float) -> tuple[float, float, float]:
    # p-values are ratios of counts: 0.1 may have come out a bit above 0.1.
    rate = float((p_values <= level * (1 + 1e-9)).mean())
    called, missed = rate * independent, (1 - rate) * independent
    # From the Beta distribution, which takes counts that are not whole.
    low = float(beta.ppf(0.025, called, missed + 1)) if called else 0.0
    high = float(beta.ppf(0.975, called + 1, missed)) if missed else 1.0
    return rate, low, high
