"""How many of the candidates that a p-value singles out are false discoveries."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import false_discovery_control


def q_values(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Benjamini-Hochberg: [n] p-values to the false discovery rate at which each would be called, [n]."""
    result: NDArray[np.float64] = false_discovery_control(p_values, method="bh")
    return result
