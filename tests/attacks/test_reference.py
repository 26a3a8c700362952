"""The attacks on a reference model beside the target, and the calibrated attacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from tui_mia.attacks import (
    Attack,
    AttackError,
    AttackPools,
    Fitted,
    Known,
    Need,
    Outcome,
    Reference,
    make_attacks,
    run_attacks,
    scoring,
)
from tui_mia.attacks.attack import FittedTogether
from tui_mia.attacks.csa import csa
from tui_mia.embedded import Block, Pool, Subset
from tui_mia.scored import CALIBRATED, AttackScores
from tui_mia.spec import AttacksSpec, CsaSpec, LossSpec, WsaSpec

MakePool = Callable[..., Pool]
Floats = NDArray[np.float64]
ALL = AttacksSpec(csa=CsaSpec(), wsa=WsaSpec(seeds=1), loss=LossSpec())


@pytest.fixture(scope="session")
def as_seen_by(pool_of: Callable[..., Pool], make_pool: MakePool) -> Callable[[Pool, int], Pool]:
    """The same samples as another model sees them: unrelated embeddings of another dimension."""

    def as_seen_by(pool: Pool, seed: int) -> Pool:
        other = make_pool(seed, len(pool), dimension=12)
        return pool_of(other.take(np.arange(len(pool))), pool.keys)

    return as_seen_by


@pytest.fixture(scope="session")
def pools(make_pool: MakePool) -> AttackPools:
    return AttackPools(make_pool(1, 200, members=100), make_pool(2, 80), make_pool(3, 200, members=100), None)


@pytest.fixture(scope="session")
def reference(pools: AttackPools, as_seen_by: Callable[[Pool, int], Pool]) -> Reference:
    assert pools.nonmembers is not None
    assert pools.general is not None
    candidates, nonmembers, general = (
        as_seen_by(pool, seed)
        for seed, pool in enumerate((pools.candidates, pools.nonmembers, pools.general))
    )
    return Reference(AttackPools(candidates, nonmembers, general, None), 20.0)


def run(attacks: Sequence[Attack], pools: AttackPools, reference: Reference | None) -> Outcome:
    return run_attacks(attacks, pools, 50.0, 0, reference=reference)


@pytest.fixture(scope="session")
def outcome(pools: AttackPools, reference: Reference) -> Outcome:
    return run(make_attacks(ALL), pools, reference)


def by_name(scores: Sequence[AttackScores]) -> dict[str, AttackScores]:
    return {each.attack: each for each in scores}


def floats(values: Floats | None) -> Floats:
    assert values is not None
    return values


def assert_same(one: AttackScores, other: AttackScores) -> None:
    assert one.attack == other.attack
    np.testing.assert_array_equal(one.candidates, other.candidates)
    np.testing.assert_array_equal(floats(one.p_values), floats(other.p_values))
    np.testing.assert_array_equal(floats(one.nonmembers), floats(other.nonmembers))
    assert one.facts == other.facts


def test_the_calibrated_attacks_come_after_the_others_where_there_is_a_reference(
    pools: AttackPools, outcome: Outcome
) -> None:
    names = ["csa", "wsa", "wsa_rich", "loss"]
    assert [scores.attack for scores in outcome.scores] == [*names, "csa_calibrated", "loss_calibrated"]
    assert [scores.attack for scores in outcome.reference] == names
    alone = run(csa(), pools, None)
    assert [scores.attack for scores in alone.scores] == ["csa"]
    assert (alone.reference, alone.reference_failed) == ([], {})


def test_a_calibrated_attack_needs_the_attack_that_it_calibrates(
    pools: AttackPools, reference: Reference
) -> None:
    found = run(make_attacks(AttacksSpec(csa=CsaSpec())), pools, reference)
    assert [scores.attack for scores in found.scores] == ["csa", "csa_calibrated"]


def test_a_reference_changes_no_score_of_the_target(pools: AttackPools, outcome: Outcome) -> None:
    for alone, beside in zip(run(make_attacks(ALL), pools, None).scores, outcome.scores, strict=False):
        assert_same(alone, beside)


def test_the_reference_is_attacked_as_if_it_were_the_target_with_its_own_logit_scale_and_pseudo_members(
    reference: Reference, outcome: Outcome
) -> None:
    alone = run_attacks(make_attacks(ALL), reference.pools, reference.logit_scale, 0)
    for as_target, as_reference in zip(alone.scores, outcome.reference, strict=True):
        assert_same(as_target, as_reference)
    target, beside = by_name(outcome.scores), by_name(outcome.reference)
    assert target["wsa"].facts["pseudo_members"] != beside["wsa"].facts["pseudo_members"]


@pytest.mark.parametrize("attack", ["csa", "loss"])
def test_calibrated_scores_compare_differences_in_deviations_of_the_other_folds_known_nonmembers(
    attack: str, pools: AttackPools, reference: Reference, outcome: Outcome
) -> None:
    """Fold by fold and pair by pair, from fits made here."""
    (fitted,) = make_attacks(AttacksSpec(csa=CsaSpec()) if attack == "csa" else AttacksSpec(loss=LossSpec()))
    both_nonmembers = pools.nonmembers, reference.pools.nonmembers
    assert both_nonmembers[0] is not None
    folds = scoring.folds_of(both_nonmembers[0])
    every = np.arange(len(pools.candidates))
    # Each known non-member by the fit that left it out, for target and reference.
    raw, known = np.empty((2, 5, len(every))), np.empty((2, len(folds)))
    for model, (of_model, nonmembers, scale) in enumerate(
        zip((pools, reference.pools), both_nonmembers, (50.0, 20.0), strict=True)
    ):
        assert nonmembers is not None
        outside = [Subset(nonmembers, np.flatnonzero(folds != fold)) for fold in range(5)]
        known_by_fold = [Known(others, None, None, scale, 0) for others in outside]
        if isinstance(fitted, FittedTogether):
            fits = fitted.fit_folds(known_by_fold)
        else:
            fits = [fitted.fit(each) for each in known_by_fold]
        for fold, fit in enumerate(fits):
            inside = np.flatnonzero(folds == fold)
            raw[model, fold] = fit.score(of_model.candidates.take(every))
            known[model, inside] = fit.score(nonmembers.take(inside))
    at_least, below = np.zeros((2, len(every)))
    scores, of_known, known_scores = np.empty((5, len(every))), np.empty(len(folds)), np.empty(len(folds))
    for fold in range(5):
        inside = folds == fold
        center, width = known[:, ~inside].mean(axis=1), known[:, ~inside].std(axis=1)
        ours, theirs = (raw[:, fold] - center[:, None]) / width[:, None]
        scores[fold] = ours - theirs
        ours, theirs = (known[:, inside] - center[:, None]) / width[:, None]
        known_scores[inside] = ours - theirs
        at_least += (known_scores[inside] >= scores[fold, :, None]).sum(axis=1)
        below += (known_scores[inside] < scores[fold, :, None]).sum(axis=1)
        of_known[inside] = (scores[fold] < known_scores[inside, None]).mean(axis=1)
    calibrated = by_name(outcome.scores)[CALIBRATED[attack]]
    np.testing.assert_allclose(calibrated.candidates, scores.mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(floats(calibrated.nonmembers), known_scores, atol=1e-9)
    np.testing.assert_allclose(floats(calibrated.p_values), (1 + at_least) / (1 + len(folds)))
    np.testing.assert_allclose(floats(calibrated.placements), below / len(folds))
    np.testing.assert_allclose(floats(calibrated.nonmember_placements), of_known)


@pytest.mark.parametrize("with_nonmembers", [True, False])
def test_a_target_that_spreads_its_scores_wider_shows_no_shift_that_the_reference_sees_too(
    pool_of_cosines: Callable[..., Pool], with_nonmembers: bool
) -> None:
    random = np.random.default_rng(0)
    other_kind = np.arange(600) < 200
    seen = 0.02 * (random.normal(size=600) + 1.5 * other_kind)
    models = []
    for width in (3.0, 1.0):
        scores = width * (seen + 0.02 * random.normal(size=600))
        known = pool_of_cosines(scores[400:], 1000) if with_nonmembers else None
        models.append(AttackPools(pool_of_cosines(scores[:400]), known, None, None))
    found = by_name(run(csa(), models[0], Reference(models[1], 1.0)).scores)
    auc = {
        name: np.mean(scores.candidates[:200, None] > scores.candidates[None, 200:400])
        for name, scores in found.items()
    }
    assert auc["csa"] > 0.8
    assert abs(auc["csa_calibrated"] - 0.5) < 0.08


def test_p_values_of_fresh_nonmembers_are_safe_for_calibrated_attacks(
    make_pool: MakePool, as_seen_by: Callable[[Pool, int], Pool]
) -> None:
    attacks = make_attacks(AttacksSpec(csa=CsaSpec(), loss=LossSpec()))
    found: dict[str, list[Floats]] = {name: [] for name in CALIBRATED.values()}
    for draw in range(10):
        fresh, known = make_pool(2 * draw, 200), make_pool(2 * draw + 1, 150)
        beside = AttackPools(as_seen_by(fresh, draw), as_seen_by(known, 100 + draw), None, None)
        outcome = run(attacks, AttackPools(fresh, known, None, None), Reference(beside, 20.0))
        for scores in outcome.scores:
            if scores.attack in found:
                found[scores.attack].append(floats(scores.p_values))
    for values in found.values():
        p = np.concatenate(values)
        for alpha in (0.05, 0.1, 0.2):
            # Three deviations: of the known non-members that calibrate, and of those that are counted.
            tolerance = 3 * np.sqrt(alpha * (1 - alpha) * (1 / 150 + 1 / 200) / 10)
            assert alpha - tolerance - 1 / 150 <= np.mean(p <= alpha) <= alpha + tolerance


def test_what_both_models_see_alike_is_taken_out(
    pool_of_cosines: Callable[..., Pool],
) -> None:
    """Pairs differ in kind, which both models see, and in training, which the target alone shows."""
    random = np.random.default_rng(0)
    member, kind = np.arange(400) < 200, random.normal(size=400) + 2 * (np.arange(400) % 2)
    reference = 0.01 * kind + 0.001 * random.normal(size=400)
    target = reference + 0.005 * member + 0.001 * random.normal(size=400)
    pools = [
        AttackPools(pool_of_cosines(scores), pool_of_cosines(scores[200:], 1000), None, None)
        for scores in (target, reference)
    ]
    found = by_name(run(csa(), pools[0], Reference(pools[1], 1.0)).scores)
    apart = {
        name: np.mean(scores.candidates[:200, None] > scores.candidates[None, 200:])
        for name, scores in found.items()
    }
    assert apart["csa"] < 0.7
    assert apart["csa_calibrated"] > 0.95


@dataclass(frozen=True)
class FitsOnce:
    """Can be fitted to the target alone, which is the model with the logit scale of 50."""

    name: str = "loss"
    needs: frozenset[Need] = frozenset()

    def fit(self, known: Known) -> Fitted:
        if known.logit_scale != 50.0:
            raise AttackError("loss: give more pairs")
        return Fitted(lambda block: block.similarities[:, 0].astype(np.float64))


def test_an_attack_that_fails_on_the_reference_keeps_its_scores_of_the_target(
    pools: AttackPools, reference: Reference
) -> None:
    found = run([*csa(), FitsOnce()], pools, reference)
    assert [scores.attack for scores in found.scores] == ["csa", "loss", "csa_calibrated"]
    assert found.failed == {}
    assert found.reference_failed == {"loss": "loss: give more pairs"}


def test_an_attack_that_fails_on_the_target_is_not_tried_on_the_reference(
    pools: AttackPools, reference: Reference
) -> None:
    fitted: list[float] = []

    @dataclass(frozen=True)
    class Never:
        name: str = "never"
        needs: frozenset[Need] = frozenset()

        def fit(self, known: Known) -> Fitted:
            fitted.append(known.logit_scale)
            raise AttackError("never: does not fit")

    found = run([Never(), *csa()], pools, reference)
    assert fitted == [50.0]
    assert set(found.failed) == {"never"}
    assert found.reference_failed == {}


def test_without_known_nonmembers_there_are_calibrated_scores_without_p_values(
    pools: AttackPools, reference: Reference
) -> None:
    beside = Reference(AttackPools(reference.pools.candidates, None, None, None), 20.0)
    found = run(csa(), AttackPools(pools.candidates, None, None, None), beside)
    calibrated = by_name(found.scores)["csa_calibrated"]
    assert len(calibrated.candidates) == 200
    assert calibrated.p_values is None
    assert calibrated.placements is None


def test_progress_with_a_reference_never_goes_back_and_ends_at_the_whole(
    pools: AttackPools, reference: Reference
) -> None:
    seen: list[tuple[int, int]] = []
    run_attacks(csa(), pools, 50.0, 0, lambda done, total: seen.append((done, total)), reference)
    assert seen == sorted(seen)
    assert {total for _, total in seen} == {seen[-1][0]}


def test_blocks_of_both_models_have_their_own_dimension(pools: AttackPools, reference: Reference) -> None:
    dimensions: list[int] = []

    @dataclass(frozen=True)
    class Looks:
        name: str = "looks"
        needs: frozenset[Need] = frozenset()

        def fit(self, known: Known) -> Fitted:
            def score(block: Block) -> Floats:
                dimensions.append(block.image.shape[1])
                return block.similarities[:, 0].astype(np.float64)

            return Fitted(score)

    run([Looks()], pools, reference)
    assert set(dimensions) == {16, 12}
