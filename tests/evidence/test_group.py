from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import betabinom

from tui_mia.evidence.auc import placements
from tui_mia.evidence.discovery import q_values
from tui_mia.evidence.group import GroupEvidence, group_evidence, member_share_low

Floats = NDArray[np.float64]


def conformal(candidates: Floats, nonmembers: Floats) -> Floats:
    higher = len(nonmembers) - np.searchsorted(np.sort(nonmembers), candidates, side="left")
    found: Floats = (1 + higher) / (len(nonmembers) + 1)
    return found


def evidence(candidates: Floats, nonmembers: Floats, copies: int = 1) -> GroupEvidence:
    groups = np.repeat(np.arange(len(candidates) + len(nonmembers)), copies)
    count = copies * len(candidates)
    candidates, nonmembers = np.repeat(candidates, copies), np.repeat(nonmembers, copies)
    p_values = conformal(candidates, nonmembers)
    positive = np.arange(len(groups)) < count
    found = placements(positive, np.concatenate([candidates, nonmembers]))
    clusters = (groups[:count], groups[count:]) if copies > 1 else None
    return group_evidence(found, p_values, q_values(p_values), len(nonmembers), clusters)


def test_a_group_with_members_is_seen_as_one() -> None:
    rng = np.random.default_rng(0)
    found = evidence(rng.normal(3.5 * (np.arange(500) < 200)), rng.normal(size=500))
    assert found.auc.low > 0.6
    assert found.p_value < 1e-6
    assert 0.25 < found.member_share_low < 0.4
    assert 100 < found.survivors[0.05] <= found.survivors[0.1] < 300


def test_a_group_like_the_known_nonmembers_has_no_share_and_no_survivors() -> None:
    rng = np.random.default_rng(1)
    found = evidence(rng.normal(size=500), rng.normal(size=500))
    assert found.auc.low < 0.5 < found.auc.high
    assert (found.member_share_low, found.survivors) == (0.0, {0.05: 0, 0.1: 0})


def test_copies_of_the_samples_do_not_raise_the_bound() -> None:
    rng = np.random.default_rng(2)
    candidates, nonmembers = rng.normal(3 * (np.arange(100) < 30)), rng.normal(size=100)
    once, thrice = evidence(candidates, nonmembers), evidence(candidates, nonmembers, copies=3)
    assert thrice.member_share_low == pytest.approx(once.member_share_low, abs=0.02)
    assert thrice.auc.low == pytest.approx(once.auc.low)


def test_the_bound_is_above_nothing_just_where_an_exact_test_says_so() -> None:
    # One level can be reached by 1 to 3 known non-members: 0.5; the number called is beta-binomial.
    candidates = 10
    for called in range(candidates + 1):
        p_values = np.where(np.arange(candidates) < called, 0.5, 1.0)
        chance = betabinom.sf(called - 1, candidates, 1, 1)
        assert (member_share_low(p_values, candidates, 1, level=0.8) > 0) == (chance < 0.2 - 1e-3)


@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 2**32 - 1))
def test_the_bound_is_a_share_and_no_more_than_those_called(
    candidates: int, nonmembers: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    p_values = conformal(rng.normal(2, 1, candidates), rng.normal(size=nonmembers))
    bound = member_share_low(p_values, candidates, nonmembers)
    assert 0 <= bound <= (p_values <= 0.5).mean()


def test_without_candidates_or_known_nonmembers_nothing_is_claimed() -> None:
    assert member_share_low(np.full(5, 1.0), 5, 0) == 0.0
    assert member_share_low(np.empty(0), 0, 100) == 0.0
