"""Weakly Supervised Attack (Ko et al. 2023): a classifier of pseudo-members.

General pairs whose similarity lies lambda deviations above the mean of the known
non-members are taken for members, and a classifier learns to tell their
embeddings from those of known non-members.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tui_mia.attacks.attack import Attack, AttackError, Fitted, Floats, Known, Need
from tui_mia.attacks.classifier import train_classifiers
from tui_mia.embedded import Block, Pool
from tui_mia.scored import DRAWN_OF_EACH, KNOWN_NONMEMBERS, PSEUDO_MEMBERS

LAMBDAS = tuple(float(step) for step in np.arange(-2.5, 2.75, 0.5))
SMALLEST_CLASS = 20
# Of more pseudo-members and known non-members so many of each are drawn, as their features must be at hand.
LARGEST_CLASS = 100_000


@dataclass(frozen=True)
class WeaklySupervised:
    """The classifier's log-odds, the mean over `seeds`.

    `with_views` adds the similarities of all views to the published features,
    the image and the text embedding. Features are standardised by the known
    non-members (the release feeds them raw).
    """

    name: str
    with_views: bool
    lambda_: float | Literal["auto"]
    seeds: int
    needs: frozenset[Need] = frozenset({"nonmembers", "general"})

    def fit(self, known: Known) -> Fitted:
        nonmembers, general = known.nonmembers, known.general
        assert nonmembers is not None
        assert general is not None
        if len(nonmembers) < SMALLEST_CLASS:
            raise AttackError(
                f"{self.name}: {len(nonmembers)} known non-members outside a fold are too few to learn from; "
                f"give at least {SMALLEST_CLASS * 2} in [pools.nonmembers]"
            )
        lambda_, rows = _pseudo_members(self.name, self.lambda_, nonmembers, general)
        random = np.random.default_rng([known.seed, len(rows)])
        size = min(len(rows), len(nonmembers), LARGEST_CLASS)
        negatives = _draw(random, nonmembers, np.arange(len(nonmembers)), size)
        features = np.empty((2 * size, self._width(negatives)), dtype=np.float32)
        self._write(negatives, features[:size])
        del negatives
        self._write(_draw(random, general, rows, size), features[size:])
        standardise = _standardised_by(features[:size])
        log_odds = train_classifiers(
            standardise(features),
            np.repeat([0, 1], size),
            [known.seed * 1000 + number for number in range(self.seeds)],
        )

        def score(block: Block) -> Floats:
            of_block = np.empty((len(block), self._width(block)), dtype=np.float32)
            self._write(block, of_block)
            return log_odds(standardise(of_block))

        facts: dict[str, float] = {"lambda": lambda_, PSEUDO_MEMBERS: len(rows)}
        if min(len(rows), len(nonmembers)) > size:
            facts |= {KNOWN_NONMEMBERS: len(nonmembers), DRAWN_OF_EACH: size}
        return Fitted(score, facts)

    def _width(self, block: Block) -> int:
        views = block.similarities.shape[1] if self.with_views else 0
        return int(block.image.shape[1] + block.text.shape[1] + views)

    def _write(self, block: Block, features: NDArray[np.float32]) -> None:
        """The features of a block [n, D] into [n, F]."""
        parts = [block.image, block.text, *([block.similarities] if self.with_views else [])]
        np.concatenate(parts, axis=1, out=features)


def wsa(lambda_: float | Literal["auto"] = "auto", seeds: int = 5) -> list[Attack]:
    return [
        WeaklySupervised("wsa", False, lambda_, seeds),
        WeaklySupervised("wsa_rich", True, lambda_, seeds),
    ]


def _standardised_by(known: NDArray[np.float32]) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """Standardises [n, F] features, in place, by the mean and deviation of the known non-members'."""
    # In float64 a feature that is the same for all has deviation 0; in float32 rounding gives it one.
    mean, deviation = known.mean(axis=0, dtype=np.float64), known.std(axis=0, dtype=np.float64)
    inverse = np.divide(1, deviation, out=np.zeros_like(deviation), where=deviation > 0)
    shift, scale = mean.astype(np.float32), inverse.astype(np.float32)

    def standardise(features: NDArray[np.float32]) -> NDArray[np.float32]:
        features -= shift
        features *= scale
        return features

    return standardise


def _pseudo_members(
    name: str, lambda_: float | Literal["auto"], nonmembers: Pool, general: Pool
) -> tuple[float, NDArray[np.int64]]:
    """The lambda that applies, and the rows of the general pool that it makes pseudo-members."""
    known = nonmembers.similarities[:, 0].astype(np.float64)
    similarities = general.similarities[:, 0].astype(np.float64)

    def above(step: float) -> NDArray[np.bool_]:
        result: NDArray[np.bool_] = similarities >= known.mean() + step * known.std()
        return result

    if lambda_ == "auto":
        counts = [(step, int(above(step).sum())) for step in LAMBDAS]
        lambda_ = _largest_lambda(name, min(len(known), LARGEST_CLASS), counts)
        return lambda_, np.flatnonzero(above(lambda_))
    rows = np.flatnonzero(above(lambda_))
    if len(rows) < SMALLEST_CLASS:
        advice = "add pairs to [pools.general], or to the candidates where there is none"
        if len(general) >= SMALLEST_CLASS and known.std() > 0:
            largest = (np.sort(similarities)[-SMALLEST_CLASS] - known.mean()) / known.std()
            about = f"{math.floor(largest * 100) / 100:g}"
            advice = f'the largest that works is about {about}, or use lambda = "auto"'
        raise AttackError(
            f"{name}: lambda {lambda_:g} leaves {len(rows)} pseudo-members of {len(general)} general pairs, "
            f"fewer than {SMALLEST_CLASS}; {advice}"
        )
    return lambda_, rows


def _largest_lambda(name: str, enough: int, steps: Sequence[tuple[float, int]]) -> float:
    """The largest step that leaves at least `enough` pseudo-members, one for each known non-member used."""
    for step, count in reversed(steps):
        if count >= enough:
            return step
    counts = ", ".join(f"{count} at {step:g}" for step, count in steps[:: len(steps) // 3])
    raise AttackError(
        f"{name}: no lambda leaves as many pseudo-members as there are known non-members ({enough}): "
        f"{counts}; add pairs to [pools.general], or to the candidates where there is none, "
        f"or set attacks.wsa.lambda to accept fewer"
    )


def _draw(random: np.random.Generator, pool: Pool, rows: NDArray[np.int64], size: int) -> Block:
    """`size` of the pool's `rows`, drawn in the order of their content: that of the pool changes nothing."""
    by_content = rows[np.argsort(pool.keys[rows], kind="stable")]
    return pool.take(random.choice(by_content, size, replace=False))
