from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from tui_mia.evidence.adjusted import adjusted_auc
from tui_mia.evidence.auc import auc_estimate, placements

Floats = NDArray[np.float64]
LEVELS = arrays(np.float64, 40, elements=st.integers(0, 4).map(float))


@given(scores=LEVELS, propensity=LEVELS, positives=st.integers(1, 39), seed=st.integers(0, 2**32 - 1))
def test_the_order_of_the_rows_changes_nothing(
    scores: Floats, propensity: Floats, positives: int, seed: int
) -> None:
    positive = np.arange(40) < positives
    in_order = adjusted_auc(positive, scores, propensity)
    for order in (np.random.default_rng(seed).permutation(40), np.argsort(scores), np.argsort(propensity)):
        found = adjusted_auc(positive[order], scores[order], propensity[order])
        assert (found.strata, found.overlap) == (in_order.strata, in_order.overlap)
        assert (found.estimate is None) == (in_order.estimate is None)
        if found.estimate is not None and in_order.estimate is not None:
            assert found.estimate.value == pytest.approx(in_order.estimate.value)
            assert found.estimate.low == pytest.approx(in_order.estimate.low, abs=1e-9)


@given(positives=st.integers(1, 39), propensity=LEVELS)
def test_a_constant_score_is_at_one_half(positives: int, propensity: Floats) -> None:
    found = adjusted_auc(np.arange(40) < positives, np.zeros(40), propensity).estimate
    assert found is None or found.value == pytest.approx(0.5)


def test_five_levels_of_equal_size_are_five_strata() -> None:
    rng = np.random.default_rng(0)
    strata, scores = np.tile(np.arange(5.0), 20), rng.normal(size=100)
    positive = rng.random(100) < 0.5
    found = adjusted_auc(positive, scores, strata)
    same = strata[positive][:, None] == strata[~positive][None, :]
    wins = scores[positive][:, None] > scores[~positive][None, :]
    assert found.estimate is not None
    assert found.estimate.value == pytest.approx(wins[same].mean())
    assert found.strata == 5


def test_without_shift_it_is_the_plain_auc_with_the_plain_error() -> None:
    scores, positive = np.random.default_rng(0).normal(size=200), np.arange(200) < 80
    found = adjusted_auc(positive, scores, np.zeros(200))
    plain = auc_estimate(placements(positive, scores))
    assert found.estimate is not None
    assert found.strata == 1
    assert found.overlap == pytest.approx(1.0)
    assert (found.estimate.low, found.estimate.high) == pytest.approx((plain.low, plain.high))


def test_shift_that_the_propensity_captures_is_taken_out_and_the_signal_is_left() -> None:
    rng = np.random.default_rng(0)
    positive = np.arange(20_000) < 10_000
    propensity = rng.normal(1.5 * positive)
    for signal, expected in ((0.0, 0.5), (0.5, 0.64)):
        scores = propensity + rng.normal(signal * positive)
        assert placements(positive, scores).auc > 0.75
        found = adjusted_auc(positive, scores, propensity).estimate
        assert found is not None
        assert found.low < expected < found.high
        assert found.standard_error < 0.01


def test_sides_without_overlap_have_nothing_to_compare() -> None:
    positive = np.arange(100) < 50
    found = adjusted_auc(positive, np.arange(100.0), positive.astype(float))
    assert (found.estimate, found.strata, found.overlap) == (None, 0, 0.0)


def test_a_handful_in_common_has_an_interval_that_says_so() -> None:
    positive = np.arange(100) < 50
    propensity = positive.astype(float)
    propensity[[0, 1, 98, 99]] = 0.5
    found = adjusted_auc(positive, positive.astype(float), propensity)
    assert found.estimate is not None
    assert found.estimate.value == 1.0
    assert found.estimate.low < 0.3
    assert found.overlap < 0.1


def test_copies_of_a_sample_tell_no_more_than_one() -> None:
    rng = np.random.default_rng(0)
    positive, scores, propensity = rng.random(300) < 0.5, rng.normal(size=300), rng.normal(size=300)
    thrice = np.repeat(np.arange(300), 3)
    copied = adjusted_auc(positive[thrice], scores[thrice], propensity[thrice], thrice).estimate
    naive = adjusted_auc(positive[thrice], scores[thrice], propensity[thrice]).estimate
    assert copied is not None
    assert naive is not None
    assert copied.standard_error > 1.6 * naive.standard_error


def test_an_adjusted_auc_needs_both_sides() -> None:
    with pytest.raises(ValueError, match="positives and negatives"):
        adjusted_auc(np.ones(3, dtype=bool), np.arange(3.0), np.arange(3.0))
