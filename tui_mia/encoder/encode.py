"""The encoder: one pass over a shard, from pairs to what one model or two see in them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from tui_mia.embedded import Block
from tui_mia.encoder.encoded_pool import block_of
from tui_mia.encoder.fast_paths import tokens_run
from tui_mia.encoder.images import Picture, decoded_batches
from tui_mia.encoder.meter import Meter, Work
from tui_mia.encoder.model import ModelError, TargetModel
from tui_mia.encoder.parts import REJECTS, SeenBy, lists_of, sample_keys, samples_schema
from tui_mia.encoder.views import make_view
from tui_mia.pools import Pair, Reject, pair_id

Pairing: TypeAlias = tuple[Pair, Picture]

# Why a pair is rejected that a model overflows on, be it in one view only.
NOT_FINITE: dict[SeenBy, str] = {
    "target": "the model's embedding is not finite",
    "reference": "the reference model's embedding is not finite",
}


class BatchLimit:
    """How many pairs go through the models at once: fewer, once a device had no memory for so many.

    `tell` hears of it the first time.
    """

    def __init__(self, tell: Callable[[str], None] = lambda message: None) -> None:
        self._tell = tell
        self._most: int | None = None

    def size(self, wanted: int) -> int:
        return wanted if self._most is None else min(wanted, self._most)

    def halve(self, size: int) -> None:
        """Half of `size`, from now on.

        Raises:
            ModelError: if that was one pair.
        """
        if size == 1:
            raise ModelError(
                "the device has no memory for a single pair; free some, use a smaller model, "
                'model.precision = "fast" or model.device = "cpu"'
            )
        if self._most is None:
            self._tell(f"no memory for {size} pairs at once: going on with {size // 2}, and fewer if need be")
        self._most = size // 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


@dataclass(frozen=True)
class _Encoded:
    """One batch: similarities [n, 1 + K], image and text embeddings [n, D], all float32; what that was."""

    similarities: NDArray[np.float32]
    image: NDArray[np.float32]
    text: NDArray[np.float32]
    work: Work

    @property
    def finite(self) -> NDArray[np.bool_]:
        """[n], False where the model overflowed."""
        result: NDArray[np.bool_] = np.isfinite(self.similarities.sum(axis=1))
        return result


class _Known:
    """What an earlier run saw in the pairs of a shard, in their order, with the first of the views."""

    def __init__(self, samples: pa.Table | None) -> None:
        self._samples = samples
        self._row = 0

    def next(self, ids: Sequence[str]) -> pa.Table | None:
        """The rows of the next pairs; None where they are not these."""
        if self._samples is None:
            return None
        rows = self._samples.slice(self._row, len(ids))
        if rows["sample_id"].to_pylist() != ids:
            return None
        self._row += len(ids)
        return rows


@dataclass(frozen=True)
class _Encoder:
    """A model at work on one shard, with the embeddings of the captions that it has seen there."""

    model: TargetModel
    seen_by: SeenBy
    pixels: Callable[[Picture], Tensor | None]
    meter: Meter
    captions: dict[str, Tensor] = field(default_factory=dict)

    def known(self, rows: pa.Table | None) -> Block | None:
        """What an earlier run saw with this model."""
        return None if rows is None else block_of(rows, self.seen_by)


def encode_shard(
    items: Iterable[Pair | Reject],
    model: TargetModel,
    views: int,
    view_seed: int,
    batch_size: int,
    on_batch: Callable[[int, int, int], None] = lambda samples, rejects, position: None,
    reference: TargetModel | None = None,
    limit: BatchLimit | None = None,
    meter: Meter | None = None,
    known: pa.Table | None = None,
) -> tuple[pa.Table, pa.Table]:
    """Encode the pairs of one shard: each image is decoded once, and encoded once a view and model.

    Each distinct caption is encoded once a model. Batches never cross shards,
    so a shard that is encoded again gives the same numbers. `on_batch` hears
    how many samples and rejects the batch had, and how far into the shard it
    reaches. Where a device has no memory for a batch, it takes it in pieces, and
    `limit` remembers of what size. `meter` hears of all that is done. `known` are
    the samples as an earlier run with the first of the views left them: of
    those only the other views are encoded.

    Returns:
        The samples, a table of `samples_schema`, and the rejects.

    Raises:
        ModelError: if a device has no memory for a single pair.
    """
    limit, meter = limit or BatchLimit(), meter or Meter()
    pairs: list[pa.RecordBatch] = []
    rejects: list[Reject] = []
    encoders = [_Encoder(model, "target", lambda picture: picture.pixels, meter)]
    if reference is not None:
        encoders.append(_Encoder(reference, "reference", lambda picture: picture.reference_pixels, meter))
    schema: pa.Schema | None = None
    stored = _Known(known)
    preprocesses = [encoder.model.preprocess for encoder in encoders]
    for batch in meter.waiting(decoded_batches(items, batch_size, *preprocesses)):
        good = [item for item in batch if not isinstance(item, Reject)]
        bad = [item for item in batch if isinstance(item, Reject)]
        if good:
            ids = [pair_id(picture.digest, pair.caption) for pair, picture in good]
            rows = stored.next(ids)
            encoded = [
                _encode(good, ids, encoder, views, view_seed, limit, encoder.known(rows))
                for encoder in encoders
            ]
            usable = np.ones(len(good), dtype=np.bool_)
            for encoder, of_model in zip(encoders, encoded, strict=True):
                meter.worked(encoder.model, of_model.work)
                broken = np.flatnonzero(usable & ~of_model.finite)
                bad += [
                    Reject(pair.key, pair.source, NOT_FINITE[encoder.seen_by], pair.position)
                    for pair, _ in (good[row] for row in broken)
                ]
                usable[broken] = False
            schema = schema or samples_schema(views, *(of_model.image.shape[1] for of_model in encoded))
            pairs.append(_record(good, ids, encoded, schema).filter(pa.array(usable)))
        rejects += bad
        meter.encoded(len(batch) - len(bad), len(bad))
        last = batch[-1]
        on_batch(
            len(batch) - len(bad), len(bad), last.position if isinstance(last, Reject) else last[0].position
        )
    samples = pa.Table.from_batches(pairs, schema or samples_schema(views, *(1 for _ in encoders)))
    return samples, pa.Table.from_pylist(
        [{"source": r.source, "key": r.key, "reason": r.reason} for r in rejects], REJECTS
    )


def _encode(
    good: Sequence[Pairing],
    ids: Sequence[str],
    encoder: _Encoder,
    views: int,
    view_seed: int,
    limit: BatchLimit,
    known: Block | None,
) -> _Encoded:
    """A batch, in as many pieces as the device's memory makes necessary."""
    while True:
        size = limit.size(len(good))
        try:
            pieces = [
                _encode_batch(
                    good[piece],
                    ids[piece],
                    encoder,
                    views,
                    view_seed,
                    None if known is None else known[piece],
                )
                for piece in (slice(start, start + size) for start in range(0, len(good), size))
            ]
        except RuntimeError as error:
            if not _lacks_memory(error):
                raise
        else:
            return _joined(pieces)
        # Here the error is gone, and with it what it held of the device's memory.
        limit.halve(size)


