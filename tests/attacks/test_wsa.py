from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from tui_mia.attacks import AttackError, Fitted, Known
from tui_mia.attacks import wsa as wsa_module
from tui_mia.attacks.wsa import LAMBDAS, wsa
from tui_mia.embedded import Block, Pool

MakePool = Callable[..., Pool]


@dataclass(frozen=True)
class Training:
    """What a classifier was trained on."""

    features: NDArray[np.float32]
    labels: NDArray[np.int64]
    seeds: Sequence[int]


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[Training]:
    """Notes what WSA trains on, in place of training; the score is the sum of the features."""
    noted: list[Training] = []

    def note(
        features: NDArray[np.float32], labels: NDArray[np.int64], seeds: Sequence[int]
    ) -> Callable[[NDArray[np.float32]], NDArray[np.float64]]:
        noted.append(Training(features.copy(), labels, seeds))
        return lambda samples: samples.sum(axis=1, dtype=np.float64)

    monkeypatch.setattr(wsa_module, "train_classifiers", note)
    return noted


def known(nonmembers: Pool, general: Pool, seed: int = 0) -> Known:
    return Known(nonmembers, general, None, 100.0, seed)


def everything(pool: Pool) -> Block:
    return pool.take(np.arange(len(pool)))


def fit(known: Known, lambda_: float | None = None, seeds: int = 1) -> Iterator[Fitted]:
    return (attack.fit(known) for attack in wsa("auto" if lambda_ is None else lambda_, seeds))


def pseudo_members_at(step: float, nonmembers: Pool, general: Pool) -> int:
    similarities = nonmembers.similarities[:, 0].astype(np.float64)
    cut = similarities.mean() + step * similarities.std()
    return int((general.similarities[:, 0] >= cut).sum())


def test_auto_takes_the_largest_step_that_leaves_a_pseudo_member_for_each_known_nonmember(
    make_pool: MakePool, trainings: list[Training]
) -> None:
    nonmembers, general = make_pool(1, 100), make_pool(2, 300, members=150)
    counts = {step: pseudo_members_at(step, nonmembers, general) for step in LAMBDAS}
    largest = max(step for step, count in counts.items() if count >= 100)
    assert -2.5 < largest < 2.5
    for fitted in fit(known(nonmembers, general)):
        assert fitted.facts == {"lambda": largest, "pseudo_members": counts[largest]}


def test_pseudo_members_are_the_general_pairs_at_least_lambda_deviations_above_the_mean(
    make_pool: MakePool, trainings: list[Training]
) -> None:
    nonmembers, general = make_pool(1, 100), make_pool(2, 300, members=150)
    for fitted in fit(known(nonmembers, general), 1.0):
        assert fitted.facts == {"lambda": 1.0, "pseudo_members": pseudo_members_at(1.0, nonmembers, general)}


def test_no_more_pseudo_members_are_asked_for_than_are_trained_on(
    make_pool: MakePool, trainings: list[Training], monkeypatch: pytest.MonkeyPatch
) -> None:
    nonmembers, general = make_pool(1, 300), make_pool(2, 300, members=150)
    monkeypatch.setattr(wsa_module, "LARGEST_CLASS", 50)
    largest = max(step for step in LAMBDAS if pseudo_members_at(step, nonmembers, general) >= 50)
    published, _ = fit(known(nonmembers, general))
    assert published.facts["lambda"] == largest
    assert np.bincount(trainings[0].labels).tolist() == [50, 50]


def test_where_no_step_qualifies_the_error_gives_the_counts(make_pool: MakePool) -> None:
    nonmembers, general = make_pool(1, 100), make_pool(2, 90)
    attack, _ = wsa()
    counts = ", ".join(f"{pseudo_members_at(step, nonmembers, general)} at {step:g}" for step in LAMBDAS[::3])
    with pytest.raises(
        AttackError, match=rf"no lambda leaves .* known non-members \(100\): {counts}; add pairs"
    ):
        attack.fit(known(nonmembers, general))


def test_too_large_a_lambda_is_an_error_that_names_the_largest_that_works(make_pool: MakePool) -> None:
    nonmembers, general = make_pool(1, 100), make_pool(2, 300)
    attack, _ = wsa(4.0)
    with pytest.raises(AttackError, match=r"wsa: lambda 4 leaves \d+ pseudo-members of 300") as raised:
        attack.fit(known(nonmembers, general))
    found = re.search(
        r"the largest that works is about ([\d.]+), or use lambda = \"auto\"", str(raised.value)
    )
    assert found is not None
    largest = float(found[1])
    assert pseudo_members_at(largest, nonmembers, general) >= 20
    assert pseudo_members_at(largest + 0.1, nonmembers, general) < 20


