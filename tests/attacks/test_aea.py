from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tui_mia.attacks import AttackError, Known
from tui_mia.attacks.aea import aea
from tui_mia.embedded import Block, Pool

PUBLISHED, STANDARDISED, MEAN = aea()
CANDIDATES = np.array([[0.5, 0.25, 0.5], [0.25, 0.5, 0.125]], dtype=np.float32)
NOTHING = np.zeros((2, 1), dtype=np.float32)
BLOCK = Block(CANDIDATES, NOTHING, NOTHING)


def known(nonmembers: Pool | None) -> Known:
    return Known(nonmembers, None, None, 100.0, 0)


def test_the_three_forms_have_names_of_their_own() -> None:
    assert [attack.name for attack in aea()] == ["aea", "aea_standardised", "aea_mean"]


def test_the_published_form_adds_every_drop_to_the_similarity() -> None:
    scores = PUBLISHED.fit(known(None)).score(BLOCK)
    np.testing.assert_array_equal(scores, [0.5 + (0.5 - 0.25) + (0.5 - 0.5), 0.25 - 0.25 + 0.125])


def test_the_mean_form_is_the_mean_of_the_similarity_over_the_plain_image_and_its_views() -> None:
    scores = MEAN.fit(known(None)).score(BLOCK)
    np.testing.assert_allclose(scores, [1.25 / 3, 0.875 / 3], rtol=1e-15)


def test_the_standardised_form_measures_each_drop_in_deviations_of_the_known_nonmembers(
    pool_of_cosines: Callable[..., Pool],
) -> None:
    nonmembers = pool_of_cosines([[0.25, 0.25, 0.0], [0.75, 0.25, 0.0]])
    # Their similarities: mean 0.5, deviation 0.25. Drops of view 1: 0 and 0.5; of view 2: 0.25 and 0.75.
    scores = STANDARDISED.fit(known(nonmembers)).score(BLOCK)
    by_hand = [
        (0.5 - 0.5) / 0.25 + ((0.25 - 0.25) / 0.25 + (0.0 - 0.5) / 0.25) / 2,
        (0.25 - 0.5) / 0.25 + ((-0.25 - 0.25) / 0.25 + (0.125 - 0.5) / 0.25) / 2,
    ]
    np.testing.assert_allclose(scores, by_hand, rtol=1e-15)


@pytest.mark.parametrize("drop", [0.0, 0.1])
def test_a_view_that_changes_all_known_nonmembers_alike_says_nothing(
    pool_of_cosines: Callable[..., Pool], drop: float
) -> None:
    random = np.random.default_rng(0)
    plain, lively = random.random((2, 500, 1), dtype=np.float32)
    idle = np.full_like(plain, 0.3) if drop else plain
    level = np.full_like(plain, 0.3 + drop) if drop else plain
    with_idle_view = pool_of_cosines(np.concatenate([level, lively, idle], axis=1))
    scores = STANDARDISED.fit(known(with_idle_view)).score(BLOCK)
    drops = (level - lively).astype(np.float64)
    expected = ((CANDIDATES[:, 0] - CANDIDATES[:, 1]) - drops.mean()) / drops.std() / 2
    if not drop:
        expected += (CANDIDATES[:, 0] - plain.mean(dtype=np.float64)) / plain.std(dtype=np.float64)
    np.testing.assert_allclose(scores, expected, rtol=1e-5)


@pytest.mark.parametrize("size", [0, 1])
def test_the_standardised_form_asks_for_more_nonmembers_where_they_have_no_deviation(
    pool_of_cosines: Callable[..., Pool], size: int
) -> None:
    few = pool_of_cosines(np.zeros((size, 3)))
    with pytest.raises(AttackError, match=rf"aea_standardised: {size} known non-members .* give more"):
        STANDARDISED.fit(known(few))
