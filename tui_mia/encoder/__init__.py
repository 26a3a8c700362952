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
from tui_mia.encoder.model import ModelError, TargetModel, device_identity, load_target
from tui_mia.encoder.parts import SeenBy, part_paths, read_rejects
from tui_mia.encoder.reuse import Reuse
from tui_mia.encoder.reuse_index import read_index
from tui_mia.encoder.schedule import encode_pools
from tui_mia.encoder.stability import Reencoded, reencode

__all__ = [
    "BatchLimit",
    "EncodedPool",
    "Meter",
    "ModelError",
    "PoolAppearances",
    "Reencoded",
    "Reuse",
    "SeenBy",
    "TargetModel",
    "choose_batch_size",
    "device_identity",
    "encode_pools",
    "encoding_of",
    "load_target",
    "other_models",
    "other_ways",
    "part_paths",
    "read_index",
    "read_rejects",
    "reencode",
]
