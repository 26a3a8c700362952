from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from tui_mia.evidence import FPR_POINTS, Figures, figures

Labels = NDArray[np.bool_]
Floats = NDArray[np.float64]
LEVELS = 5


def found(member: Labels, scores: Floats) -> Figures:
    result = figures(member, scores)
    assert result is not None
    return result


def labels(members: int, nonmembers: int) -> Labels:
    return np.repeat([True, False], [members, nonmembers])


def accuracy_at(threshold: float, member: Labels, scores: Floats) -> float:
    return float(((scores[member] >= threshold).mean() + (scores[~member] < threshold).mean()) / 2)


@given(
    per_level=st.integers(1, 20),
    ratio=st.integers(1, 4),
    levels=st.sampled_from([1, LEVELS]),
    seed=st.integers(0, 2**32 - 1),
)
def test_scores_of_one_or_five_levels_that_say_nothing_have_an_auc_of_one_half_in_any_row_order(
    per_level: int, ratio: int, levels: int, seed: int
) -> None:
    scores = np.concatenate(
        [np.tile(np.arange(levels), per_level), np.tile(np.arange(levels), ratio * per_level)]
    )
    member = labels(levels * per_level, levels * ratio * per_level)
    order = np.random.default_rng(seed).permutation(len(member))
    assert found(member[order], scores[order].astype(float)).auc == pytest.approx(0.5, abs=1e-12)


@given(
    scores=arrays(np.float64, 40, elements=st.sampled_from([0.0, 0.1, 0.2, 0.7])),
    members=st.integers(1, 39),
    seed=st.integers(0, 2**32 - 1),
)
def test_figures_are_the_same_to_the_last_bit_in_any_row_order(
    scores: Floats, members: int, seed: int
) -> None:
    member = labels(members, 40 - members)
    order = np.random.default_rng(seed).permutation(40)
    assert found(member[order], scores[order]) == found(member, scores)


@given(scores=arrays(np.float64, 30, elements=st.integers(-3, 3).map(float)), members=st.integers(1, 29))
def test_the_auc_is_the_chance_that_a_member_is_above_a_nonmember_with_ties_at_half(
    scores: Floats, members: int
) -> None:
    ahead = scores[:members, None] - scores[None, members:]
    by_hand = np.mean((ahead > 0) + 0.5 * (ahead == 0))
    assert found(labels(members, 30 - members), scores).auc == pytest.approx(by_hand, abs=1e-12)


@given(scores=arrays(np.float64, 30, elements=st.floats(-1, 1)), members=st.integers(1, 29))
def test_the_balanced_accuracy_is_the_best_over_all_thresholds(scores: Floats, members: int) -> None:
    member = labels(members, 30 - members)
    by_hand = max(accuracy_at(threshold, member, scores) for threshold in [*scores, np.inf])
    assert found(member, scores).balanced_accuracy == pytest.approx(by_hand)


@settings(max_examples=40)
@given(scores=arrays(np.float64, 250, elements=st.integers(0, 60).map(float)), members=st.integers(50, 150))
def test_the_true_positive_rate_is_the_highest_that_keeps_the_false_positive_rate_at_or_below_the_point(
    scores: Floats, members: int
) -> None:
    member = labels(members, 250 - members)
    thresholds = [*np.unique(scores), np.inf]
    allowed = [t for t in thresholds if (scores[~member] >= t).sum() * 10 <= (~member).sum()]
    by_hand = max((scores[member] >= threshold).mean() for threshold in allowed)
    assert found(member, scores).tpr_at_fpr[0.1] == pytest.approx(by_hand)


def test_a_tie_that_would_exceed_the_false_positive_rate_is_left_out_as_a_whole() -> None:
    member = labels(4, 100)
    scores = np.concatenate([[9.0, 9.0, 5.0, 5.0], np.full(11, 5.0), np.zeros(89)])
    assert found(member, scores).tpr_at_fpr[0.1] == 0.5
    scores[4] = 0.0
    assert found(member, scores).tpr_at_fpr[0.1] == 1.0


