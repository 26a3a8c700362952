"""Images as a model wants them, in bytes: resized and cropped by the CPU, normalised on the device.

That is a quarter of the bytes to move, and the same numbers: open_clip's own
preprocess ends with a division by 255 and a normalisation, which the model does
here. `exact` resizes with Pillow, as open_clip does. `fast` resizes with
torchvision, several times faster; pixels differ from Pillow's by a level or two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import CenterCrop, Compose, Normalize, Resize, ToTensor
from torchvision.transforms.v2 import functional

Preprocess: TypeAlias = Callable[[Image.Image], Tensor]


class NotBytesError(Exception):
    """A preprocess that does not end as open_clip's do."""


def in_bytes(transform: Any, *, fast: bool) -> Preprocess:
    """From an RGB image to [3, H, W] uint8, by all but the end of an open_clip preprocess.

    Raises:
        NotBytesError: for a preprocess that doesn't end with a tensor and its normalisation.
    """
    steps = transform.transforms if isinstance(transform, Compose) else []
    match steps:
        case [*before, ToTensor(), Normalize()]:
            pass
        case _:
            raise NotBytesError(
                f"the preprocess does not end with a tensor and its normalisation: {transform}"
            )
    match before:
        case [Resize(size=int()) as resize, CenterCrop() as crop, *_] if fast:
            return _ResizedByTorchvision(resize, crop)
    return _ByPillow(Compose(before))


class _ByPillow:
    def __init__(self, before: Callable[[Image.Image], Image.Image]) -> None:
        self._before = before

    def __call__(self, image: Image.Image) -> Tensor:
        return _bytes_of(self._before(image)).contiguous()


class _ResizedByTorchvision:
    """The shorter side to so many pixels, then the middle."""

    def __init__(self, resize: Resize, crop: CenterCrop) -> None:
        self._resize, self._crop = resize, crop

    def __call__(self, image: Image.Image) -> Tensor:
        # As it lies in memory, a pixel's channels beside each other, it is resized several times faster.
        resized = functional.resize(
            _bytes_of(image), [self._resize.size], self._resize.interpolation, antialias=True
        )
        cropped: Tensor = functional.center_crop(resized, list(self._crop.size))
        return cropped.contiguous()


def _bytes_of(image: Image.Image) -> Tensor:
    """[3, H, W] uint8, lying in memory as the image does."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)
