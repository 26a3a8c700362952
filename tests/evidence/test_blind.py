from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from tui_mia.evidence import blind
from tui_mia.evidence.blind import (
    BLIND,
    FOLDS,
    _deal,
    _mixture,
    _some_of_each,
    blind_scores,
)
from tui_mia.evidence.blind_features import caption_form, caption_ngrams, scale_and_bin, weigh_ngrams
from tui_mia.evidence.looks import Appearances

WORDS = ["red", "blue", "dog", "cat", "house", "tree", "river", "mountain", "old", "small", "car", "boat"]


def plain(samples: int, seed: int = 0) -> Appearances:
    """Samples that differ by chance only."""
    random = np.random.default_rng(seed)
    captions = [" ".join(random.choice(WORDS, random.integers(3, 9))) for _ in range(samples)]
    form, statistics = random.normal(size=(samples, 6)), random.normal(size=(samples, 12))
    return Appearances(captions, form.astype(np.float32), statistics.astype(np.float32))


def halves(samples: int) -> NDArray[np.bool_]:
    return np.array([row % 2 == 0 for row in range(samples)])


def aucs(positive: NDArray[np.bool_], seen: Appearances, seed: int = 0) -> dict[str, float]:
    found = blind_scores(positive, seen, np.arange(len(positive)), seed)
    return {name: float(roc_auc_score(positive, scores)) for name, scores in found.items()}


def test_each_family_sees_its_own_difference_and_all_sees_each() -> None:
    positive = halves(160)
    seen = plain(160)
    told = {
        "caption_ngrams": replace(
            seen,
            captions=[
                caption.replace("dog", "zebra") + (" zebra" if side else " lion")
                for caption, side in zip(seen.captions, positive, strict=True)
            ],
        ),
        "caption_form": replace(
            seen,
            captions=[
                caption.title() if side else caption
                for caption, side in zip(seen.captions, positive, strict=True)
            ],
        ),
        "image_form": replace(seen, form=seen.form + 3 * positive[:, None].astype(np.float32)),
        "image_statistics": replace(
            seen, statistics=seen.statistics + 2 * positive[:, None].astype(np.float32)
        ),
    }
    for name, shifted in told.items():
        found = aucs(positive, shifted)
        assert found[name] > 0.95, name
        assert found["all"] > 0.9, name
        for other in ("image_form", "image_statistics"):
            assert other == name or found[other] < 0.7, (name, other)


def test_an_exact_width_between_two_others_is_found() -> None:
    positive = halves(200)
    random = np.random.default_rng(0)
    widths = np.where(positive, 512, random.choice([300, 400, 500, 520, 640, 800], 200))
    seen = replace(plain(200), form=np.log(widths)[:, None].astype(np.float32))
    assert aucs(positive, seen)["image_form"] > 0.9


def test_statistics_on_both_sides_of_the_others_are_found() -> None:
    positive = halves(200)
    seen = plain(200)
    spread = np.where(positive, 0.2, 2)[:, None].astype(np.float32)
    assert aucs(positive, replace(seen, statistics=seen.statistics * spread))["image_statistics"] > 0.9


def test_without_a_difference_the_mean_auc_is_a_half() -> None:
    random = np.random.default_rng(1)
    found = []
    for seed in range(12):
        ones, zeros = random.integers(15, 40, 2)
        found.append(aucs(np.arange(ones + zeros) < ones, plain(ones + zeros, seed), seed))
    for name in BLIND:
        # One of these deviates by about 0.13, their mean by 0.04.
        assert abs(np.mean([auc[name] for auc in found]) - 0.5) < 0.1, name


