"""Contrastive loss against a fixed bank: how surely the model picks this caption for this image, and back.

The loss that CLIP is trained with, but with the same negatives for every
sample. Against the other pairs of its batch, as some published attacks compute
it, a sample's score depends on the order of the file.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tui_mia.attacks.attack import Attack, AttackError, Fitted, Floats, Known, Need
from tui_mia.embedded import Block, Pool

BANK_SIZE = 4096


@dataclass(frozen=True)
class BankLoss:
    """Minus the symmetric cross-entropy of the pair against the bank, the mean of image to text and back."""

    name: str = "loss"
    needs: frozenset[Need] = frozenset({"nonmembers"})

    def fit(self, known: Known) -> Fitted:
        assert known.nonmembers is not None
        bank = _choose(known.bank if known.bank is not None else known.nonmembers)
        scale = known.logit_scale

        def score(block: Block) -> Floats:
            own = scale * block.similarities[:, 0].astype(np.float64)
            # Not log(exp(own) + exp(others)) - own, in which the surest pairs would all tie at 0.
            image_to_text = np.logaddexp(0, _log_sum(scale, block.image, bank.text) - own)
            text_to_image = np.logaddexp(0, _log_sum(scale, block.text, bank.image) - own)
            result: Floats = -(image_to_text + text_to_image) / 2
            return result

        return Fitted(score, {"bank": len(bank)})


def loss() -> list[Attack]:
    return [BankLoss()]


def _choose(pool: Pool) -> Block:
    """Up to BANK_SIZE samples by the hash of their content, so that the order of the pool changes nothing."""
    if len(pool) == 0:
        raise AttackError("loss: the bank is empty; give more known non-members or a [pools.bank]")
    rows = np.argsort(pool.keys, kind="stable")[:BANK_SIZE]
    return pool.take(rows.astype(np.int64))


def _log_sum(scale: float, queries: NDArray[np.float32], bank: NDArray[np.float32]) -> Floats:
    """log of the sum over the bank of exp(scale * cosine): [n, D] and [m, D] to [n]."""
    cosines = queries @ bank.T
    highest = cosines.max(axis=1)
    # In place and in float32, which is what the cosines are good for; the sum is of numbers up to 1.
    cosines -= highest[:, None]
    cosines *= np.float32(scale)
    np.exp(cosines, out=cosines)
    result: Floats = scale * highest.astype(np.float64) + np.log(cosines.sum(axis=1, dtype=np.float64))
    return result
