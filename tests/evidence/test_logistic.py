from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from tui_mia.evidence.logistic import logistic_path


@pytest.mark.parametrize(("samples", "features"), [(400, 10), (40, 90), (30, 1)])
@pytest.mark.parametrize("signal", [0.0, 1.0, 20.0])
def test_weights_are_those_of_scikit_learn(samples: int, features: int, signal: float) -> None:
    random = np.random.default_rng(0)
    positive = np.arange(samples) % 3 == 0
    x = random.normal(size=(samples, features)) + signal * positive[:, None] * (np.arange(features) < 2)
    strengths = [0.001, 0.1, 10.0]
    for strength, (weights, intercept) in zip(strengths, logistic_path(x, positive, strengths), strict=True):
        model = LogisticRegression(C=strength, class_weight="balanced", tol=1e-10, max_iter=10_000)
        expected = model.fit(x, positive)
        assert weights == pytest.approx(expected.coef_[0], abs=2e-3)
        assert intercept == pytest.approx(expected.intercept_[0], abs=5e-3)


def test_a_feature_that_separates_the_sides_gives_finite_weights() -> None:
    positive = np.arange(20) >= 10
    ((weights, intercept),) = logistic_path(positive[:, None].astype(np.float64), positive, [1e6])
    assert np.isfinite([*weights, intercept]).all()
