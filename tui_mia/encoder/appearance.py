"""What a picture looks like without any model: its form, its statistics and a hash of its looks."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_Floats: TypeAlias = NDArray[np.float64]
_Bytes: TypeAlias = NDArray[np.uint8]

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
_MODES = ("RGB", "RGBA", "L", "LA", "P", "1", "CMYK")
FORM_NAMES = (
    *("log_width", "log_height", "log_pixels", "log_aspect", "square", "sides_in_eights"),
    *("log_bytes", "log_bytes_a_pixel"),
    *(f"format_{name.lower()}" for name in _FORMATS),
    *(f"mode_{name.lower()}" for name in _MODES),
    *("jpeg_quality", "jpeg_log_luminance_step", "jpeg_log_chrominance_step", "jpeg_subsampling"),
    *("progressive", "exif", "icc_profile", "dpi", "transparency", "animated"),
    *("palette_colours", "other_metadata"),
)

SIDE = 64
NATIVE_SIDE = 64
NO_HASH = 0
# Mean squared step between neighbours of the thumbnail, of white being 1.
LEAST_CHANGE = 5e-5
_SMALLEST_NATIVE_SIDE = 16
# Of a larger picture rows and columns are left out: to average them all takes as long as the rest.
_SAMPLED_SIDE = 3 * SIDE
_HALF = SIDE // 2
_LUMINANCE_BINS, _HUE_BINS, _BANDS, _LAYOUT = 16, 12, 8, 4
STATISTICS_NAMES = (
    *(f"{measure}_{channel}" for measure in ("mean", "deviation") for channel in ("red", "green", "blue")),
    *("correlation_red_green", "correlation_green_blue"),
    *(f"hue_{number}" for number in range(_HUE_BINS)),
    *("colourfulness", "saturation_mean", "saturation_deviation", "grey"),
    *(f"luminance_{number}" for number in range(_LUMINANCE_BINS)),
    *("luminance_entropy", "white", "black"),
    *("gradient", "edges", "flat", "border_contrast", "upright", "diagonal"),
    *(f"band_{number}" for number in range(_BANDS)),
    *(f"layout_{number}" for number in range(_LAYOUT**2)),
    *("native_gradient", "native_noise", "native_flat", "native_levels", "native_blocks"),
)

_KNOWN_METADATA = {"exif", "icc_profile", "dpi", "transparency", "duration", "loop", "progressive"}
_KNOWN_METADATA |= {"interlace", "progression", "jfif", "jfif_version", "jfif_unit", "jfif_density"}
_KNOWN_METADATA |= {"gamma", "compression"}
# Quantisation tables at quality 50 (ITU T.81, annex K) have these mean steps.
_STANDARD_LUMINANCE_STEP = 57.625
_HASHED_ORDERS = 8
# Cosines are rounded to these, so that integers by integers stay exact and equal ones equal.
_COSINE_STEPS = 2**14
_ORDERS = np.arange(_HALF)
_COSINES = np.rint(_COSINE_STEPS * np.cos(np.pi / SIDE * np.outer(_ORDERS, 2 * _ORDERS + 1)))
_NORM = np.sqrt(np.where(_ORDERS, 2, 1) / _HALF) / _COSINE_STEPS
_SPECTRUM_STEPS = 16
# Rings of the spectrum, in octaves and half octaves; the last band is what is lost from 64 to 32 pixels.
_BAND_EDGES = np.array([1, 2, 3, 5, 8, 12, 20])
_RING = np.digitize(np.hypot(*np.indices((_HALF, _HALF))), _BAND_EDGES).reshape(-1)
_IN_RING = (_RING[:, None] == np.arange(1, _BANDS)).astype(np.float64)
_HUE_BIN = np.arange(256) * _HUE_BINS // 256
# Red against green, yellow against blue.
_OPPONENTS = np.array([[1, -1, 0], [0.5, 0.5, -1]])


@dataclass(frozen=True)
class Appearance:
    """Of one picture: `form` [F] and `statistics` [S] float32, finite, and a 64-bit perceptual hash.

    `FORM_NAMES` and `STATISTICS_NAMES` name the columns. The hash is that of
    the cosine transform (pHash), and 0 where there is too little to hash: a
    blank, a stripe from side to side.
    """

    form: NDArray[np.float32]
    statistics: NDArray[np.float32]
    perceptual_hash: int


@dataclass(frozen=True)
class Glimpse:
    """What is kept of one picture to tell its appearance: small, whatever the size of the picture.

    `thumbnail` is [64, 64, 3] uint8; `piece` [h, w] uint8 is the luminance of
    up to 64 px out of the middle that were not scaled.
    """

    form: list[float]
    thumbnail: _Bytes
    piece: _Bytes


def appearance(image: Image.Image, image_bytes: bytes, rgb: Image.Image) -> Appearance:
    """What tells this picture from others without a model that learnt anything; arguments as of `glimpse`."""
    return appearances([glimpse(image, image_bytes, rgb)])[0]


def glimpse(image: Image.Image, image_bytes: bytes, rgb: Image.Image) -> Glimpse:
    """The form of a picture, a thumbnail, and a piece: one shows what is drawn, the other how it was made.

    Args:
        image: as opened and loaded, before any conversion.
        image_bytes: the file that it came from.
        rgb: the image converted to RGB.
    """
    width, height = min(rgb.width, _SAMPLED_SIDE), min(rgb.height, _SAMPLED_SIDE)
    sampled = rgb if rgb.size == (width, height) else rgb.resize((width, height), Image.Resampling.NEAREST)
    thumbnail = sampled.resize((SIDE, SIDE), Image.Resampling.BOX, reducing_gap=1.0)
    middle = _middle(rgb) if min(rgb.size) >= _SMALLEST_NATIVE_SIDE else thumbnail
    return Glimpse(_form(image, len(image_bytes)), np.asarray(thumbnail), np.asarray(middle.convert("L")))


def appearances(glimpses: Sequence[Glimpse]) -> list[Appearance]:
    """The appearance of each of n pictures, the same whichever others it is told with.

    Sums are sums of integers, which no order of adding changes. A few pictures
    together are cheaper than one by one, most of whose time is that of calls.
    """
    if not glimpses:
        return []
    thumbnails = np.stack([each.thumbnail for each in glimpses])
    # Under one another, for Pillow to convert and shrink in one call.
    column = Image.fromarray(thumbnails.reshape(-1, SIDE, 3))
    grey_column = column.convert("L")
    half_column = grey_column.reduce(2)
    grey, half = (_unstacked(each) for each in (grey_column, half_column))
    layout = _unstacked(half_column.reduce(_HALF // _LAYOUT)).reshape(len(glimpses), -1) / 255
    edges, has_shape = _edges(grey)
    statistics = np.concatenate(
        [
            _colours(column.reduce(4), len(glimpses)),
            _tones(half),
            edges,
            _bands(grey, half),
            layout,
            _textures([each.piece for each in glimpses]),
        ],
        axis=1,
        dtype=np.float32,
    )
    forms = np.array([each.form for each in glimpses], np.float32)
    hashes = np.where(has_shape, _hashes(grey), np.uint64(NO_HASH)).tolist()
    return [Appearance(*each) for each in zip(forms, statistics, hashes, strict=True)]


def _unstacked(column: Image.Image) -> _Bytes:
    """Squares [n, side, side] of a column of them."""
    return np.asarray(column).reshape(-1, column.width, column.width)


def _middle(rgb: Image.Image) -> Image.Image:
    # On the grid of JPEG's blocks, or their seams would be looked for in the wrong columns.
    left, top = (max(0, side - NATIVE_SIDE) // 16 * 8 for side in rgb.size)
    return rgb.crop((left, top, min(left + NATIVE_SIDE, rgb.width), min(top + NATIVE_SIDE, rgb.height)))


def _form(image: Image.Image, size: int) -> list[float]:
    width, height = image.size
    info = image.info
    palette = image.palette
    return [
        math.log(width),
        math.log(height),
        math.log(width * height),
        math.log(width / height),
        width == height,
        (width % 8 == 0) + (height % 8 == 0),
        math.log(max(size, 1)),
        math.log(max(size, 1) / (width * height)),
        *(image.format == name for name in _FORMATS),
        *(image.mode == name for name in _MODES),
        *_jpeg(image),
        bool(info.get("progressive") or info.get("interlace")),
        "exif" in info,
        "icc_profile" in info,
        "dpi" in info,
        "transparency" in info or "A" in image.mode,
        "duration" in info or "loop" in info,
        len(palette.palette or b"") // 3 if palette and image.mode in ("P", "PA") else 0,
        math.log1p(len(info.keys() - _KNOWN_METADATA)),
    ]


def _jpeg(image: Image.Image) -> list[float]:
    """Quality 1 to 100 by the rule of libjpeg, log mean steps of both tables, chroma subsampling; else 0."""
    tables = getattr(image, "quantization", None)
    steps = [sum(table) / len(table) for _, table in sorted(tables.items())] if tables else []
    if not steps:
        return [0, 0, 0, 0]
    scale = 100 * steps[0] / _STANDARD_LUMINANCE_STEP
    quality = min(max((200 - scale) / 2 if scale <= 100 else 5000 / scale, 1), 100)
    layers = getattr(image, "layer", [])
    subsampling = layers[0][1] * layers[0][2] if layers else 0
    return [quality, math.log1p(steps[0]), math.log1p(steps[-1]), subsampling]


def _counts(values: NDArray[np.integer], kinds: int, weights: _Bytes | None = None) -> _Floats:
    """How often [n, m] values below `kinds` occur in each row: [n, kinds]."""
    offset = np.arange(len(values))[:, None] * kinds
    flat = None if weights is None else weights.reshape(-1)
    counts = np.bincount((values + offset).reshape(-1), flat, len(values) * kinds)
    return counts.reshape(len(values), kinds).astype(np.float64)


def _tones(half: _Bytes) -> _Floats:
    pixels = _HALF**2
    levels = _counts(half.reshape(len(half), -1) >> 3, 2 * _LUMINANCE_BINS)
    shares = (levels[:, ::2] + levels[:, 1::2]) / pixels
    entropy = -sum((shares * np.log(shares + 1e-9)).T)
    return np.column_stack([shares, entropy, levels[:, -1] / pixels, levels[:, 0] / pixels])


def _colours(column: Image.Image, count: int) -> _Floats:
    pixels = column.width**2
    channels = np.asarray(column).reshape(count, pixels, 3).transpose(0, 2, 1).astype(np.float64)
    sums = channels.sum(axis=2)
    products = channels @ channels.transpose(0, 2, 1)
    scatter = products * pixels - sums[:, :, None] * sums[:, None]
    deviations = np.sqrt(scatter[:, [0, 1, 2], [0, 1, 2]]) / (pixels * 255)
    covariance = scatter[:, [0, 1], [1, 2]] / (pixels * 255) ** 2
    correlations = covariance / (deviations[:, :2] * deviations[:, 1:] + 1e-4)
    # Hasler and Suesstrunk's colourfulness, from the moments of its two opponent channels.
    spread = np.sqrt(np.einsum("ij,njk,ik->n", _OPPONENTS, scatter, _OPPONENTS)) / (pixels * 255)
    means = sums / (pixels * 255)
    colourfulness = spread + 0.3 * np.hypot(*np.einsum("ij,nj->in", _OPPONENTS, sums)) / (pixels * 255)

    hsv = np.asarray(column.convert("HSV")).reshape(count, pixels, 3)
    saturation = hsv[:, :, 1]
    hues = _counts(_HUE_BIN[hsv[:, :, 0]], _HUE_BINS, saturation) / (pixels * 255)
    squares = np.square(saturation, dtype=np.float64).sum(axis=1)
    total = saturation.sum(axis=1, dtype=np.float64)
    mean, deviation = total / (pixels * 255), np.sqrt(squares * pixels - total**2) / (pixels * 255)
    grey = (saturation < 0.05 * 255).sum(axis=1) / pixels
    return np.column_stack([means, deviations, correlations, hues, colourfulness, mean, deviation, grey])


def _edges(grey: _Bytes) -> tuple[_Floats, NDArray[np.bool_]]:
    """Of [n, 64, 64]: edges [n, 6], and whether it changes enough in both directions to be hashed.

    Without change in one direction most coefficients of the cosine transform
    are 0, and next to nothing would be the hash.
    """
    levels = grey.astype(np.int32)
    across, down = levels[:, :-1, 1:] - levels[:, :-1, :-1], levels[:, 1:, :-1] - levels[:, :-1, :-1]
    upright = across * down
    across *= across
    down *= down
    pixels, whole = across[0].size, (1, 2)
    horizontal, vertical, both = (
        each.sum(axis=whole, dtype=np.int32) / 255**2 for each in (across, down, upright)
    )
    steepness = across + down
    energy = horizontal + vertical + 1e-3
    border = levels[:, [0, -1]].sum(axis=whole) + levels[:, 1:-1, [0, -1]].sum(axis=whole)
    edges = [
        np.log10(energy / pixels + 1e-6),
        (steepness > 0.01 * 255**2).sum(axis=whole) / pixels,
        (steepness == 0).sum(axis=whole) / pixels,
        border / ((4 * SIDE - 4) * 255) - levels.sum(axis=whole, dtype=np.int32) / (SIDE**2 * 255),
        horizontal / energy,
        2 * both / energy,
    ]
    return np.column_stack(edges), np.minimum(horizontal, vertical) > LEAST_CHANGE * pixels


def _bands(grey: _Bytes, half: _Bytes) -> _Floats:
    """Mean power, of white being 1, in each ring of the spectrum and in what 32 pixels don't show; log10."""
    spectrum = _COSINES @ half.astype(np.float64) @ _COSINES.T * np.outer(_NORM, _NORM)
    steps = np.rint(spectrum.reshape(len(half), -1) * _SPECTRUM_STEPS)
    rings = (steps * steps) @ _IN_RING / (_IN_RING.sum(axis=0) * _SPECTRUM_STEPS**2)
    fine, coarse = (np.square(each, dtype=np.int32).sum(axis=(1, 2), dtype=np.int32) for each in (grey, half))
    detail = np.maximum(0, fine - 4 * coarse) / (SIDE**2 - _HALF**2)
    return np.log10(np.column_stack([rings, detail]) / 255**2 + 1e-6)


