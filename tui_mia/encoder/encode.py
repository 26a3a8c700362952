"""The encoder: one pass over a shard, from pairs to similarities and embeddings."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from tui_mia.encoder.images import Picture, decoded_batches
from tui_mia.encoder.model import TargetModel
from tui_mia.encoder.parts import REJECTS, sample_keys, samples_schema
from tui_mia.encoder.views import make_view
from tui_mia.pools import Pair, Reject, sample_id


@dataclass(frozen=True)
class _Encoded:
    """One batch: similarities [n, 1 + K], image and text embeddings [n, D], all float32."""

    similarities: NDArray[np.float32]
    image: NDArray[np.float32]
    text: NDArray[np.float32]


def encode_shard(
    items: Iterable[Pair | Reject],
    model: TargetModel,
    views: int,
    view_seed: int,
    batch_size: int,
    on_batch: Callable[[int, int, int], None] = lambda samples, rejects, position: None,
) -> tuple[pa.Table, pa.Table]:
    """Encode the pairs of one shard: each image once a view, each distinct caption once.

    Batches never cross shards, so a shard that is encoded again gives the same
    numbers. `on_batch` hears how many samples and rejects the batch had, and how
    far into the shard it reaches.

    Returns:
        The samples, a table of `samples_schema`, and the rejects.
    """
    pairs: list[pa.RecordBatch] = []
    rejects: list[Reject] = []
    captions: dict[str, Tensor] = {}
    schema: pa.Schema | None = None
    for batch in decoded_batches(items, batch_size, model.preprocess):
        good = [item for item in batch if not isinstance(item, Reject)]
        bad = [item for item in batch if isinstance(item, Reject)]
        if good:
            ids = [sample_id(pair.image, pair.caption) for pair, _ in good]
            encoded = _encode_batch(good, ids, model, captions, views, view_seed, batch_size)
            finite = np.isfinite(encoded.similarities.sum(axis=1))
            bad += [
                Reject(pair.key, pair.source, "the model's embedding is not finite", pair.position)
                for (pair, _), usable in zip(good, finite, strict=True)
                if not usable
            ]
            schema = schema or samples_schema(views, encoded.image.shape[1])
            pairs.append(_record(good, ids, encoded, schema).filter(pa.array(finite)))
        rejects += bad
        last = batch[-1]
        on_batch(
            len(batch) - len(bad), len(bad), last.position if isinstance(last, Reject) else last[0].position
        )
    samples = pa.Table.from_batches(pairs, schema or samples_schema(views, 1))
    return samples, pa.Table.from_pylist(
        [{"source": r.source, "key": r.key, "reason": r.reason} for r in rejects], REJECTS
    )


@torch.inference_mode()
def _encode_batch(
    good: Sequence[tuple[Pair, Picture]],
    ids: Sequence[str],
    model: TargetModel,
    captions: dict[str, Tensor],
    views: int,
    view_seed: int,
    batch_size: int,
) -> _Encoded:
    text = _caption_embeddings([pair.caption for pair, _ in good], model, captions)
    distinct = list({id(picture): picture for _, picture in good}.values())
    place = {id(picture): row for row, picture in enumerate(distinct)}
    rows = torch.tensor([place[id(picture)] for _, picture in good])
    plain = torch.stack([picture.pixels for picture in distinct])
    image = model.encode_images(plain)[rows.to(model.device)]
    similarities = [_cosines(image, text)]
    if views:
        canvas = (plain * model.std + model.mean).clamp(0, 1).to(model.device)[rows.to(model.device)]
        mean, std = model.mean.to(model.device), model.std.to(model.device)
        keys = sample_keys(ids)
        for view in range(1, views + 1):
            augmented = (make_view(canvas, keys, view, view_seed) - mean) / std
            similarities.append(_cosines(model.encode_images(augmented), text))
    return _Encoded(torch.stack(similarities, dim=1).cpu().numpy(), image.cpu().numpy(), text.cpu().numpy())


def _caption_embeddings(batch: Sequence[str], model: TargetModel, known: dict[str, Tensor]) -> Tensor:
    """[n, D] embeddings of n captions; those not in `known` are encoded and added to it."""
    new = [caption for caption in dict.fromkeys(batch) if caption not in known]
    if new:
        known.update(zip(new, model.encode_texts(new), strict=True))
    return torch.stack([known[caption] for caption in batch])


def _cosines(image: Tensor, text: Tensor) -> Tensor:
    """Of [n, D] float32 embeddings of unit length: [n]."""
    return (image * text).sum(dim=-1)


def _record(
    good: Sequence[tuple[Pair, Picture]], ids: Sequence[str], encoded: _Encoded, schema: pa.Schema
) -> pa.RecordBatch:
    def rows_of(matrix: NDArray[np.float32]) -> pa.Array:
        flat = pa.array(np.ascontiguousarray(matrix).reshape(-1))
        return pa.FixedSizeListArray.from_arrays(flat, matrix.shape[1])

    metadata = [json.dumps(pair.metadata, ensure_ascii=False) if pair.metadata else None for pair, _ in good]
    return pa.RecordBatch.from_arrays(
        [
            pa.array(ids),
            pa.array([pair.key for pair, _ in good]),
            pa.array([pair.source for pair, _ in good]),
            pa.array([pair.caption for pair, _ in good]),
            pa.array([pair.member for pair, _ in good], pa.bool_()),
            pa.array([picture.width for _, picture in good], pa.int32()),
            pa.array([picture.height for _, picture in good], pa.int32()),
            pa.array(metadata, pa.string()),
            rows_of(encoded.similarities),
            rows_of(encoded.image),
            rows_of(encoded.text),
        ],
        schema=schema,
    )
