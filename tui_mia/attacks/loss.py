"""Contrastive loss against a fixed bank: how surely the model picks this caption for this image, and back.

The loss that CLIP is trained with, but with the same negatives for every
sample. Against the other pairs of its batch, as some published attacks compute
it, a sample's score depends on the order of the file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tui_mia.attacks.attack import Attack, AttackError, Fitted, Floats, Known, Need
from tui_mia.embedded import Block, Pool

BANK_SIZE = 4096
# So many rows of logits at once stay in the cache of a CPU.
_ROWS = 512


@dataclass(frozen=True)
class BankLoss:
    """Minus the symmetric cross-entropy of the pair against the bank, the mean of image to text and back."""

    name: str = "loss"
    needs: frozenset[Need] = frozenset({"nonmembers"})

    def fit(self, known: Known) -> Fitted:
        return self.fit_folds([known])[0]

    def fit_folds(self, folds: Sequence[Known]) -> list[Fitted]:
        """Five folds share most of their banks: a block meets each entry once."""
        pools = [known.nonmembers if known.bank is None else known.bank for known in folds]
        chosen = [(pool, _choose(pool)) for pool in pools if pool is not None]
        banks = _Banks.of(chosen, folds[0].logit_scale)
        return [Fitted(banks.scorer(fold), {"bank": len(rows)}) for fold, (_, rows) in enumerate(chosen)]


def loss() -> list[Attack]:
    return [BankLoss()]


@dataclass
class _Banks:
    """The banks of F folds as one: `image` and `text` are [U, D].

    `inside` [F, U] is 1 where an entry is of a fold's bank, else 0. `last` is the
    block that was met last, and minus its loss against each bank, [F, n].
    """

    scale: float
    image: Tensor
    text: Tensor
    inside: Tensor
    last: tuple[Block, Floats] | None = field(default=None, repr=False)

    @classmethod
    def of(cls, chosen: Sequence[tuple[Pool, NDArray[np.int64]]], scale: float) -> _Banks:
        keys = [pool.keys[rows] for pool, rows in chosen]
        union, first = np.unique(np.concatenate(keys), return_index=True)
        blocks = [pool.take(rows) for pool, rows in chosen]
        image, text = (
            torch.from_numpy(np.concatenate([getattr(block, side) for block in blocks])[first])
            for side in ("image", "text")
        )
        inside = np.stack([np.isin(union, of_fold) for of_fold in keys])
        return cls(scale, image, text, torch.from_numpy(inside.astype(np.float32)))

    def scorer(self, fold: int) -> Callable[[Block], Floats]:
        def score(block: Block) -> Floats:
            if self.last is None or self.last[0] is not block:
                self.last = block, self._scores(block)
            of_fold: Floats = self.last[1][fold]
            return of_fold

        return score

    def _scores(self, block: Block) -> Floats:
        own = self.scale * block.similarities[:, 0].astype(np.float64)
        # Not log(exp(own) + exp(others)) - own, in which the surest pairs would all tie at 0.
        image_to_text = np.logaddexp(0, self._log_sums(block.image, self.text) - own)
        text_to_image = np.logaddexp(0, self._log_sums(block.text, self.image) - own)
        result: Floats = -(image_to_text + text_to_image) / 2
        return result

    def _log_sums(self, queries: NDArray[np.float32], bank: Tensor) -> Floats:
        """log of the sum over each bank of exp(scale * cosine): [n, D] and [U, D] to [F, n]."""
        rows = torch.from_numpy(np.ascontiguousarray(queries)).split(_ROWS)
        sums: Floats = torch.cat([self._log_sums_of(each, bank) for each in rows], dim=1).numpy()
        return sums

    def _log_sums_of(self, queries: Tensor, bank: Tensor) -> Tensor:
        # In place and in float32, which is what the cosines are good for; the sums are of numbers up to 1.
        # The bank goes first: MKL is a third slower at the same product the other way round.
        logits = (bank @ queries.T).mul_(self.scale)
        highest = logits.amax(dim=0)
        sums = self.inside @ logits.sub_(highest).exp_()
        return highest.double() + sums.double().log()


def _choose(pool: Pool) -> NDArray[np.int64]:
    """Up to BANK_SIZE rows by the hash of their content, so that the order of the pool changes nothing."""
    if len(pool) == 0:
        raise AttackError("loss: the bank is empty; give more known non-members or a [pools.bank]")
    return np.argsort(pool.keys, kind="stable")[:BANK_SIZE].astype(np.int64)
