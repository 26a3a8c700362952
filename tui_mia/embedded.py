"""Embedded pools: what the encoder hands to the attacks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Block:
    """Some samples as the target model sees them.

    `similarities` is [n, 1 + K] float32: the cosine of image and caption, plain
    image first, then its K augmented views. `image` and `text` are [n, D]
    float32 embeddings of the plain image and the caption, of unit length.
    """

    similarities: NDArray[np.float32]
    image: NDArray[np.float32]
    text: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.similarities)

    def __getitem__(self, rows: NDArray[np.bool_] | slice) -> Block:
        return Block(self.similarities[rows], self.image[rows], self.text[rows])


class Pool(Protocol):
    """A pool of n samples: all its similarities at hand, its embeddings to be had by row.

    `keys` and `image_keys` are [n] uint64 hashes of the pair and of its image
    alone: an order and a grouping that depend on nothing but content.
    """

    @property
    def keys(self) -> NDArray[np.uint64]: ...

    @property
    def image_keys(self) -> NDArray[np.uint64]: ...

    @property
    def similarities(self) -> NDArray[np.float32]: ...

    def __len__(self) -> int: ...

    def take(self, rows: NDArray[np.int64]) -> Block: ...


@dataclass(frozen=True)
class Subset:
    """Some rows of a pool, as a pool."""

    pool: Pool
    rows: NDArray[np.int64]

    @property
    def keys(self) -> NDArray[np.uint64]:
        return self.pool.keys[self.rows]

    @property
    def image_keys(self) -> NDArray[np.uint64]:
        return self.pool.image_keys[self.rows]

    @property
    def similarities(self) -> NDArray[np.float32]:
        return self.pool.similarities[self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, rows: NDArray[np.int64]) -> Block:
        return self.pool.take(self.rows[rows])