@pytest.mark.parametrize("lambda_", [None, 1.5])
@pytest.mark.parametrize("size", [0, 10])
def test_too_small_a_general_pool_is_an_error_that_asks_for_a_larger_one(
    make_pool: MakePool, lambda_: float | None, size: int
) -> None:
    with pytest.raises(AttackError, match=r"add pairs to \[pools.general\]"):
        next(fit(known(make_pool(1, 100), make_pool(2, size)), lambda_))


def test_too_few_known_nonmembers_are_an_error_that_says_how_many_to_give(make_pool: MakePool) -> None:
    with pytest.raises(AttackError, match=r"19 known non-members .* too few .* at least 40 in \[pools"):
        next(fit(known(make_pool(1, 19), make_pool(2, 300))))


def test_classes_are_balanced_and_standardised_by_the_known_nonmembers(
    make_pool: MakePool, trainings: list[Training]
) -> None:
    next(fit(known(make_pool(1, 80), make_pool(2, 300))))
    (training,) = trainings
    assert np.bincount(training.labels).tolist() == [80, 80]
    negatives = training.features[training.labels == 0]
    np.testing.assert_allclose(negatives.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(negatives.std(axis=0), 1, atol=1e-5)


def test_a_feature_that_all_known_nonmembers_share_says_nothing(
    make_pool: MakePool, pool_of: Callable[..., Pool], trainings: list[Training]
) -> None:
    shared = everything(make_pool(1, 5000))
    shared.image[:, 3] = 0.1
    candidates = everything(make_pool(3, 50))
    fitted = next(fit(known(pool_of(shared), make_pool(2, 9000))))
    assert not trainings[0].features[:, 3].any()
    moved = replace(candidates, image=candidates.image.copy())
    moved.image[:, 3] += 0.5
    np.testing.assert_array_equal(fitted.score(moved), fitted.score(candidates))


def test_the_published_features_are_the_two_embeddings_and_the_rich_ones_add_the_similarities(
    make_pool: MakePool, trainings: list[Training]
) -> None:
    pools = known(make_pool(1, 80), make_pool(2, 300))
    candidates = everything(make_pool(3, 50))
    other_views = replace(candidates, similarities=candidates.similarities - np.float32(0.1))
    published, rich = fit(pools)
    assert [training.features.shape[1] for training in trainings] == [32, 32 + 4]
    np.testing.assert_array_equal(published.score(candidates), published.score(other_views))
    assert (rich.score(candidates) != rich.score(other_views)).all()


def test_each_fit_trains_as_many_classifiers_as_asked_for_and_others_for_another_seed_of_the_run(
    make_pool: MakePool, trainings: list[Training]
) -> None:
    for seed in (0, 1):
        next(fit(known(make_pool(1, 40), make_pool(2, 150), seed), seeds=5))
    assert [len(set(training.seeds)) for training in trainings] == [5, 5]
    assert not set(trainings[0].seeds) & set(trainings[1].seeds)


def test_members_that_the_embeddings_give_away_score_higher(
    make_pool: MakePool, pool_of: Callable[..., Pool]
) -> None:
    def marked(pool: Pool, members: int) -> Block:
        block = everything(pool)
        block.image[:members, 0] += 0.5
        return block

    general = pool_of(marked(make_pool(2, 500, members=250, shift=0.3), 250))
    candidates = marked(make_pool(3, 200, members=100, shift=0.3), 100)
    for fitted in fit(known(make_pool(1, 150), general), 1.0):
        scores = fitted.score(candidates)
        assert np.mean(scores[:100, None] > scores[None, 100:]) > 0.8


def test_what_is_drawn_of_too_many_depends_on_content_and_seed_alone_and_is_told(
    make_pool: MakePool,
    shuffled: Callable[..., Pool],
    trainings: list[Training],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wsa_module, "LARGEST_CLASS", 40)
    nonmembers, general = make_pool(1, 90), make_pool(2, 300)
    order = np.random.default_rng(0).permutation(300)
    published = next(fit(known(nonmembers, general), -1.0))
    assert published.facts["drawn_of_each"] == 40
    assert published.facts["known_nonmembers"] == 90
    assert published.facts["pseudo_members"] == pseudo_members_at(-1.0, nonmembers, general)
    next(fit(known(nonmembers, shuffled(general, order)), -1.0))
    np.testing.assert_array_equal(trainings[0].features, trainings[1].features)
    next(fit(known(nonmembers, general, seed=1), -1.0))
    assert (trainings[0].features != trainings[2].features).any()


def test_known_nonmembers_that_are_all_used_are_no_sample(
    make_pool: MakePool, trainings: list[Training], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wsa_module, "LARGEST_CLASS", 90)
    assert "drawn_of_each" not in next(fit(known(make_pool(1, 90), make_pool(2, 300)), -1.0)).facts
