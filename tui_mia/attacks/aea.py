"""Augmentation-Enhanced Attack (Ko et al. 2023), in three forms.

With c_0 the similarity of the plain image, c_k that of view k, and the drop
d_k = c_0 - c_k. The paper expects members to drop more; whether they do depends
on the augmentations that the model was trained with, so all three are reported.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tui_mia.attacks.attack import Attack, AttackError, Fitted, Floats, Known, Need
from tui_mia.embedded import Block


@dataclass(frozen=True)
class PublishedSum:
    """c_0 + sum of d_k, as published."""

    name: str = "aea"
    needs: frozenset[Need] = frozenset()

    def fit(self, known: Known) -> Fitted:
        return Fitted(lambda block: _plain(block) + _drops(block).sum(axis=1), similarities_only=True)


@dataclass(frozen=True)
class Standardised:
    """z(c_0) + mean of z(d_k), where z takes mean and deviation from the known non-members.

    A drop means something else for a blur than for a crop; standardised, every view counts the same.
    """

    name: str = "aea_standardised"
    needs: frozenset[Need] = frozenset({"nonmembers"})

    def fit(self, known: Known) -> Fitted:
        assert known.nonmembers is not None
        if len(known.nonmembers) < 2:
            raise AttackError(
                f"{self.name}: {len(known.nonmembers)} known non-members outside a fold have no deviation; "
                "give more in [pools.nonmembers]"
            )
        features = _with_drops(known.nonmembers.similarities)
        mean, deviation = features.mean(axis=0), features.std(axis=0)
        # A view that never changes anything has no deviation and says nothing.
        inverse = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > 0)

        def score(block: Block) -> Floats:
            standard = (_with_drops(block.similarities) - mean) * inverse
            result: Floats = standard[:, 0] + standard[:, 1:].mean(axis=1)
            return result

        return Fitted(score, similarities_only=True)


@dataclass(frozen=True)
class MeanSimilarity:
    """The mean of c_0 ... c_K: the same question asked K + 1 times, with less noise in the answer."""

    name: str = "aea_mean"
    needs: frozenset[Need] = frozenset()

    def fit(self, known: Known) -> Fitted:
        return Fitted(lambda block: block.similarities.mean(axis=1, dtype=np.float64), similarities_only=True)


def aea() -> list[Attack]:
    return [PublishedSum(), Standardised(), MeanSimilarity()]


def _plain(block: Block) -> Floats:
    return block.similarities[:, 0].astype(np.float64)


def _drops(block: Block) -> Floats:
    return _with_drops(block.similarities)[:, 1:]


def _with_drops(similarities: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Floats:
    """[n, 1 + K] similarities to [n, 1 + K]: c_0, then every drop."""
    wide = similarities.astype(np.float64)
    return np.concatenate([wide[:, :1], wide[:, :1] - wide[:, 1:]], axis=1)
