from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tui_mia.attacks import AttackPools, make_attacks, run_attacks
from tui_mia.attacks.csa import csa
from tui_mia.attacks.placing import Placing, RawScores, finish
from tui_mia.embedded import Pool
from tui_mia.scored import AttackScores
from tui_mia.spec import AttacksSpec, CsaSpec, LossSpec, WsaSpec

Floats = NDArray[np.float64]
FOLDS = 5


def beats(score: float, other: float) -> float:
    """1 for a win, 1/2 for a tie, 0 for a loss."""
    return float(np.sign(score - other) + 1) / 2


def by_definition(raw: RawScores, folds: NDArray[np.int64]) -> tuple[Floats, Floats, Floats]:
    """p-values, placements and known non-members' placements, pair by pair."""
    n, m = len(raw.group_of), len(folds)
    wins, at_least = np.empty((n, m)), np.empty((n, m))
    for row, group in enumerate(raw.group_of):
        for known, fold in enumerate(folds):
            own, other = raw.candidates[fold, row], raw.nonmembers[group, known]
            wins[row, known], at_least[row, known] = beats(own, other), other >= own
    return (1 + at_least.sum(axis=1)) / (1 + m), wins.mean(axis=1), (1 - wins).mean(axis=0)


@st.composite
def raw_scores(draw: st.DrawFn) -> tuple[RawScores, NDArray[np.int64]]:
    """Scores of few levels, so that many tie, of one group of fits or two; folds may be empty."""
    n, m, groups = draw(st.integers(1, 15)), draw(st.integers(1, 15)), draw(st.integers(1, 2))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    levels = draw(st.integers(1, 6))
    raw = RawScores(
        "drawn",
        random.integers(groups, size=n),
        random.integers(levels, size=(FOLDS, n)).astype(np.float64),
        random.integers(levels, size=(groups, m)).astype(np.float64),
        {},
    )
    return raw, random.integers(FOLDS, size=m)


@given(drawn=raw_scores())
def test_p_values_and_placements_are_what_their_definitions_say(
    drawn: tuple[RawScores, NDArray[np.int64]],
) -> None:
    raw, folds = drawn
    scores = finish(raw, folds)
    assert scores.p_values is not None
    for found, expected in zip(
        (scores.p_values, *placements(scores)), by_definition(raw, folds), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def placements(scores: AttackScores) -> tuple[Floats, Floats]:
    assert scores.placements is not None
    assert scores.nonmember_placements is not None
    return scores.placements, scores.nonmember_placements


@pytest.mark.parametrize("with_general_pool", [True, False])
def test_both_sides_count_the_same_pairs_whichever_attack_scored_them(
    make_pool: Callable[..., Pool], with_general_pool: bool
) -> None:
    attacks = make_attacks(AttacksSpec(csa=CsaSpec(), wsa=WsaSpec(seeds=1), loss=LossSpec()))
    general = make_pool(3, 150, members=75) if with_general_pool else None
    pools = AttackPools(make_pool(1, 200, members=100), make_pool(2, 60), general, None)
    outcome = run_attacks(attacks, pools, 50.0, 0)
    assert len(outcome.scores) == 4
    for scores in outcome.scores:
        of_candidates, of_nonmembers = placements(scores)
        assert of_candidates.mean() == pytest.approx(1 - of_nonmembers.mean(), abs=1e-12)
        assert of_candidates[:100].mean() > of_candidates[100:].mean()


def test_where_every_score_ties_every_placement_is_one_half(
    pool_of_cosines: Callable[..., Pool],
) -> None:
    pools = AttackPools(
        pool_of_cosines(np.full(30, 0.5)), pool_of_cosines(np.full(20, 0.5), 1000), None, None
    )
    (scores,) = run_attacks(csa(), pools, 50.0, 0).scores
    for side in placements(scores):
        assert (side == 0.5).all()


def test_without_known_nonmembers_there_is_nothing_to_be_placed_among(
    make_pool: Callable[..., Pool],
) -> None:
    (scores,) = run_attacks(csa(), AttackPools(make_pool(1, 30), None, None, None), 50.0, 0).scores
    assert scores.placements is None
    assert scores.nonmember_placements is None
    assert scores.p_values is None


@given(drawn=raw_scores(), size=st.integers(1, 4))
def test_in_blocks_it_comes_to_the_same_bits(drawn: tuple[RawScores, NDArray[np.int64]], size: int) -> None:
    raw, folds = drawn
    fits, candidates = raw.candidates.shape
    placing = Placing(raw.attack, fits, candidates, raw.nonmembers, folds)
    for start in range(0, candidates, size):
        rows = slice(start, start + size)
        placing.add(rows, raw.group_of[rows], raw.candidates[:, rows])
    found, whole = placing.finish({}), finish(raw, folds)
    for name in ("candidates", "p_values", "nonmembers", "placements", "nonmember_placements"):
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))
