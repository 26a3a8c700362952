"""What a pool is made of: pairs, and what could not become one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from tui_mia.spec import PoolName as PoolName
from tui_mia.storage import Location

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"


@dataclass(frozen=True, slots=True)
class Pair:
    """An image and its caption, as found; the image is still encoded (JPEG, PNG, WebP).

    `position` says how far into its shard the reader is after this pair, in the
    unit of `Shard.extent`, so that progress can be told without counting ahead.
    """

    key: str
    source: str
    image: bytes
    caption: str
    position: int
    member: bool | None = None
    metadata: dict[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reject:
    """Something in a pool that is not a usable pair, and why."""

    key: str
    source: str
    reason: str
    position: int


@dataclass(frozen=True, slots=True)
class Shard:
    """The unit of work: a tar, or about 10,000 rows of a table, folder or caption file.

    `start` and `stop` are row numbers and `offset` the byte at which row `start`
    begins, where the format has such things. `extent` is the shard's size in
    bytes for a tar and in rows for anything else. `member` labels every pair of
    the shard, for pools whose labels come one a source.
    """

    pool: PoolName
    index: int
    format: Literal["webdataset", "table", "folder", "coco"]
    path: Location
    extent: int
    start: int = 0
    stop: int | None = None
    offset: int = 0
    member: bool | None = None


def sample_id(image: bytes, caption: str) -> str:
    """Identify a pair by content, in 32 hex digits.

    The first 16 are 64 bits of SHA-256 over the image bytes, so that samples
    that share an image can be told; the last 16 are over image and caption.
    """
    return pair_id(image_digest(image), caption)


def image_digest(image: bytes) -> bytes:
    """SHA-256 of the bytes of an image."""
    return hashlib.sha256(image).digest()


def pair_id(digest: bytes, caption: str) -> str:
    """The `sample_id` of a pair whose image has this digest."""
    return digest.hex()[:16] + hashlib.sha256(digest + caption.encode()).hexdigest()[:16]