@pytest.mark.parametrize("nonmembers", [300, 700, 1100])
def test_exactly_the_allowed_number_of_false_positives_is_allowed(nonmembers: int) -> None:
    false_positives = nonmembers // 10
    scores = np.concatenate([[5.0], np.full(false_positives, 5.0), np.zeros(nonmembers - false_positives)])
    assert found(labels(1, nonmembers), scores).tpr_at_fpr[0.1] == 1.0


def test_points_at_which_fewer_than_ten_false_positives_are_expected_have_no_figure() -> None:
    resolved = {
        nonmembers: [
            point
            for point, tpr in found(labels(5, nonmembers), np.arange(5.0 + nonmembers)).tpr_at_fpr.items()
            if tpr is not None
        ]
        for nonmembers in (99, 100, 999, 1000, 9999, 10_000)
    }
    assert resolved == {
        99: [],
        100: [0.1],
        999: [0.1],
        1000: [0.1, 0.01],
        9999: [0.1, 0.01],
        10_000: list(FPR_POINTS),
    }


def test_a_perfect_and_a_perfectly_wrong_score_are_at_the_ends() -> None:
    member = labels(50, 100)
    best, worst = found(member, member.astype(float)), found(member, -member.astype(float))
    assert (best.auc, best.balanced_accuracy, best.tpr_at_fpr[0.1]) == (1.0, 1.0, 1.0)
    assert (worst.auc, worst.balanced_accuracy, worst.tpr_at_fpr[0.1]) == (0.0, 0.5, 0.0)
    assert (best.members, best.nonmembers) == (50, 100)


@pytest.mark.parametrize(("members", "nonmembers"), [(3, 0), (0, 3), (0, 0)])
def test_there_are_no_figures_unless_both_labels_occur(members: int, nonmembers: int) -> None:
    assert figures(labels(members, nonmembers), np.arange(float(members + nonmembers))) is None


def test_the_interval_of_a_true_positive_rate_is_there_where_the_rate_is_and_contains_it() -> None:
    rng = np.random.default_rng(0)
    for shift in (0.0, 1.0, 3.0, 9.0):
        result = found(labels(500, 1000), rng.normal(shift * labels(500, 1000)))
        for point, interval in result.tpr_intervals.items():
            tpr = result.tpr_at_fpr[point]
            assert (tpr is None) == (interval is None)
            if tpr is not None and interval is not None:
                assert 0 <= interval[0] <= tpr <= interval[1] <= 1
                assert interval[0] < interval[1]


def test_the_interval_resamples_threshold_and_members_as_a_bootstrap_does() -> None:
    rng = np.random.default_rng(1)
    member, scores = labels(400, 1000), rng.normal(labels(400, 1000))
    rates = []
    for _ in range(2000):
        members, others = rng.choice(scores[:400], 400), rng.choice(scores[400:], 1000)
        rates.append((members > np.sort(others)[-101]).mean())
    interval = found(member, scores).tpr_intervals[0.1]
    assert interval == pytest.approx(np.quantile(rates, [0.025, 0.975]), abs=0.02)


def test_a_threshold_amid_a_tie_may_fall_to_either_side_of_it() -> None:
    # 95 of 1,000 non-members share the highest level with every second member: in another draw it may be 105.
    scores = np.concatenate([np.repeat([1.0, 0.0], 50), np.repeat([1.0, 0.0], [95, 905])])
    interval = found(labels(100, 1000), scores).tpr_intervals[0.1]
    assert interval is not None
    assert interval[0] < 0.1
    assert 0.5 < interval[1] < 0.7


def test_near_duplicates_widen_the_intervals_as_fewer_samples_would() -> None:
    random = np.random.default_rng(0)
    member = labels(300, 300)
    scores = random.normal(member * 1.0)
    alone = found(member, scores)
    tripled = figures(np.repeat(member, 3), np.repeat(scores, 3), (300.0, 300.0))
    assert tripled is not None
    assert tripled.tpr_at_fpr[0.1] == alone.tpr_at_fpr[0.1]
    assert tripled.tpr_intervals[0.1] == pytest.approx(alone.tpr_intervals[0.1], abs=1e-9)
    taken_for_more = found(np.repeat(member, 3), np.repeat(scores, 3)).tpr_intervals[0.1]
    assert taken_for_more is not None
    assert alone.tpr_intervals[0.1] is not None
    assert taken_for_more[0] > alone.tpr_intervals[0.1][0]