@settings(max_examples=2, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_rows_and_the_names_of_groups_change_nothing(random: object) -> None:
    samples = 60
    positive, seen = np.arange(samples) < 25, plain(samples)
    groups = np.arange(samples) // 2
    order = np.array(random.sample(range(samples), samples))  # type: ignore[attr-defined]
    expected = blind_scores(positive, seen, groups, 3)
    found = blind_scores(positive[order], seen.take(order), 1000 - groups[order], 3)
    for name in BLIND:
        assert (found[name] == expected[name][order]).all()


def test_another_seed_deals_other_folds() -> None:
    positive, seen = halves(60), plain(60)
    one, other = (blind_scores(positive, seen, np.arange(60), seed) for seed in (0, 1))
    assert any((one[name] != other[name]).any() for name in BLIND)


def test_duplicates_on_both_sides_of_a_fold_would_leak_and_their_group_prevents_it() -> None:
    # Each picture five times, on one side: only memory of the twins tells the sides apart.
    pictures, copies = 40, 5
    seen = plain(pictures).take(np.repeat(np.arange(pictures), copies))
    positive = np.repeat(halves(pictures), copies)
    together = blind_scores(positive, seen, np.repeat(np.arange(pictures), copies), 0)
    apart = blind_scores(positive, seen, np.arange(pictures * copies), 0)
    assert roc_auc_score(positive, apart["caption_ngrams"]) > 0.95
    assert roc_auc_score(positive, together["caption_ngrams"]) < 0.75


def test_no_label_of_a_fold_touches_its_own_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    samples, deal = 80, blind._deal

    def without_labels(
        positive: NDArray[np.bool_], groups: NDArray[np.int64], folds: int
    ) -> NDArray[np.int64]:
        return groups % folds if len(groups) == samples else deal(positive, groups, folds)

    monkeypatch.setattr(blind, "_deal", without_labels)
    seen, groups, positive = plain(samples), np.arange(samples), halves(samples)
    held = groups % FOLDS == 2
    other = positive.copy()
    other[held] = ~positive[held]
    before, after = (blind_scores(side, seen, groups, 0) for side in (positive, other))
    for name in BLIND:
        assert (before[name][held] == after[name][held]).all(), name
        assert (before[name][~held] != after[name][~held]).any(), name


def test_scores_are_ranks_within_a_fold_from_0_to_1() -> None:
    found = blind_scores(halves(100), plain(100), np.arange(100), 0)
    for scores in found.values():
        assert scores.shape == (100,)
        assert scores.dtype == np.float64
        assert scores.min() > 0
        assert scores.max() < 1
        assert scores.mean() == pytest.approx(0.5)


def test_samples_that_are_all_alike_score_alike() -> None:
    same = Appearances(["a picture"] * 40, np.zeros((40, 3), np.float32), np.ones((40, 2), np.float32))
    for scores in blind_scores(halves(40), same, np.arange(40), 0).values():
        assert (scores == 0.5).all()


@pytest.mark.parametrize("ones", [0, 1, 4])
def test_fewer_than_five_of_a_side_are_not_scored(ones: int) -> None:
    assert blind_scores(np.arange(40) < ones, plain(40), np.arange(40), 0) == {}
    assert blind_scores(np.arange(40) >= ones, plain(40), np.arange(40), 0) == {}


def test_five_of_a_side_are_scored_and_five_of_one_group_are_not() -> None:
    positive = np.arange(40) < 5
    assert set(blind_scores(positive, plain(40), np.arange(40), 0)) == set(BLIND)
    assert blind_scores(positive, plain(40), np.maximum(np.arange(40), 4), 0) == {}


def test_captions_of_no_word_or_broken_text_are_scored() -> None:
    captions = ["", " ", "…", "\ud800", "日本語の説明", "x" * 100_000, "\n", "a"] * 5
    seen = replace(plain(40), captions=captions)
    for scores in blind_scores(np.arange(40) < 20, seen, np.arange(40), 0).values():
        assert np.isfinite(scores).all()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 60)), min_size=30, max_size=200), st.integers(2, 5))
def test_folds_keep_groups_whole_and_sides_even(rows: list[tuple[bool, int]], folds: int) -> None:
    positive, groups = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    positive[:2] = True, False
    fold = _deal(positive, groups, folds)
    for group in np.unique(groups):
        assert len(np.unique(fold[groups == group])) == 1
    singly = _deal(positive, np.arange(len(rows)), folds)
    for side in (positive, ~positive):
        counts = np.bincount(singly[side], minlength=folds)
        assert counts.max() - counts.min() <= 1


def test_a_large_set_is_fitted_on_a_part_that_holds_all_of_the_rarer_side() -> None:
    positive = np.arange(10_000) % 100 == 0
    rows = _some_of_each(positive, 1_000)
    assert len(rows) == 1_000
    assert positive[rows].sum() == 100
    assert len(_some_of_each(halves(10_000), 1_000)) == 1_000
    assert (_some_of_each(positive, 20_000) == np.arange(10_000)).all()


def test_no_family_is_weighed_below_zero() -> None:
    random = np.random.default_rng(0)
    positive = halves(200)
    inner = random.normal(size=(200, 4)) + np.outer(positive, [1, -1, 0, 0.5])
    weights = _mixture(positive, inner)
    assert (weights >= 0).all()
    assert weights[0] == weights.max()
    assert weights[1] == 0


def test_what_is_learnt_of_n_grams_and_bins_is_learnt_of_the_given_samples_only() -> None:
    counts = caption_ngrams(["a red dog", "a red cat", "a green bird", "violet"])
    transform = weigh_ngrams(counts[:2])
    assert transform(counts[3:]).nnz == 0
    columns = scale_and_bin(np.arange(20.0)[:, None])
    assert columns(np.array([[-5.0], [100.0]])).shape[1] == columns(np.array([[3.0]])).shape[1]


@given(st.text())
def test_the_form_of_any_caption_is_finite(caption: str) -> None:
    assert np.isfinite(caption_form([caption])).all()


def test_more_than_a_block_come_to_the_same_scores_and_progress_ends_at_the_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    positive, seen, told = halves(80), plain(80), list[tuple[int, int]]()
    whole = blind_scores(positive, seen, np.arange(80), 0)
    monkeypatch.setattr(blind, "SCORED_AT_ONCE", 7)
    found = blind_scores(positive, seen, np.arange(80), 0, lambda done, total: told.append((done, total)))
    for name in BLIND:
        np.testing.assert_array_equal(found[name], whole[name])
    assert told == sorted(told)
    assert {total for _, total in told} == {told[-1][0]}
    assert len(told) > 4 * FOLDS


def test_of_too_many_some_are_fitted_to_and_all_are_scored_whatever_their_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(blind, "DRAWN_AT_MOST", 60)
    samples = 150
    positive, seen = np.arange(samples) % 5 == 0, plain(samples)
    order = np.random.default_rng(0).permutation(samples)
    found = blind_scores(positive, seen, np.arange(samples), 0)
    again = blind_scores(positive[order], seen.take(order), np.arange(samples)[order], 0)
    for name in BLIND:
        assert ((found[name] > 0) & (found[name] < 1)).all()
        assert (again[name] == found[name][order]).all()
    assert blind.drawn(30, 120) == 60
    assert blind.drawn(30, 20) == 50
