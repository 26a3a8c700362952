"""P-values of many tests at once: false discoveries among candidates, a false alarm among attacks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import false_discovery_control


def q_values(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Benjamini-Hochberg: [n] p-values to the false discovery rate at which each would be called, [n]."""
    result: NDArray[np.float64] = false_discovery_control(p_values, method="bh")
    return result


def holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Holm (1979): [n] p-values, adjusted so that the chance of any false alarm stays at the level, [n]."""
    order = np.argsort(p_values, kind="stable")
    steps = (len(p_values) - np.arange(len(p_values))) * p_values[order]
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted
