"""Views: augmented versions of an image, frozen so that every audit asks the same questions.

View v is of the kind KINDS[(v - 1) % 5]. Its parameters are a function of seed,
sample and view alone, never of batch, order or device. docs/attacks.md lists
kinds and ranges; to change either is to change the attack.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

KINDS = ("crop", "rotation", "flip", "blur", "colour")

CROP_SIDE = (0.7, 1.0)
ROTATION_DEGREES = (-20.0, 20.0)
FLIP_CROP_SIDE = (0.9, 1.0)
BLUR_SIGMA = (0.005, 0.015)  # of the image's side
COLOUR_FACTOR = (0.6, 1.4)
_LUMA = (0.299, 0.587, 0.114)
_PARAMETERS = 3


def view_kind(view: int) -> str:
    """What is done to the image in view `view`, 1 to K."""
    return KINDS[(view - 1) % len(KINDS)]


def make_view(canvas: Tensor, keys: NDArray[np.uint64], view: int, seed: int) -> Tensor:
    """One view of each of n images: [n, 3, H, W] float32 in 0 to 1 to the same shape and range.

    `keys` are [n], from the samples' ids.
    """
    drawn = torch.from_numpy(uniforms(keys, view, seed)).to(canvas)
    kind = view_kind(view)
    if kind == "crop":
        return _crop(canvas, _between(drawn[:, 0], CROP_SIDE), drawn[:, 1], drawn[:, 2], mirrored=False)
    if kind == "rotation":
        return _rotate(canvas, torch.deg2rad(_between(drawn[:, 0], ROTATION_DEGREES)))
    if kind == "flip":
        return _crop(canvas, _between(drawn[:, 0], FLIP_CROP_SIDE), drawn[:, 1], drawn[:, 2], mirrored=True)
    if kind == "blur":
        return _blur(canvas, _between(drawn[:, 0], BLUR_SIGMA) * canvas.shape[-1])
    return _colour(canvas, _between(drawn, COLOUR_FACTOR))


def uniforms(keys: NDArray[np.uint64], view: int, seed: int) -> NDArray[np.float64]:
    """Three numbers in [0, 1) for each of n samples: [n, 3], by counting, not by drawing in turn.

    Counter-based: SplitMix64's finaliser (Steele, Lea and Flood 2014) over key, seed, view and number.
    """
    counters = np.arange(_PARAMETERS, dtype=np.uint64)
    with np.errstate(over="ignore"):
        stream = _mix(np.uint64(seed) + np.uint64(view) * np.uint64(0x9E3779B97F4A7C15))
        mixed = _mix(_mix(keys ^ stream)[:, None] + counters * np.uint64(0x9E3779B97F4A7C15))
    return (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mix(x: NDArray[np.uint64] | np.uint64) -> NDArray[np.uint64]:
    x = np.atleast_1d(np.asarray(x, dtype=np.uint64)) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _between(drawn: Tensor, bounds: tuple[float, float]) -> Tensor:
    return bounds[0] + (bounds[1] - bounds[0]) * drawn


def _crop(canvas: Tensor, side: Tensor, left: Tensor, top: Tensor, *, mirrored: bool) -> Tensor:
    """A square part of relative length `side`, `left` and `top` of the way across what is free, scaled up."""
    free = 1 - side
    zero = torch.zeros_like(side)
    across = -side if mirrored else side
    rows = [across, zero, free * (2 * left - 1), zero, side, free * (2 * top - 1)]
    return _sample(canvas, rows)


def _rotate(canvas: Tensor, radians: Tensor) -> Tensor:
    cos, sin, zero = radians.cos(), radians.sin(), torch.zeros_like(radians)
    aspect = canvas.shape[-2] / canvas.shape[-1]
    return _sample(canvas, [cos, -sin * aspect, zero, sin / aspect, cos, zero])


def _sample(canvas: Tensor, affine: list[Tensor]) -> Tensor:
    """Sample each image at an affine map of its grid, given as six [n] entries, row by row."""
    matrices = torch.stack(affine, dim=1).view(-1, 2, 3)
    grid = functional.affine_grid(matrices, list(canvas.shape), align_corners=False)
    return functional.grid_sample(canvas, grid, padding_mode="reflection", align_corners=False)


def _blur(canvas: Tensor, sigma: Tensor) -> Tensor:
    """A Gaussian of [n] `sigma` pixels, first along rows, then along columns."""
    samples, channels, height, width = canvas.shape
    radius = min(max(1, round(3 * BLUR_SIGMA[1] * width)), min(height, width) - 1)
    offsets = torch.arange(-radius, radius + 1, dtype=canvas.dtype, device=canvas.device)
    weights = torch.exp(-0.5 * (offsets / sigma[:, None]) ** 2)
    kernels = (weights / weights.sum(dim=1, keepdim=True)).repeat_interleave(channels, dim=0)
    flat = canvas.reshape(1, samples * channels, height, width)
    padded = functional.pad(flat, (radius, radius, radius, radius), mode="reflect")
    along_rows = functional.conv2d(padded, kernels[:, None, None, :], groups=samples * channels)
    blurred = functional.conv2d(along_rows, kernels[:, None, :, None], groups=samples * channels)
    return blurred.view_as(canvas)


def _colour(canvas: Tensor, factors: Tensor) -> Tensor:
    """Brightness, contrast and saturation by [n, 3] factors: blends with black, mean grey and own grey."""
    brightness, contrast, saturation = (factors[:, i].view(-1, 1, 1, 1) for i in range(3))
    luma = torch.tensor(_LUMA, dtype=canvas.dtype, device=canvas.device).view(1, 3, 1, 1)
    bright = (canvas * brightness).clamp(0, 1)
    mean_grey = (bright * luma).sum(dim=1, keepdim=True).mean(dim=(2, 3), keepdim=True)
    contrasted = torch.lerp(mean_grey.expand_as(bright), bright, contrast).clamp(0, 1)
    grey = (contrasted * luma).sum(dim=1, keepdim=True)
    return torch.lerp(grey.expand_as(contrasted), contrasted, saturation).clamp(0, 1)
