from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta

from tui_mia.evidence.operating import operating_points

MEMBER = np.repeat([True, False], [20, 40])


def test_candidates_at_or_below_the_level_are_called() -> None:
    p_values = np.concatenate([np.full(5, 0.1), np.full(15, 0.2), np.full(2, 0.05), np.full(38, 0.9)])
    found = operating_points(MEMBER, p_values, [0.1], 100)[0.1]
    assert found is not None
    assert (found.tpr, found.fpr) == (0.25, 0.05)
    # Clopper and Pearson, from the Beta distribution.
    assert (found.tpr_low, found.tpr_high) == pytest.approx((beta.ppf(0.025, 5, 16), beta.ppf(0.975, 6, 15)))
    assert (found.fpr_low, found.fpr_high) == pytest.approx((beta.ppf(0.025, 2, 39), beta.ppf(0.975, 3, 38)))


def test_a_p_value_of_exactly_the_level_counts_however_it_was_rounded() -> None:
    found = operating_points(MEMBER, np.full(60, 0.1 + 1e-17 + 2e-17), [0.1], 100)[0.1]
    assert found is not None
    assert found.tpr == found.tpr_high == 1.0


def test_levels_that_no_p_value_can_reach_have_no_point() -> None:
    p_values = np.linspace(0.01, 1, 60)
    assert operating_points(MEMBER, p_values, [0.1, 0.01], 98)[0.01] is None
    assert operating_points(MEMBER, p_values, [0.1, 0.01], 99)[0.01] is not None
    assert operating_points(MEMBER, p_values, [0.1], 9)[0.1] is not None


def test_one_label_alone_has_no_point() -> None:
    assert operating_points(np.ones(5, dtype=bool), np.full(5, 0.5), [0.1], 100) == {0.1: None}


def test_near_duplicates_widen_the_intervals_as_fewer_samples_would() -> None:
    p_values = np.concatenate([np.full(5, 0.1), np.full(15, 0.2), np.full(2, 0.05), np.full(38, 0.9)])
    alone = operating_points(MEMBER, p_values, [0.1], 100)[0.1]
    tripled = operating_points(np.repeat(MEMBER, 3), np.repeat(p_values, 3), [0.1], 100, (20.0, 40.0))[0.1]
    assert alone is not None
    assert tripled is not None
    assert vars(tripled) == pytest.approx(vars(alone))
