from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from tui_mia.attacks import (
    Attack,
    AttackPools,
    Fitted,
    Known,
    Need,
    Outcome,
    Reference,
    control_rows,
    make_attacks,
    make_stability_attacks,
    negative_control,
    run_attacks,
)
from tui_mia.attacks.csa import csa
from tui_mia.attacks.scoring import folds_of
from tui_mia.embedded import Block, Pool
from tui_mia.spec import AeaSpec, AttacksSpec, CsaSpec, LossSpec, WsaSpec

MakePool = Callable[..., Pool]
ALL = AttacksSpec(csa=CsaSpec(), aea=AeaSpec(), wsa=WsaSpec(seeds=1), loss=LossSpec())


def control(attacks: Sequence[Attack], pools: AttackPools, reference: Reference | None = None) -> Outcome:
    return negative_control(attacks, pools, 50.0, 0, reference=reference)


def mean_placement(placements: NDArray[np.float64] | None) -> float:
    assert placements is not None
    return float(placements.mean())


@pytest.mark.parametrize("with_general_pool", [True, False])
def test_attacks_that_find_members_among_the_candidates_find_none_among_known_nonmembers(
    make_pool: MakePool, with_general_pool: bool
) -> None:
    candidates, nonmembers = make_pool(1, 600, members=300, shift=0.3), make_pool(2, 400)
    general = make_pool(3, 600, members=300, shift=0.3) if with_general_pool else None
    pools = AttackPools(candidates, nonmembers, general, None)
    found = control(make_attacks(ALL), pools)
    assert not found.failed
    assert not found.skipped
    assert len(found.scores) == 7
    # Four deviations of an AUC of 200 against 200 without signal.
    noise = 4 * np.sqrt(401 / (12 * 200 * 200))
    for scores in found.scores:
        assert abs(mean_placement(scores.placements) - 0.5) < noise, scores.attack
    # The classifier learns next to nothing from these embeddings.
    real = run_attacks([attack for attack in make_attacks(ALL) if "wsa" not in attack.name], pools, 50.0, 0)
    assert min(mean_placement(scores.placements) for scores in real.scores) > 0.5 + noise


def test_each_known_nonmember_is_on_one_side_with_all_captions_of_its_image(
    pool_of: Callable[..., Pool], make_pool: MakePool
) -> None:
    pairs = make_pool(2, 1000)
    images = np.repeat(np.random.default_rng(0).integers(0, 2**63, 200, dtype=np.uint64), 5)
    pool = pool_of(pairs.take(np.arange(1000)), pairs.keys, images)
    one, other = control_rows(pool)
    assert sorted([*one.tolist(), *other.tolist()]) == list(range(1000))
    assert not set(images[one].tolist()) & set(images[other].tolist())
    assert min(len(one), len(other)) > 400
    (scores,) = control(csa(), AttackPools(make_pool(1, 10), pool, None, None)).scores
    np.testing.assert_array_equal(scores.candidates, pool.similarities[one, 0].astype(np.float64))
    assert scores.nonmembers is not None
    np.testing.assert_array_equal(scores.nonmembers, pool.similarities[other, 0].astype(np.float64))


def test_the_halves_have_samples_of_every_fold(make_pool: MakePool) -> None:
    pool = make_pool(2, 2000)
    for rows in control_rows(pool):
        assert np.bincount(folds_of(pool)[rows], minlength=5).min() > 150


@dataclass(frozen=True)
class Spy:
    """Notes what it is fitted to, and that it scores none of it."""

    name: str = "spy"
    needs: frozenset[Need] = frozenset({"nonmembers", "general"})
    fits: list[Known] = field(default_factory=list)

    def fit(self, known: Known) -> Fitted:
        self.fits.append(known)
        assert known.nonmembers is not None
        seen = known.nonmembers.similarities[:, 0]

        def score(block: Block) -> NDArray[np.float64]:
            assert not np.isin(block.similarities[:, 0], seen).any()
            return block.similarities[:, 0].astype(np.float64)

        return Fitted(score)


def test_the_control_has_the_general_pool_and_the_bank_of_the_audit(make_pool: MakePool) -> None:
    spy, general, bank = Spy(), make_pool(3, 50), make_pool(4, 50)
    control([spy], AttackPools(make_pool(1, 50), make_pool(2, 100), general, bank))
    assert len(spy.fits) == 5
    assert all(known.general is general and known.bank is bank for known in spy.fits)


def test_without_a_general_pool_the_candidates_are_the_control_s(make_pool: MakePool) -> None:
    spy, candidates = Spy(), make_pool(1, 50)
    control([spy], AttackPools(candidates, make_pool(2, 100), None, None))
    assert len(spy.fits) == 5
    assert all(known.general is candidates for known in spy.fits)


def test_a_reference_is_controlled_with_the_same_halves(
    make_pool: MakePool, pool_of: Callable[..., Pool]
) -> None:
    candidates, nonmembers = make_pool(1, 50), make_pool(2, 300)
    seen = pool_of(make_pool(5, 300).take(np.arange(300)), nonmembers.keys)
    beside = Reference(AttackPools(candidates, seen, None, None), 50.0)
    found = control(csa(), AttackPools(candidates, nonmembers, None, None), beside)
    assert [scores.attack for scores in found.scores] == ["csa", "csa_calibrated"]
    one, other = control_rows(nonmembers)
    target, reference = (pool.similarities[:, 0].astype(np.float64) for pool in (nonmembers, seen))
    difference = target[one] / target[other].std() - reference[one] / reference[other].std()
    assert np.corrcoef(found.scores[1].candidates, difference)[0, 1] > 0.999
    assert abs(mean_placement(found.scores[1].placements) - 0.5) < 0.13


@pytest.mark.parametrize("size", [None, 0, 1])
def test_without_two_halves_of_known_nonmembers_nothing_runs(make_pool: MakePool, size: int | None) -> None:
    nonmembers = None if size is None else make_pool(2, size)
    assert control(make_attacks(ALL), AttackPools(make_pool(1, 50), nonmembers, None, None)) == Outcome()


def test_an_attack_that_half_the_known_nonmembers_are_too_few_for_costs_the_others_nothing(
    make_pool: MakePool,
) -> None:
    found = control(make_attacks(ALL), AttackPools(make_pool(1, 50), make_pool(2, 40), None, None))
    assert set(found.failed) == {"wsa", "wsa_rich"}
    assert [scores.attack for scores in found.scores] == [
        *("csa", "aea", "aea_standardised", "aea_mean", "loss")
    ]


def test_another_seed_and_one_classifier_a_fold_score_about_the_same(make_pool: MakePool) -> None:
    spec = AttacksSpec(csa=CsaSpec(), wsa=WsaSpec(seeds=3))
    pools = AttackPools(
        make_pool(1, 200, members=100), make_pool(2, 80), make_pool(3, 200, members=100), None
    )
    audited = {scores.attack: scores for scores in run_attacks(make_attacks(spec), pools, 50.0, 0).scores}
    again = run_attacks(make_stability_attacks(spec), pools, 50.0, 1).scores
    assert [scores.attack for scores in again] == ["wsa", "wsa_rich"]
    for scores in again:
        before = audited[scores.attack].candidates
        assert not np.array_equal(scores.candidates, before)
        assert np.corrcoef(scores.candidates, before)[0, 1] > 0.5
    assert make_stability_attacks(AttacksSpec(csa=CsaSpec())) == []
