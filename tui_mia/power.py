"""What AUC a set of samples could show at all.

Plain arithmetic: the standard error of two normal sides of equal width, on the
logit scale of the intervals in evidence/auc.py. Near duplicates make sizes that
need not be whole.
"""

from __future__ import annotations

import math
from statistics import NormalDist

NORMAL = NormalDist()
# With fewer on a side the interval is one that holds for any scores, and hardly anything can be shown.
FEWEST = 10
MOST = 10**9


def power_at(auc: float, positives: float, negatives: float, alpha: float = 0.025) -> float:
    """The chance that a true AUC is found to be above 0.5, one-sided at `alpha`.

    Raises ValueError unless 0 < auc < 1.
    """
    if not 0 < auc < 1:
        raise ValueError(f"the power is asked for at an AUC between 0 and 1, not at {auc}")
    if min(positives, negatives) < FEWEST:
        return 0.0
    needed = _smallest_significant(alpha, positives, negatives)
    if needed is None:
        return 0.0
    return NORMAL.cdf((auc - needed) / _standard_error(auc, positives, negatives))


def smallest_detectable_auc(
    positives: float, negatives: float, alpha: float = 0.025, power: float = 0.8
) -> float | None:
    """The AUC that is found to be above 0.5 with this power; None where not even 0.999 is."""
    low, high = 0.5, 0.999
    if power_at(high, positives, negatives, alpha) < power:
        return None
    while high - low > 1e-6:
        middle = (low + high) / 2
        enough = power_at(middle, positives, negatives, alpha) >= power
        low, high = (low, middle) if enough else (middle, high)
    return high


def samples_needed(
    auc: float, ratio: float = 1.0, alpha: float = 0.025, power: float = 0.8
) -> tuple[int, int] | None:
    """The fewest positives and negatives, `ratio` negatives for a positive, that show this AUC.

    None for an AUC of 0.5 or below, and where a thousand million would not do.
    """
    if auc <= 0.5:
        return None
    low, high = 0, MOST
    if power_at(auc, high, round(high * ratio), alpha) < power:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        enough = power_at(auc, middle, round(middle * ratio), alpha) >= power
        low, high = (low, middle) if enough else (middle, high)
    return high, round(high * ratio)


def _smallest_significant(alpha: float, positives: float, negatives: float) -> float | None:
    """The smallest AUC that, once found, is above 0.5 by the interval of auc.py; None where 0.9 is not."""
    critical = _critical(alpha, positives, negatives)

    def statistic(found: float) -> float:
        error = _standard_error(found, positives, negatives) / (found * (1 - found))
        return math.log(found / (1 - found)) / error

    low, high = 0.5, 0.9
    if statistic(high) < critical:
        return None
    while high - low > 1e-7:
        middle = (low + high) / 2
        low, high = (middle, high) if statistic(middle) < critical else (low, middle)
    return high


def _standard_error(auc: float, positives: float, negatives: float) -> float:
    """Bamber (1975), with the chance that one positive is above two negatives, the same for either side."""
    above_both = auc - 2 * _owen(NORMAL.inv_cdf(auc))
    of_sample = above_both - auc**2
    rest = auc * (1 - auc) - 2 * of_sample
    return math.sqrt(of_sample / positives + of_sample / negatives + rest / (positives * negatives))


def _owen(height: float) -> float:
    """Owen's T (1956) for two normals correlated by one half, a slope of 1 / sqrt(3); Simpson's rule."""
    steps = 32
    width = 1 / (math.sqrt(3) * steps)
    heights = [
        math.exp(-0.5 * height**2 * (1 + (step * width) ** 2)) / (1 + (step * width) ** 2)
        for step in range(steps + 1)
    ]
    area = heights[0] + heights[-1] + 4 * sum(heights[1:-1:2]) + 2 * sum(heights[2:-1:2])
    return area * width / 3 / (2 * math.pi)


def _critical(alpha: float, positives: float, negatives: float) -> float:
    """Student's t quantile at the degrees of freedom of the smaller side (Fisher's expansion)."""
    normal = NORMAL.inv_cdf(1 - alpha)
    degrees = _degrees(positives, negatives)
    return (
        normal
        + (normal**3 + normal) / (4 * degrees)
        + (5 * normal**5 + 16 * normal**3 + 3 * normal) / (96 * degrees**2)
    )


def _degrees(positives: float, negatives: float) -> float:
    """Welch and Satterthwaite, for placements that spread alike on both sides."""
    whole = (1 / positives + 1 / negatives) ** 2
    return whole / (1 / (positives**2 * (positives - 1)) + 1 / (negatives**2 * (negatives - 1)))