def _hashes(grey: _Bytes) -> NDArray[np.uint64]:
    """pHash [n]: which of the 64 lowest coefficients are above their median, row by row, first in front."""
    small = _halved(_halved(grey))
    cosines = _COSINES[:_HASHED_ORDERS]
    lowest = (cosines @ small.astype(np.float64) @ cosines.T).reshape(len(small), -1)
    middle = _HASHED_ORDERS**2 // 2
    ordered = np.partition(lowest, (middle - 1, middle), axis=1)
    medians = ordered[:, middle - 1 : middle + 1].mean(axis=1, keepdims=True)
    bits = np.packbits(lowest > medians, axis=1)
    return bits.view(">u8")[:, 0].astype(np.uint64)


def _halved(pictures: _Bytes) -> _Bytes:
    """[n, h, 64] to [n, 32, h], on their side: twice is what Pillow makes of each alone, to the last bit."""
    count, height, _ = pictures.shape
    column = Image.fromarray(pictures.reshape(-1, SIDE))
    narrow = np.asarray(column.resize((_HALF, column.height), Image.Resampling.LANCZOS))
    return np.ascontiguousarray(narrow.reshape(count, height, _HALF).transpose(0, 2, 1))


def _textures(pieces: Sequence[_Bytes]) -> _Floats:
    """Of n pieces: [n, 5]."""
    rows_of = defaultdict(list)
    for row, piece in enumerate(pieces):
        rows_of[piece.shape].append(row)
    textures = np.empty((len(pieces), 5))
    for rows in rows_of.values():
        textures[rows] = _texture(np.stack([pieces[row] for row in rows]))
    return textures


