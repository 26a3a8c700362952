"""How fast this machine is at what audits are made of, and what an audit would choose on it.

`python -P -m tui_mia.machine_speed`, started by `tui-mia doctor`: torch loads here and
not there. The last line that it prints is one JSON object.
"""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

from tui_mia.costs import DeviceSpeed
from tui_mia.encoder import device_identity
from tui_mia.encoder.batch_size import ON_CPU
from tui_mia.encoder.fast_paths import packing_pays
from tui_mia.encoder.images import decoded_batches
from tui_mia.encoder.machine import matmul_flops
from tui_mia.encoder.model import DTYPES, NumberFormat, choose_number_format
from tui_mia.encoder.preprocess import in_bytes
from tui_mia.pools import Pair
from tui_mia.runs.device_lock import device_lock

FORMATS: dict[str, tuple[NumberFormat, ...]] = {"cpu": ("fp32", "bf16"), "cuda": ("fp32", "bf16", "fp16")}
PRODUCT_SECONDS = 0.5
# A photograph as many collections have it.
WIDTH, HEIGHT, QUALITY = 640, 427, 90
DIFFERENT_IMAGES = 32
DECODING_SECONDS = 1.5


class _BusyError(Exception):
    pass


def main() -> None:
    devices = [torch.device("cpu")]
    devices += [torch.device("cuda", number) for number in range(torch.cuda.device_count())]
    speeds = [_speed(device) for device in devices]
    ways = ("exact", "fast") if speeds[0].flops else ()
    decoding = {way: _decoding(fast=way == "fast") for way in ways}
    print(
        json.dumps(
            {
                "devices": [asdict(speed) for speed in speeds],
                "threads": torch.get_num_threads(),
                "decode_threads": os.cpu_count(),
                "images_per_second": decoding,
                "image": f"{WIDTH}x{HEIGHT} JPEG",
            }
        )
    )


def _speed(device: torch.device) -> DeviceSpeed:
    on_gpu = device.type == "cuda"
    known: dict[str, Any] = {
        "device": str(device),
        "uuid": f"GPU-{torch.cuda.get_device_properties(device).uuid}" if on_gpu else None,
        "name": torch.cuda.get_device_name(device) if on_gpu else None,
        "batch_size": None if on_gpu else ON_CPU,
    }
    try:
        with _alone_on(device):
            flops, problems = _flops(device)
            return DeviceSpeed(
                **known,
                flops=flops,
                problem="; ".join(problems) or None,
                packed=None if on_gpu else packing_pays(torch.float32),
                exact=choose_number_format("exact", device),
                fast=choose_number_format("fast", device),
            )
    except _BusyError:
        return DeviceSpeed(**known, problem="a run is using it: not measured")


@contextmanager
def _alone_on(device: torch.device) -> Iterator[None]:
    """Keep runs off a device meanwhile; raises `_BusyError` if one is using it."""

    def busy(message: str) -> None:
        raise _BusyError

    with device_lock(str(device), device_identity(device), busy):
        yield


def _flops(device: torch.device) -> tuple[dict[str, float], list[str]]:
    """The rate of each number format, and what kept others from being measured."""
    rates: dict[str, float] = {}
    problems: list[str] = []
    for name in FORMATS[device.type]:
        try:
            rates[name] = matmul_flops(device, DTYPES[name], PRODUCT_SECONDS)
        except RuntimeError as error:
            problems.append(f"{name}: {str(error).strip().splitlines()[0]}")
    return rates, problems


def _decoding(*, fast: bool) -> float:
    """Images a second, decoded, preprocessed and looked at as an audit does it, by all threads."""
    preprocess = in_bytes(image_transform_v2(PreprocessCfg(), is_train=False), fast=fast)
    images = [_jpeg(number) for number in range(DIFFERENT_IMAGES)]
    began, given = time.perf_counter(), 0

    def until_late() -> Iterator[Pair]:
        nonlocal given
        while given < DIFFERENT_IMAGES or time.perf_counter() - began < DECODING_SECONDS:
            given += 1
            yield Pair(str(given), "", images[given % len(images)], "", given)

    decoded = sum(len(batch) for batch in decoded_batches(until_late(), ON_CPU, preprocess))
    return decoded / (time.perf_counter() - began)


def _jpeg(number: int) -> bytes:
    """A picture of slow changes and a little grain, which takes about as many bytes as a photograph."""
    draw = np.random.default_rng(number)
    coarse = Image.fromarray(draw.integers(0, 256, (27, 40, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC), dtype=np.float32)
    grained = (smooth + draw.normal(0, 6, smooth.shape)).clip(0, 255).astype(np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(grained).save(encoded, "JPEG", quality=QUALITY)
    return encoded.getvalue()


if __name__ == "__main__":
    main()
