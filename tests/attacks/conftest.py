"""Pools in memory: unit vectors whose similarities are known, members' a little higher."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from tui_mia.embedded import Block, Pool


@dataclass(frozen=True)
class MemoryPool:
    """A pool whose embeddings are at hand."""

    keys: NDArray[np.uint64]
    block: Block
    images: NDArray[np.uint64] | None = None

    @property
    def image_keys(self) -> NDArray[np.uint64]:
        """Every pair has an image of its own, unless `images` says otherwise."""
        return self.keys if self.images is None else self.images

    @property
    def similarities(self) -> NDArray[np.float32]:
        return self.block.similarities

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, rows: NDArray[np.int64]) -> Block:
        return Block(self.block.similarities[rows], self.block.image[rows], self.block.text[rows])


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    norms: NDArray[np.float64] = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / norms


@pytest.fixture(scope="session")
def pool_of() -> Callable[..., Pool]:
    """A pool of a block, with keys by its content or as given."""

    def pool_of(
        block: Block, keys: NDArray[np.uint64] | None = None, images: NDArray[np.uint64] | None = None
    ) -> Pool:
        rows = np.concatenate([block.image, block.text], axis=1)
        digests = b"".join(hashlib.sha256(row.tobytes()).digest()[:8] for row in rows)
        return MemoryPool(np.frombuffer(digests, dtype=np.uint64) if keys is None else keys, block, images)

    return pool_of


@pytest.fixture(scope="session")
def make_pool(pool_of: Callable[..., Pool]) -> Callable[..., Pool]:
    """Draws a pool of pairs from 40 topics; the similarity of the first `members` is `shift` higher.

    The topics are the same for every pool; `sort` puts the pairs of a topic together.
    """

    def make_pool(
        seed: int,
        size: int,
        members: int = 0,
        shift: float = 0.1,
        views: int = 3,
        sort: bool = False,
        dimension: int = 16,
    ) -> Pool:
        topics = np.random.default_rng(0).normal(size=(40, dimension))
        random = np.random.default_rng([seed, size])
        topic = random.integers(40, size=size)
        topic = np.sort(topic) if sort else topic
        text = _unit(topics[topic] + 0.5 * random.normal(size=(size, dimension)))
        other = random.normal(size=(size, dimension))
        across = _unit(other - (other * text).sum(axis=1, keepdims=True) * text)
        cosine = np.clip(
            0.4 + 0.1 * random.normal(size=size) + shift * (np.arange(size) < members), -0.95, 0.95
        )
        image = cosine[:, None] * text + np.sqrt(1 - cosine[:, None] ** 2) * across
        augmented = cosine[:, None] - 0.05 * random.random(size=(size, views))
        similarities = np.concatenate([cosine[:, None], augmented], axis=1)
        narrow = (array.astype(np.float32) for array in (similarities, image, text))
        return pool_of(Block(*narrow))

    return make_pool


@pytest.fixture(scope="session")
def pool_of_cosines(pool_of: Callable[..., Pool]) -> Callable[..., Pool]:
    """A pool of the given similarities, for what looks at nothing else; keys count from `first_key`."""

    def pool_of_cosines(similarities: NDArray[np.float32], first_key: int = 0) -> Pool:
        cosines = np.asarray(similarities, dtype=np.float32)
        wide = cosines[:, None] if cosines.ndim == 1 else cosines
        nothing = np.zeros((len(wide), 2), dtype=np.float32)
        return pool_of(
            Block(wide, nothing, nothing), np.arange(len(wide), dtype=np.uint64) + np.uint64(first_key)
        )

    return pool_of_cosines


@pytest.fixture(scope="session")
def shuffled(pool_of: Callable[..., Pool]) -> Callable[..., Pool]:
    """The same pool in another order, given as the rows of the old one."""

    def shuffled(pool: Pool, order: NDArray[np.int64]) -> Pool:
        return pool_of(pool.take(order), pool.keys[order])

    return shuffled
