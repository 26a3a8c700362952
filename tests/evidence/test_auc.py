from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.stats import brunnermunzel
from sklearn.metrics import roc_auc_score

from tui_mia.evidence.auc import Estimate, Placements, auc_difference, auc_estimate, placements
from tui_mia.evidence.laws import Student, StudentOfLogit

Floats = NDArray[np.float64]
FIVE_LEVELS = arrays(np.float64, 40, elements=st.integers(0, 4).map(float))


def sides(positives: int, negatives: int) -> NDArray[np.bool_]:
    return np.repeat([True, False], [positives, negatives])


def normal_scores(seed: int, positives: int = 40, negatives: int = 60, shift: float = 0.8) -> Floats:
    return np.random.default_rng(seed).normal(shift * sides(positives, negatives))


def numbers(estimate: Estimate) -> tuple[float, float, float, float]:
    return estimate.value, estimate.standard_error, estimate.low, estimate.high


@given(scores=FIVE_LEVELS, positives=st.integers(1, 39))
def test_placements_are_shares_of_the_other_side_with_ties_at_half(scores: Floats, positives: int) -> None:
    ahead = scores[:positives, None] - scores[None, positives:]
    wins = (ahead > 0) + 0.5 * (ahead == 0)
    found = placements(sides(positives, 40 - positives), scores)
    assert found.positives == pytest.approx(wins.mean(axis=1))
    assert found.negatives == pytest.approx(wins.mean(axis=0))


@given(scores=FIVE_LEVELS, positives=st.integers(1, 39))
def test_the_auc_is_that_of_scikit_learn_and_the_same_from_either_side(
    scores: Floats, positives: int
) -> None:
    positive = sides(positives, 40 - positives)
    found = placements(positive, scores)
    assert found.auc == pytest.approx(roc_auc_score(positive, scores), abs=1e-12)
    assert found.negatives.mean() == pytest.approx(found.auc, abs=1e-12)


@given(scores=FIVE_LEVELS, positives=st.integers(1, 39), seed=st.integers(0, 2**32 - 1))
def test_the_order_of_the_rows_changes_nothing(scores: Floats, positives: int, seed: int) -> None:
    positive = sides(positives, 40 - positives)
    in_order = numbers(auc_estimate(placements(positive, scores)))
    for order in (np.random.default_rng(seed).permutation(40), np.argsort(scores), np.argsort(-scores)):
        found = numbers(auc_estimate(placements(positive[order], scores[order])))
        assert found == pytest.approx(in_order, abs=1e-9)


@given(positives=st.integers(1, 60), negatives=st.integers(1, 60), seed=st.integers(0, 2**32 - 1))
def test_a_constant_score_has_an_auc_of_exactly_one_half_and_an_interval_around_it(
    positives: int, negatives: int, seed: int
) -> None:
    order = np.random.default_rng(seed).permutation(positives + negatives)
    found = auc_estimate(placements(sides(positives, negatives)[order], np.full(len(order), 3.0)))
    assert found.value == 0.5
    assert 0 < found.low < 0.5 < found.high < 1
    assert found.p_above(0.5) == 1.0


def test_variance_and_degrees_of_freedom_are_those_of_brunner_and_munzel() -> None:
    scores, positive = normal_scores(1), sides(40, 60)
    law = auc_estimate(placements(positive, scores)).law
    assert isinstance(law, StudentOfLogit)
    on_shares = Student(law.value, law.standard_error, law.degrees)
    expected = brunnermunzel(scores[~positive], scores[positive], alternative="less").pvalue
    assert on_shares.p_above(0.5) == pytest.approx(expected)


@given(seed=st.integers(0, 1000), positives=st.integers(1, 30), threshold=st.floats(0.05, 0.95))
def test_the_p_value_is_below_the_level_just_where_the_interval_is_above(
    seed: int, positives: int, threshold: float
) -> None:
    found = auc_estimate(placements(sides(positives, 25), normal_scores(seed, positives, 25)))
    assert (found.p_above(threshold) < 0.025) == (found.low > threshold)
    assert (found.p_below(threshold) < 0.025) == (found.high < threshold)
    assert 0 <= found.low <= found.value <= found.high <= 1


