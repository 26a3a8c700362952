"""Cosine Similarity Attack (Ko et al. 2023): training raises the similarity of the pairs it saw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tui_mia.attacks.attack import Attack, Fitted, Known, Need


@dataclass(frozen=True)
class CosineSimilarity:
    """The similarity of the plain image and its caption."""

    name: str = "csa"
    needs: frozenset[Need] = frozenset()

    def fit(self, known: Known) -> Fitted:
        return Fitted(lambda block: block.similarities[:, 0].astype(np.float64), similarities_only=True)


def csa() -> list[Attack]:
    return [CosineSimilarity()]
