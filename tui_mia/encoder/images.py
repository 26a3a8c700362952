"""Images from bytes: decoded in threads, a few batches ahead of the model."""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

from PIL import Image
from torch import Tensor

from tui_mia.encoder.appearance import Appearance, appearance
from tui_mia.pools import Pair, Reject

LARGEST_IMAGE_PIXELS = 100_000_000
# The shorter side is scaled to the model's size: beyond this the longer one would fill the memory.
LARGEST_ASPECT_RATIO = 100
# Pillow hands these to other programs.
_NOT_DECODED = {"EPS", "WMF"}
BATCHES_AHEAD = 2


@dataclass(frozen=True)
class Picture:
    """An image as the models want it, and what it is by itself.

    `pixels` are [3, H, W] float32, normalised, as the target's preprocess
    leaves them, `reference_pixels` as the reference's does; `width` and
    `height` are the image's own, in pixels.
    """

    pixels: Tensor
    reference_pixels: Tensor | None
    width: int
    height: int
    appearance: Appearance


Preprocess: TypeAlias = Callable[[Image.Image], Tensor]
_Item: TypeAlias = Pair | Reject
_Job: TypeAlias = "tuple[_Item, Future[Picture | str] | None]"


def decode(image_bytes: bytes, preprocess: Preprocess, reference: Preprocess | None = None) -> Picture | str:
    """Decode to RGB once, as open_clip does in training, and preprocess as each model does; or say why not.

    `reference` is the preprocess of the reference model.
    """
    try:
        with Image.open(io.BytesIO(image_bytes)) as image:
            width, height = image.size
            if width * height > LARGEST_IMAGE_PIXELS:
                return f"image of {width}x{height} pixels is over the limit of 100 megapixels"
            if max(width, height) > LARGEST_ASPECT_RATIO * min(width, height):
                return f"image of {width}x{height} pixels is thinner than 1 to {LARGEST_ASPECT_RATIO}"
            if image.format in _NOT_DECODED:
                return f"image is {image.format}, which is drawn, not decoded; convert it"
            rgb = image.convert("RGB")
            return Picture(
                pixels=preprocess(rgb),
                reference_pixels=reference(rgb) if reference is not None else None,
                width=width,
                height=height,
                appearance=appearance(image, image_bytes, rgb),
            )
    except Exception as error:  # decoders of hostile bytes raise anything
        unknown = "cannot identify" in str(error)
        return "image is of no known format" if unknown else f"image is broken: {error}"


def decoded_batches(
    items: Iterable[_Item], size: int, preprocess: Preprocess, reference: Preprocess | None = None
) -> Iterator[list[tuple[Pair, Picture] | Reject]]:
    """Batches of `size` items, decoded by a thread a core while the model works on the batch before.

    Pairs in a row that share an image share its `Picture`.
    """
    items = iter(items)
    threads = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="decode")
    pending: deque[list[_Job]] = deque()
    try:
        while batch := list(islice(items, size)):
            pending.append(_submit(threads, batch, preprocess, reference))
            if len(pending) > BATCHES_AHEAD:
                yield [_result(job) for job in pending.popleft()]
        while pending:
            yield [_result(job) for job in pending.popleft()]
    finally:
        # Not waited for: a cancelled run must not sit through what is still to decode.
        threads.shutdown(wait=False, cancel_futures=True)


def _submit(
    threads: ThreadPoolExecutor,
    batch: Sequence[_Item],
    preprocess: Preprocess,
    reference: Preprocess | None,
) -> list[_Job]:
    jobs: list[_Job] = []
    previous: Pair | None = None
    for item in batch:
        if isinstance(item, Reject):
            jobs.append((item, None))
        elif previous is not None and item.image == previous.image:
            jobs.append((item, jobs[-1][1]))
        else:
            jobs.append((item, threads.submit(decode, item.image, preprocess, reference)))
        previous = item if isinstance(item, Pair) else None
    return jobs


def _result(job: _Job) -> tuple[Pair, Picture] | Reject:
    item, decoding = job
    if isinstance(item, Reject) or decoding is None:
        assert isinstance(item, Reject)
        return item
    picture = decoding.result()
    if isinstance(picture, str):
        return Reject(item.key, item.source, picture, item.position)
    return item, picture