def _texture(luminance: _Bytes) -> _Floats:
    """Of [n, h, w]: [n, 5]."""
    levels = luminance.astype(np.int16)
    across = np.abs(levels[:, :, 1:] - levels[:, :, :-1])
    down = np.abs(levels[:, 1:] - levels[:, :-1])
    # Immerkaer's mask: zero on edges and ramps, so that noise is left.
    rows = levels[:, :-2] - 2 * levels[:, 1:-1] + levels[:, 2:]
    noise = np.abs(rows[:, :, :-2] - 2 * rows[:, :, 1:-1] + rows[:, :, 2:])
    seams = _mean(across[:, :, 7::8]) + _mean(down[:, 7::8])
    change = _mean(across) + _mean(down)
    known = _counts(luminance.reshape(len(levels), -1), 256) > 0
    return np.column_stack(
        [
            np.log10(change + 0.1),
            np.log10(_mean(noise) + 0.1),
            _mean(across == 0),
            known.sum(axis=1) / 256,
            np.log10((seams + 0.1) / (change + 0.1)),
        ]
    )


def _mean(values: NDArray[np.int16] | NDArray[np.bool_]) -> _Floats:
    """Of [n, h, w]: [n]."""
    means: _Floats = values.sum(axis=(1, 2), dtype=np.int32) / values[0].size
    return means
