"""Pairs from files: WebDataset tars, tables, image folders and COCO captions.

In come the sources of a pool; out go shards, and from each shard the same
stream of pairs at every reading, with one `Reject` for whatever is not a pair.
Images pass through as bytes: no decoder, no model and no database enters here.
"""

from tui_mia.pools.disjoint import Overlap, keep_apart
from tui_mia.pools.found import PoolError
from tui_mia.pools.pair import Pair, PoolName, Reject, Shard, image_digest, pair_id, sample_id
from tui_mia.pools.plan import plan_shards
from tui_mia.pools.read import keys_digest, read_shard

__all__ = [
    "Overlap",
    "Pair",
    "PoolError",
    "PoolName",
    "Reject",
    "Shard",
    "image_digest",
    "keep_apart",
    "keys_digest",
    "pair_id",
    "plan_shards",
    "read_shard",
    "sample_id",
]
