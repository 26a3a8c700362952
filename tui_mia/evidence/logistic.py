"""Logistic regression of dense features by Newton's method, for the many small fits of nested folds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve
from scipy.special import expit

MOST_STEPS = 50
_ENOUGH = 1e-5
_Floats = NDArray[np.float64]


def logistic_path(
    features: _Floats, positive: NDArray[np.bool_], strengths: Sequence[float]
) -> Iterator[tuple[_Floats, float]]:
    """Weights [F] and intercept of class-balanced fits to [n, F] features, one a strength; both sides occur.

    As scikit-learn's `LogisticRegression(C=strength, class_weight="balanced")`,
    which spends four times as long on checks as a fit of this size takes. Each
    fit starts from the one before: strengths best rise.
    """
    x = np.column_stack([features, np.ones(len(features))])
    sign = np.where(positive, 1.0, -1.0)
    balance = len(x) / 2 / np.where(positive, positive.sum(), (~positive).sum())
    weights = np.zeros(x.shape[1])
    for strength in strengths:
        penalty = np.full(x.shape[1], 1 / strength)
        penalty[-1] = 1e-9  # the intercept's; not 0, or no step would be left where all are sure
        weights = _minimum(x, sign, balance, penalty, weights)
        yield weights[:-1], float(weights[-1])


def _minimum(x: _Floats, sign: _Floats, balance: _Floats, penalty: _Floats, weights: _Floats) -> _Floats:
    def loss(margin: _Floats, weights: _Floats) -> float:
        return float(balance @ np.logaddexp(0, -margin) + penalty @ weights**2 / 2)

    margin = sign * (x @ weights)
    now = loss(margin, weights)
    for _ in range(MOST_STEPS):
        doubt = expit(-margin)
        gradient = penalty * weights - x.T @ (balance * sign * doubt)
        curvature = (x * (balance * doubt * (1 - doubt))[:, None]).T @ x
        curvature[np.diag_indices_from(curvature)] += penalty
        step = solve(curvature, gradient, assume_a="pos")
        slope = sign * (x @ step)
        # Far from the minimum a whole step may lead uphill.
        for share in 0.5 ** np.arange(12):
            after = loss(margin - share * slope, weights - share * step)
            if after <= now:
                break
        else:
            return weights
        weights, margin = weights - share * step, margin - share * slope
        if now - after <= _ENOUGH * max(1.0, now) * 1e-2:
            return weights
        now = after
    return weights
