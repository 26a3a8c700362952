"""Small real images, and a pool read from end to end."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from tui_mia.pools import Pair, Reject, plan_shards, read_shard
from tui_mia.spec import PoolSpec


@pytest.fixture(scope="session")
def picture() -> Callable[..., bytes]:
    """Makes a tiny image whose bytes depend on a number."""

    def make(number: int = 0, image_format: str = "PNG") -> bytes:
        buffer = io.BytesIO()
        Image.new("RGB", (4, 4), (number % 256, number // 256 % 256, 7)).save(buffer, image_format)
        return buffer.getvalue()

    return make


@pytest.fixture(scope="session")
def read_pool() -> Callable[..., tuple[list[Pair], list[Reject]]]:
    """Plans a candidates pool from the keys of a spec, reads all its shards, and sorts pairs from rejects."""

    def read(rows_per_shard: int = 10_000, **keys: Any) -> tuple[list[Pair], list[Reject]]:
        spec = PoolSpec(**keys)
        items = [
            item
            for shard in plan_shards("candidates", spec, rows_per_shard)
            for item in read_shard(shard, spec)
        ]
        return [i for i in items if isinstance(i, Pair)], [i for i in items if isinstance(i, Reject)]

    return read