def _lacks_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _joined(pieces: Sequence[_Encoded]) -> _Encoded:
    if len(pieces) == 1:
        return pieces[0]
    return _Encoded(
        similarities=np.concatenate([piece.similarities for piece in pieces]),
        image=np.concatenate([piece.image for piece in pieces]),
        text=np.concatenate([piece.text for piece in pieces]),
        work=sum((piece.work for piece in pieces), Work()),
    )


@torch.inference_mode()
def _encode_batch(
    good: Sequence[Pairing],
    ids: Sequence[str],
    encoder: _Encoder,
    views: int,
    view_seed: int,
    known: Block | None,
) -> _Encoded:
    model, stage = encoder.model, encoder.meter.stage
    if known is None:
        with stage("model"):
            text, work = _caption_embeddings([pair.caption for pair, _ in good], model, encoder.captions)
    else:
        text, work = torch.tensor(known.text, device=model.device), Work()
    distinct = list({id(picture): picture for _, picture in good}.values())
    place = {id(picture): row for row, picture in enumerate(distinct)}
    rows = torch.tensor([place[id(picture)] for _, picture in good])
    pixels = [encoder.pixels(picture) for picture in distinct]
    plain = model.to_device([each for each in pixels if each is not None])
    rows = rows.to(model.device)
    if known is None:
        with stage("model"):
            image = model.encode_images(plain)[rows]
        similarities = [_cosines(image, text)]
        work += Work(images=len(distinct))
    else:
        image = torch.tensor(known.image, device=model.device)
        similarities = list(torch.tensor(known.similarities, device=model.device).T)
    canvas, keys = plain[rows], sample_keys(ids)
    for view in range(len(similarities), views + 1):
        with stage("views"):
            augmented = make_view(canvas, keys, view, view_seed)
        with stage("model"):
            similarities.append(_cosines(model.encode_images(augmented), text))
        work += Work(images=len(good))
    return _Encoded(
        torch.stack(similarities, dim=1).cpu().numpy(), image.cpu().numpy(), text.cpu().numpy(), work
    )


def _caption_embeddings(
    batch: Sequence[str], model: TargetModel, known: dict[str, Tensor]
) -> tuple[Tensor, Work]:
    """[n, D] embeddings of n captions; those not in `known` are encoded and added to it."""
    new = [caption for caption in dict.fromkeys(batch) if caption not in known]
    work = Work()
    if new:
        tokens = model.tokenizer(new)
        known.update(zip(new, model.encode_tokens(tokens), strict=True))
        work = Work(captions=len(new), tokens=tokens_run(model.network, tokens))
    return torch.stack([known[caption] for caption in batch]), work


def _cosines(image: Tensor, text: Tensor) -> Tensor:
    """Of [n, D] float32 embeddings of unit length: [n]."""
    return (image * text).sum(dim=-1)


def _record(
    good: Sequence[Pairing], ids: Sequence[str], encoded: Sequence[_Encoded], schema: pa.Schema
) -> pa.RecordBatch:
    metadata = [json.dumps(pair.metadata, ensure_ascii=False) if pair.metadata else None for pair, _ in good]
    seen = [picture.appearance for _, picture in good]
    of_models = [(of_model.similarities, of_model.image, of_model.text) for of_model in encoded]
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
            lists_of(np.stack([appearance.form for appearance in seen])),
            lists_of(np.stack([appearance.statistics for appearance in seen])),
            pa.array([appearance.perceptual_hash for appearance in seen], pa.uint64()),
            *(lists_of(matrix) for of_model in of_models for matrix in of_model),
        ],
        schema=schema,
    )