@pytest.mark.parametrize(("samples", "low"), [(1, 0.025), (15, 0.025 ** (1 / 15)), (400, 0.025 ** (1 / 400))])
def test_perfect_separation_is_not_certainty(samples: int, low: float) -> None:
    positive = sides(samples, samples)
    best = auc_estimate(placements(positive, positive.astype(float)))
    worst = auc_estimate(placements(positive, -positive.astype(float)))
    assert (best.value, best.high) == (1.0, 1.0)
    assert (worst.value, worst.low) == (0.0, 0.0)
    assert (best.low, 1 - worst.high) == pytest.approx((low, low))
    assert best.p_above(low) == pytest.approx(0.025)
    assert best.p_above(0.5) == pytest.approx(0.5**samples)


def test_a_single_sample_on_a_side_says_next_to_nothing() -> None:
    found = auc_estimate(placements(sides(1, 1000), np.arange(1001.0)[::-1]))
    assert found.value == 1.0
    assert found.low == pytest.approx(0.025)


def test_a_lone_positive_amid_the_negatives_has_an_interval_of_almost_everything() -> None:
    scores = np.concatenate([[50.5], np.arange(100.0)])
    found = auc_estimate(placements(sides(1, 100), scores))
    assert found.low < 0.01
    assert found.high > 0.99


def test_an_auc_needs_both_sides() -> None:
    with pytest.raises(ValueError, match="positives and negatives"):
        placements(sides(3, 0), np.arange(3.0))


def test_a_difference_of_the_same_scores_is_zero_and_not_certain() -> None:
    found = placements(sides(40, 60), normal_scores(1))
    same = auc_difference(found, found)
    assert (same.value, same.p_above(0.0)) == (0.0, 1.0)
    assert same.low < 0 < same.high


def test_a_difference_is_paired() -> None:
    positive, scores = sides(40, 60), normal_scores(1)
    first = placements(positive, scores)
    close = placements(positive, scores + np.random.default_rng(2).normal(0, 0.1, 100))
    other = placements(positive, normal_scores(3))
    assert auc_difference(first, close).standard_error < 0.3 * auc_difference(first, other).standard_error
    turned = auc_difference(other, first)
    assert auc_difference(first, other).low == pytest.approx(-turned.high)


def test_a_difference_of_other_samples_is_refused() -> None:
    first, second = (placements(sides(40, n), normal_scores(1, 40, n)) for n in (60, 61))
    with pytest.raises(ValueError, match="same samples"):
        auc_difference(first, second)


def test_samples_that_are_all_alone_are_as_good_as_no_clusters() -> None:
    found = placements(sides(40, 60), normal_scores(1))
    alone = auc_estimate(found, (np.arange(40), np.arange(40, 100)))
    assert numbers(alone) == pytest.approx(numbers(auc_estimate(found)))


def test_three_copies_of_each_sample_tell_as_much_as_one() -> None:
    positive, scores = sides(40, 60), normal_scores(1)
    tripled = placements(np.repeat(positive, 3), np.repeat(scores, 3))
    groups = np.repeat(np.arange(100), 3)
    clustered = auc_estimate(tripled, (groups[:120], groups[120:]))
    assert numbers(clustered) == pytest.approx(numbers(auc_estimate(placements(positive, scores))))
    assert auc_estimate(tripled).high < clustered.high


def test_twins_on_both_sides_cancel() -> None:
    scores = normal_scores(1, 50, 50, 0.0)
    both = np.concatenate([scores, scores])
    found = placements(sides(100, 100), both)
    twins = auc_estimate(found, (np.arange(100), np.arange(100)))
    assert twins.value == pytest.approx(0.5)
    assert twins.standard_error < 0.1 * auc_estimate(found).standard_error


def test_a_million_samples_with_clusters_have_the_interval_of_theory() -> None:
    rng = np.random.default_rng(0)
    positive = rng.random(1_000_000) < 0.4
    found = placements(positive, rng.normal(size=1_000_000))
    groups = np.arange(1_000_000)
    estimate = auc_estimate(found, (groups[positive], groups[~positive]))
    assert estimate.standard_error == pytest.approx((1e6 / (12 * 4e5 * 6e5)) ** 0.5, rel=0.01)


def test_placements_of_folds_make_an_estimate_too() -> None:
    found = Placements(np.linspace(0.2, 1, 30), np.linspace(0.3, 0.9, 50))
    assert auc_estimate(found).value == pytest.approx(0.6)
