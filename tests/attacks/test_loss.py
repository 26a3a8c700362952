from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional

from tui_mia.attacks import AttackError, Known
from tui_mia.attacks.attack import FittedTogether
from tui_mia.attacks.loss import loss
from tui_mia.embedded import Block, Pool, Subset

(BANK_LOSS,) = loss()
MakePool = Callable[..., Pool]


def known(nonmembers: Pool, bank: Pool | None = None, logit_scale: float = 50.0) -> Known:
    return Known(nonmembers, None, bank, logit_scale, 0)


def everything(pool: Pool) -> Block:
    return pool.take(np.arange(len(pool)))


def pair_by_pair(block: Block, bank: Block, logit_scale: float) -> NDArray[np.float64]:
    """Minus the symmetric cross-entropy of each pair, put in front of the bank as one batch."""
    scores = []
    for image, text in zip(block.image, block.text, strict=True):
        images = torch.from_numpy(np.vstack([image, bank.image])).double()
        texts = torch.from_numpy(np.vstack([text, bank.text])).double()
        logits = logit_scale * images @ texts.T
        own = torch.tensor([0])
        image_to_text = functional.cross_entropy(logits[:1], own)
        text_to_image = functional.cross_entropy(logits.T[:1], own)
        scores.append(-(image_to_text + text_to_image).item() / 2)
    return np.array(scores)


def test_the_closed_form_is_the_cross_entropy_of_each_pair_against_the_bank(make_pool: MakePool) -> None:
    candidates, bank = everything(make_pool(1, 40, members=20)), make_pool(2, 30)
    scores = BANK_LOSS.fit(known(bank)).score(candidates)
    np.testing.assert_allclose(scores, pair_by_pair(candidates, everything(bank), 50.0), atol=1e-4)


def test_the_logit_scale_of_the_model_applies(make_pool: MakePool) -> None:
    candidates, bank = everything(make_pool(1, 10)), make_pool(2, 30)
    scores = BANK_LOSS.fit(known(bank, logit_scale=5.0)).score(candidates)
    np.testing.assert_allclose(scores, pair_by_pair(candidates, everything(bank), 5.0), atol=1e-5)


def test_the_order_of_the_bank_changes_nothing(make_pool: MakePool, shuffled: Callable[..., Pool]) -> None:
    candidates, bank = everything(make_pool(1, 40)), make_pool(2, 300)
    backwards = shuffled(bank, np.arange(300)[::-1])
    np.testing.assert_array_equal(
        BANK_LOSS.fit(known(bank)).score(candidates), BANK_LOSS.fit(known(backwards)).score(candidates)
    )


def test_a_pair_scores_the_same_alone_as_in_company(make_pool: MakePool) -> None:
    candidates, score = make_pool(1, 40), BANK_LOSS.fit(known(make_pool(2, 300))).score
    alone = [score(candidates.take(np.array([row])))[0] for row in range(40)]
    np.testing.assert_allclose(score(everything(candidates)), alone, atol=1e-4)


def test_no_more_than_4096_pairs_go_into_the_bank_whichever_come_first_by_content(
    make_pool: MakePool, shuffled: Callable[..., Pool]
) -> None:
    candidates, bank = everything(make_pool(1, 5)), make_pool(2, 4500, dimension=4)
    candidates = everything(make_pool(1, 5, dimension=4))
    order = np.random.default_rng(0).permutation(4500)
    first, second = BANK_LOSS.fit(known(bank)), BANK_LOSS.fit(known(shuffled(bank, order)))
    assert first.facts == second.facts == {"bank": 4096}
    np.testing.assert_array_equal(first.score(candidates), second.score(candidates))
    chosen = bank.take(np.argsort(bank.keys)[:4096])
    np.testing.assert_allclose(first.score(candidates), pair_by_pair(candidates, chosen, 50.0), atol=1e-4)


def test_a_bank_of_its_own_takes_the_place_of_the_known_nonmembers(make_pool: MakePool) -> None:
    candidates, bank = everything(make_pool(1, 10)), make_pool(3, 25)
    scores = BANK_LOSS.fit(known(make_pool(2, 30), bank)).score(candidates)
    np.testing.assert_allclose(scores, pair_by_pair(candidates, everything(bank), 50.0), atol=1e-4)


def test_pairs_of_which_the_model_is_almost_sure_are_still_told_apart(make_pool: MakePool) -> None:
    bank = make_pool(2, 30)
    away = np.zeros((3, 16), dtype=np.float32)
    surest = Block(np.array([[0.97], [0.98], [0.99]], dtype=np.float32), away, away)
    scores = BANK_LOSS.fit(known(bank, logit_scale=100.0)).score(surest)
    assert scores[0] < scores[1] < scores[2] < 0


def test_embeddings_are_left_as_they_were(make_pool: MakePool) -> None:
    block = everything(make_pool(1, 10))
    before = replace(block, image=block.image.copy(), text=block.text.copy())
    BANK_LOSS.fit(known(make_pool(2, 30))).score(block)
    np.testing.assert_array_equal(block.image, before.image)
    np.testing.assert_array_equal(block.text, before.text)


def test_an_empty_bank_is_an_error_that_says_what_to_give(make_pool: MakePool) -> None:
    with pytest.raises(AttackError, match=r"bank is empty; give more known non-members or a \[pools.bank\]"):
        BANK_LOSS.fit(known(make_pool(2, 0)))


def test_folds_fitted_together_score_as_each_alone(make_pool: MakePool) -> None:
    pool, candidates = make_pool(2, 300), everything(make_pool(1, 700))
    folds = [known(Subset(pool, np.flatnonzero(np.arange(300) % 5 != fold))) for fold in range(5)]
    assert isinstance(BANK_LOSS, FittedTogether)
    for together, alone in zip(BANK_LOSS.fit_folds(folds), folds, strict=True):
        assert together.facts == {"bank": 240}
        np.testing.assert_allclose(
            together.score(candidates), BANK_LOSS.fit(alone).score(candidates), atol=1e-5
        )
        few = Block(candidates.similarities[:3], candidates.image[:3], candidates.text[:3])
        np.testing.assert_allclose(together.score(few), together.score(candidates)[:3], atol=1e-5)
