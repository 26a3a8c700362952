"""What attacks and evidence take on this machine, timed in miniature.

Pools made up by chance stand for those of the audit, and the looks of a few of
its pairs for all of them: what is timed is the code that the audit runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from torch.optim.optimizer import register_optimizer_step_post_hook

from tui_mia.attacks.attack import Known
from tui_mia.attacks.loss import loss
from tui_mia.attacks.wsa import wsa
from tui_mia.costs import AfterCost
from tui_mia.embedded import Block
from tui_mia.encoder.images import Picture
from tui_mia.evidence import Appearances, blind_scores
from tui_mia.pools import Pair
from tui_mia.spec import AuditSpec

KNOWN, GENERAL, BANK, SCORED = 80, 400, 1024, 512
FEWEST_LOOKED_AT = 16


def time_after(spec: AuditSpec, dimension: int, seen: Sequence[tuple[Pair, Picture]]) -> AfterCost:
    """Time the work on embeddings of this many numbers, and the looks of these pairs; about two seconds."""
    blind = _blind_seconds(seen) if len(seen) >= FEWEST_LOOKED_AT else None
    step = light_step = row = None
    if spec.attacks.wsa is not None:
        _train(1, dimension, spec.views)  # the first is slower: threads start, memory is taken
        light_step, _ = _train(1, dimension, spec.views)
        step, row = _train(spec.attacks.wsa.seeds, dimension, spec.views)
    bank = _bank_seconds(dimension) if spec.attacks.loss is not None else None
    return AfterCost(blind, len(seen), step, light_step, row, bank)


def _blind_seconds(seen: Sequence[tuple[Pair, Picture]]) -> float:
    looks = [picture.appearance for _, picture in seen]
    appearances = Appearances(
        [pair.caption for pair, _ in seen],
        np.stack([look.form for look in looks]),
        np.stack([look.statistics for look in looks]),
    )
    rows = np.arange(len(seen))
    # The true sides don't matter: it is as much work where there is nothing to find.
    return _seconds(lambda: blind_scores(rows % 2 == 0, appearances, rows, 0))


def _train(seeds: int, dimension: int, views: int) -> tuple[float, float]:
    """Seconds of a step of so many classifiers side by side, and of a sample scored by them."""
    steps = 0

    def count(*_: object) -> None:
        nonlocal steps
        steps += 1

    attack = wsa("auto", seeds)[-1]
    known = Known(_MadeUp(KNOWN, dimension, views), _MadeUp(GENERAL, dimension, views), None, 100.0, 0)
    handle = register_optimizer_step_post_hook(count)
    began = time.perf_counter()
    try:
        fitted = attack.fit(known)
    finally:
        handle.remove()
    a_step = (time.perf_counter() - began) / max(steps, 1)
    block = _MadeUp(SCORED, dimension, views).take(np.arange(SCORED))
    fitted.score(block)
    return a_step, _seconds(lambda: fitted.score(block)) / SCORED


def _bank_seconds(dimension: int) -> float:
    (attack,) = loss()
    fitted = attack.fit(Known(_MadeUp(BANK, dimension, 0), None, None, 100.0, 0))
    queries = _MadeUp(SCORED, dimension, 0)
    fitted.score(queries.take(np.arange(SCORED)))
    return _seconds(lambda: fitted.score(queries.take(np.arange(SCORED)))) / SCORED / BANK


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


class _MadeUp:
    """A pool of n samples with embeddings [n, D] of chance."""

    def __init__(self, count: int, dimension: int, views: int) -> None:
        draw = np.random.default_rng(0)
        self.keys: NDArray[np.uint64] = np.arange(count, dtype=np.uint64)
        self.image_keys = self.keys
        self.similarities: NDArray[np.float32] = draw.normal(0.2, 0.05, (count, 1 + views)).astype(np.float32)
        embeddings = draw.normal(size=(2, count, dimension)).astype(np.float32)
        embeddings /= np.linalg.norm(embeddings, axis=2, keepdims=True)
        self._image, self._text = embeddings

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, rows: NDArray[np.int64]) -> Block:
        return Block(self.similarities[rows], self._image[rows], self._text[rows])
