"""Encodes some samples again, in another order and other batches: the model should see the same in them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from tui_mia.embedded import Block
from tui_mia.encoder.encode import encode_shard
from tui_mia.encoder.encoded_pool import EncodedPool, block_of
from tui_mia.encoder.model import TargetModel
from tui_mia.encoder.parts import PART_ENTRIES, first_part
from tui_mia.pools import Pair, Shard, read_shard, sample_id
from tui_mia.spec import PoolSpec

# One in so many, within these bounds: more would cost a small audit time that tells it nothing.
ONE_IN = 32
FEWEST_SAMPLES, SAMPLES = 16, 128
# Of a large pool no more than the beginnings of this many shards are read again.
SHARDS = 4
FROM_THE_FRONT = 2048


@dataclass(frozen=True)
class Reencoded:
    """The same k samples as they were stored and as they were encoded again, row by row.

    `missing` counts those that could not be had again: a file has changed since,
    or an image could not be encoded this time.
    """

    sample_ids: list[str]
    stored: Block
    again: Block
    missing: int


def reencode(
    shards: Sequence[Shard],
    spec: PoolSpec,
    folder: Path,
    model: TargetModel,
    views: int,
    view_seed: int,
    batch_size: int,
) -> Reencoded:
    """Encode 16 to 128 samples of a pool again from their sources; its parts lie in `folder`.

    They are those with the lowest hashes of content near the front of up to four
    shards, spread over the pool. They are encoded in the order of their hashes,
    in batches of another size than `batch_size`.

    Raises:
        PoolError: if a source can't be opened any more.
    """
    encoded = [(shard, path) for shard in shards if (path := first_part(folder, shard.pool, shard.index))]
    chosen = [encoded[place] for place in _spread(len(encoded))]
    total = sum(pq.read_metadata(path).num_rows for _, path in encoded)
    size = min(max(total // ONE_IN, FEWEST_SAMPLES), SAMPLES)
    sought, pairs = 0, list[Pair]()
    for shard, path in chosen:
        lowest = _lowest(path, size // len(chosen))
        sought += len(lowest)
        pairs += _find(shard, spec, lowest)
    pairs.sort(key=lambda pair: sample_id(pair.image, pair.caption)[16:])
    samples, _ = encode_shard(pairs, model, views, view_seed, max(1, batch_size // 3))
    ids = samples["sample_id"].to_pylist()
    pool = EncodedPool([path for _, path in chosen])
    row_of = {name: row for row, name in enumerate(pool.sample_ids.to_pylist())}
    again = block_of(samples)
    stored = pool.take(np.array([row_of[name] for name in ids])) if ids else again
    return Reencoded(ids, stored, again, sought - len(ids))


def _spread(count: int) -> list[int]:
    """Up to SHARDS places in a list of `count`, its ends among them."""
    return sorted({round(place) for place in np.linspace(0, count - 1, SHARDS).tolist()}) if count else []


def _lowest(path: Path, count: int) -> set[str]:
    """The ids with the lowest hashes near the front of a part; a repeated pair counts once."""
    pool = EncodedPool([path])
    front = slice(0, min(len(pool), FROM_THE_FRONT))
    _, rows = np.unique(pool.keys[front], return_index=True)
    return set(pool.sample_ids.take(rows[:count]).to_pylist())


def _find(shard: Shard, spec: PoolSpec, ids: Collection[str]) -> Iterator[Pair]:
    """The pairs with these ids in the first part of a shard, which is read no further than needed."""
    missing = set(ids)
    for item in islice(read_shard(shard, spec), PART_ENTRIES):
        if not missing:
            return
        if isinstance(item, Pair) and (name := sample_id(item.image, item.caption)) in missing:
            missing.remove(name)
            yield item
