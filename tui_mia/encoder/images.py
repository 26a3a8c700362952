"""Images from bytes: decoded in threads, a few batches ahead of the model."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

from PIL import Image
from torch import Tensor

from tui_mia.encoder.appearance import Appearance, Glimpse, appearances, glimpse
from tui_mia.encoder.machine import cores
from tui_mia.encoder.preprocess import Preprocess
from tui_mia.image_formats import IMAGE_FORMATS, why_not_decoded
from tui_mia.pools import Pair, Reject, image_digest

LARGEST_IMAGE_PIXELS = 100_000_000
# The shorter side is scaled to the model's size: beyond this the longer one would fill the memory.
LARGEST_ASPECT_RATIO = 100
BATCHES_AHEAD = 2
# Images that one thread takes at once: their appearance is told together.
MOST_TOGETHER = 8


@dataclass(frozen=True)
class Picture:
    """An image as the models want it, and what it is by itself.

    `pixels` are [3, H, W] uint8, as the target's preprocess leaves them,
    `reference_pixels` as the reference's does; `digest` is of the image's bytes;
    `width` and `height` are its own, in pixels.
    """

    digest: bytes
    pixels: Tensor
    reference_pixels: Tensor | None
    width: int
    height: int
    appearance: Appearance


_Item: TypeAlias = Pair | Reject


@dataclass(frozen=True)
class _Batch:
    """Items at work: for each the place of its image among all that `decoding` will give, -1 of a reject."""

    items: Sequence[_Item]
    places: Sequence[int]
    decoding: Sequence[Future[list[Picture | str]]]


@dataclass(frozen=True)
class _Decoded:
    digest: bytes
    pixels: Tensor
    reference_pixels: Tensor | None
    width: int
    height: int
    glimpse: Glimpse


def decode(image_bytes: bytes, preprocess: Preprocess, reference: Preprocess | None = None) -> Picture | str:
    """Decode to RGB once, as open_clip does in training, and preprocess as each model does; or say why not.

    `reference` is the preprocess of the reference model.
    """
    return decode_together([image_bytes], preprocess, reference)[0]


def decode_together(
    images: Sequence[bytes], preprocess: Preprocess, reference: Preprocess | None = None
) -> list[Picture | str]:
    """Each of a few images as `decode` gives it."""
    decoded = [_decode(image_bytes, preprocess, reference) for image_bytes in images]
    good = [each.glimpse for each in decoded if isinstance(each, _Decoded)]
    seen = iter(appearances(good))
    return [
        Picture(each.digest, each.pixels, each.reference_pixels, each.width, each.height, next(seen))
        if isinstance(each, _Decoded)
        else each
        for each in decoded
    ]


def _decode(image_bytes: bytes, preprocess: Preprocess, reference: Preprocess | None) -> _Decoded | str:
    try:
        with Image.open(io.BytesIO(image_bytes), formats=IMAGE_FORMATS) as image:
            width, height = image.size
            if width * height > LARGEST_IMAGE_PIXELS:
                return f"image of {width}x{height} pixels is over the limit of 100 megapixels"
            if max(width, height) > LARGEST_ASPECT_RATIO * min(width, height):
                return f"image of {width}x{height} pixels is thinner than 1 to {LARGEST_ASPECT_RATIO}"
            rgb = image.convert("RGB")
            return _Decoded(
                digest=image_digest(image_bytes),
                pixels=preprocess(rgb),
                reference_pixels=reference(rgb) if reference is not None else None,
                width=width,
                height=height,
                glimpse=glimpse(image, image_bytes, rgb),
            )
    except Exception as error:  # decoders of hostile bytes raise anything
        return f"image {why_not_decoded(error)}"


def decoded_batches(
    items: Iterable[_Item],
    size: int,
    preprocess: Preprocess,
    reference: Preprocess | None = None,
    *,
    threads: int | None = None,
) -> Iterator[list[tuple[Pair, Picture] | Reject]]:
    """Batches of `size` items, decoded while the model works on the batch before; by a thread a core.

    Pairs in a row that share an image share its `Picture`.
    """
    items, decoders = iter(items), threads or cores()
    pool = ThreadPoolExecutor(decoders, thread_name_prefix="decode")
    pending: deque[_Batch] = deque()
    try:
        while batch := list(islice(items, size)):
            pending.append(_submit(pool, decoders, batch, preprocess, reference))
            if len(pending) > BATCHES_AHEAD:
                yield _results(pending.popleft())
        while pending:
            yield _results(pending.popleft())
    finally:
        # Not waited for: a cancelled run must not sit through what is still to decode.
        pool.shutdown(wait=False, cancel_futures=True)


def _submit(
    pool: ThreadPoolExecutor,
    decoders: int,
    batch: Sequence[_Item],
    preprocess: Preprocess,
    reference: Preprocess | None,
) -> _Batch:
    images: list[bytes] = []
    places: list[int] = []
    previous: Pair | None = None
    for item in batch:
        if isinstance(item, Reject):
            places.append(-1)
            previous = None
            continue
        if previous is None or item.image != previous.image:
            images.append(item.image)
        places.append(len(images) - 1)
        previous = item
    # Few images are for many threads: of all batches ahead, two jobs each.
    a_thread = len(images) * (BATCHES_AHEAD + 1) // decoders
    together = max(1, min(MOST_TOGETHER, a_thread // 2))
    decoding = [
        pool.submit(decode_together, images[start : start + together], preprocess, reference)
        for start in range(0, len(images), together)
    ]
    return _Batch(batch, places, decoding)


def _results(batch: _Batch) -> list[tuple[Pair, Picture] | Reject]:
    pictures = [picture for future in batch.decoding for picture in future.result()]
    results: list[tuple[Pair, Picture] | Reject] = []
    for item, place in zip(batch.items, batch.places, strict=True):
        if isinstance(item, Reject):
            results.append(item)
        elif isinstance(picture := pictures[place], str):
            results.append(Reject(item.key, item.source, picture, item.position))
        else:
            results.append((item, picture))
    return results
