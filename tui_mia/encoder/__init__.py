"""Encoder: pairs come in, similarities and embeddings go out, as Parquet parts of a run directory.

The only room that loads and runs a target model, and a reference model beside
it. Every image is decoded once, and encoded once a view and model. No attack,
label or figure enters this room.
"""

from tui_mia.encoder.batch_size import choose_batch_size
from tui_mia.encoder.encode import BatchLimit
from tui_mia.encoder.encoded_pool import EncodedPool, PoolAppearances
from tui_mia.encoder.encoding import encoding_of, other_models, other_ways
from tui_mia.encoder.meter import Meter
from tui_mia.encoder.model import ModelError, TargetModel, cpu_identity, device_identity, load_target
from tui_mia.encoder.parts import SeenBy, part_paths, read_rejects
from tui_mia.encoder.reuse import Reuse, ReuseCounts
from tui_mia.encoder.reuse_index import read_indexes
from tui_mia.encoder.schedule import Job, Schedule
from tui_mia.encoder.shard_encoder import ShardEncoder, encode_here
from tui_mia.encoder.stability import Reencoded, reencode

__all__ = [
    "BatchLimit",
    "EncodedPool",
    "Job",
    "Meter",
    "ModelError",
    "PoolAppearances",
    "Reencoded",
    "Reuse",
    "ReuseCounts",
    "Schedule",
    "SeenBy",
    "ShardEncoder",
    "TargetModel",
    "choose_batch_size",
    "cpu_identity",
    "device_identity",
    "encode_here",
    "encoding_of",
    "load_target",
    "other_models",
    "other_ways",
    "part_paths",
    "read_indexes",
    "read_rejects",
    "reencode",
]
