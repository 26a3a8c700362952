"""The encoder: one pass over a shard, from pairs to what one model or two see in them."""

from __future__ import annotations

import json
from collections import deque
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
from tui_mia.encoder.parts import (
    REJECTS,
    WITHOUT_MODEL,
    SeenBy,
    lists_of,
    sample_keys,
    samples_schema,
)
from tui_mia.encoder.views import make_view
from tui_mia.pools import Pair, Reject, pair_id

Pairing: TypeAlias = tuple[Pair, Picture]

# Batches that a GPU may have before it, so that it never waits for the next.
BATCHES_UNDER_WAY = 2
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

    @property
    def is_halved(self) -> bool:
        return self._most is not None

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
    """Of one batch, similarities [n, 1 + K], image and text embeddings [n, D], float32 on the model's device.

    `work` is what that was.
    """

    similarities: Tensor
    image: Tensor
    text: Tensor
    work: Work


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
    """A model at work on one shard: the embeddings of captions that it has seen there, and all results."""

    model: TargetModel
    seen_by: SeenBy
    pixels: Callable[[Picture], Tensor | None]
    meter: Meter
    captions: dict[str, Tensor] = field(default_factory=dict)
    results: list[_Encoded] = field(default_factory=list)
    under_way: deque[torch.cuda.Event] = field(default_factory=deque)

    def keep(self, encoded: _Encoded) -> None:
        """Keep what a batch gave; a GPU may be some batches behind, and no more: its inputs would pile up."""
        self.results.append(encoded)
        self.meter.worked(self.model, encoded.work)
        if self.model.device.type == "cuda":
            self.under_way.append(torch.cuda.current_stream(self.model.device).record_event())
            if len(self.under_way) > BATCHES_UNDER_WAY:
                with self.meter.stage("model"):
                    self.under_way.popleft().synchronize()

    def seen(self) -> list[list[NDArray[np.float32]]]:
        """Similarities, image and text embeddings of all samples, each in pieces."""
        columns = zip(*((each.similarities, each.image, each.text) for each in self.results), strict=True)
        with self.meter.stage("model"):
            return [[piece.cpu().numpy() for piece in column] for column in columns]

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
    decoders: int | None = None,
) -> tuple[pa.Table, pa.Table]:
    """Encode the pairs of one shard: each image is decoded once, and encoded once a view and model.

    Each distinct caption is encoded once a model. Batches never cross shards,
    so a shard that is encoded again gives the same numbers. `on_batch` hears
    how many samples and rejects the batch had, and how far into the shard it
    reaches; at the end, how many of the samples became rejects because a model
    overflowed on them. What models see stays on their device until then. Where a
    device has no memory for a batch, it takes it in pieces, and `limit` remembers of
    what size. `meter` hears of all that is done. `known` are the samples as an earlier
    run with the first of the views left them: of those only the other views are encoded.
    Images are decoded by so many threads as `decoders` says, by default one a core.

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
    stored = _Known(known)
    preprocesses = [encoder.model.preprocess for encoder in encoders]
    position = 0
    for batch in meter.waiting(decoded_batches(items, batch_size, *preprocesses, threads=decoders)):
        good = [item for item in batch if not isinstance(item, Reject)]
        bad = [item for item in batch if isinstance(item, Reject)]
        if good:
            ids = [pair_id(picture.digest, pair.caption) for pair, picture in good]
            pairs.append(_record(good, ids))
            rows = stored.next(ids)
            for encoder in encoders:
                encoder.keep(_encode(good, ids, encoder, views, view_seed, limit, encoder.known(rows)))
        rejects += bad
        last = batch[-1]
        position = last.position if isinstance(last, Reject) else last[0].position
        meter.encoded(len(good), len(bad))
        on_batch(len(good), len(bad), position)
    told = pa.Table.from_pylist(
        [{"source": r.source, "key": r.key, "reason": r.reason} for r in rejects], REJECTS
    )
    samples, broken = _samples(pairs, encoders, views)
    if broken.num_rows:
        meter.encoded(-broken.num_rows, broken.num_rows)
        on_batch(-broken.num_rows, broken.num_rows, position)
    return samples, pa.concat_tables([told, broken])


def _samples(
    pairs: Sequence[pa.RecordBatch], encoders: Sequence[_Encoder], views: int
) -> tuple[pa.Table, pa.Table]:
    """The samples of a shard as every model sees them, and as rejects those that a model overflows on."""
    if not pairs:
        return samples_schema(views, *(1 for _ in encoders)).empty_table(), REJECTS.empty_table()
    seen = [encoder.seen() for encoder in encoders]
    schema = samples_schema(views, *(image[0].shape[1] for _, image, _ in seen))
    of_models = [
        pa.chunked_array([lists_of(piece) for piece in column]) for of_model in seen for column in of_model
    ]
    samples = pa.table([*pa.Table.from_batches(pairs).columns, *of_models], schema=schema)
    finite = [np.isfinite(np.concatenate([piece.sum(axis=1) for piece in of_model[0]])) for of_model in seen]
    if np.all(finite):
        return samples, REJECTS.empty_table()
    broken = np.flatnonzero(~np.all(finite, axis=0))
    # The reason is that of the first model that overflows.
    reasons = [NOT_FINITE[encoders[place].seen_by] for place in np.argmin(finite, axis=0)[broken]]
    rejects = samples.select(["source", "key"]).take(broken).append_column("reason", [reasons])
    return samples.filter(pa.array(np.all(finite, axis=0))), rejects.cast(REJECTS)


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
    signs = ("can't allocate memory", "STATUS_ALLOC_FAILED")
    return isinstance(error, torch.OutOfMemoryError) or any(sign in str(error) for sign in signs)


def _joined(pieces: Sequence[_Encoded]) -> _Encoded:
    if len(pieces) == 1:
        return pieces[0]
    return _Encoded(
        similarities=torch.cat([piece.similarities for piece in pieces]),
        image=torch.cat([piece.image for piece in pieces]),
        text=torch.cat([piece.text for piece in pieces]),
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
    return _Encoded(torch.stack(similarities, dim=1), image, text, work)


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


def _record(good: Sequence[Pairing], ids: Sequence[str]) -> pa.RecordBatch:
    """What the samples of a batch are, and what their images look like to no model."""
    metadata = [json.dumps(pair.metadata, ensure_ascii=False) if pair.metadata else None for pair, _ in good]
    seen = [picture.appearance for _, picture in good]
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
        ],
        schema=WITHOUT_MODEL,
    )
