"""What a picture looks like without any model: its form, its statistics and a hash of its looks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn

_Values = NDArray[np.float32]

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

# Quantisation tables at quality 50 (ITU T.81, annex K) have these mean steps.
_STANDARD_LUMINANCE_STEP = 57.625
# Rings of the spectrum of the thumbnail, in octaves and half octaves.
_FREQUENCY = np.hypot(*np.meshgrid(np.arange(SIDE), np.arange(SIDE)))
_BAND_EDGES = np.array([1, 2, 4, 6, 9, 14, 22, 34])
_BAND = np.digitize(_FREQUENCY, _BAND_EDGES).reshape(-1)
_BAND_SIZES = np.bincount(_BAND, minlength=_BANDS + 1)[1:]
_HUE_BIN = np.arange(256) * _HUE_BINS // 256
# Red against green, yellow against blue.
_OPPONENTS = np.array([[1, -1, 0], [0.5, 0.5, -1]], np.float32)


@dataclass(frozen=True)
class Appearance:
    """Of one picture: `form` [F] and `statistics` [S] float32, finite, and a 64-bit perceptual hash.

    `FORM_NAMES` and `STATISTICS_NAMES` name the columns. The hash is that of
    the cosine transform (pHash), and 0 where there is too little to hash: a
    blank, a stripe from side to side.
    """

    form: _Values
    statistics: _Values
    perceptual_hash: int


def appearance(image: Image.Image, image_bytes: bytes, rgb: Image.Image) -> Appearance:
    """What tells this picture from others without a model that learnt anything.

    Pixels are read from a thumbnail of 64 px and from a piece of 64 px out of
    the middle: one shows what is drawn, the other how it was made.

    Args:
        image: as opened and loaded, before any conversion.
        image_bytes: the file that it came from.
        rgb: the image converted to RGB.
    """
    thumbnail = rgb.resize((SIDE, SIDE), Image.Resampling.BOX, reducing_gap=1.0)
    grey = thumbnail.convert("L")
    form = np.array(_form(image, len(image_bytes)), np.float32)
    shapes, has_shape = _shapes(np.asarray(grey, np.float32) / np.float32(255))
    statistics = np.concatenate(
        [_colours(thumbnail.reduce(2)), _tones(np.asarray(grey)), shapes, _texture(_middle(rgb, grey))]
    )
    perceptual_hash = int(str(imagehash.phash(grey)), 16) if has_shape else NO_HASH
    return Appearance(form, statistics.astype(np.float32), perceptual_hash)


def _form(image: Image.Image, size: int) -> list[float]:
    width, height = image.size
    info = image.info
    known = {"exif", "icc_profile", "dpi", "transparency", "duration", "loop", "progressive", "interlace"}
    known |= {"progression", "jfif", "jfif_version", "jfif_unit", "jfif_density", "gamma", "compression"}
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
        math.log1p(len(set(info) - known)),
    ]


def _jpeg(image: Image.Image) -> list[float]:
    """Quality 1 to 100 by the rule of libjpeg, log mean steps of both tables, chroma subsampling; else 0."""
    tables = getattr(image, "quantization", None)
    steps = [float(np.mean(table)) for _, table in sorted(tables.items())] if tables else []
    if not steps:
        return [0, 0, 0, 0]
    scale = 100 * steps[0] / _STANDARD_LUMINANCE_STEP
    quality = min(max((200 - scale) / 2 if scale <= 100 else 5000 / scale, 1), 100)
    layers = getattr(image, "layer", [])
    subsampling = layers[0][1] * layers[0][2] if layers else 0
    return [quality, math.log1p(steps[0]), math.log1p(steps[-1]), subsampling]


def _tones(grey: NDArray[np.uint8]) -> NDArray[np.floating]:
    levels = np.bincount(grey.reshape(-1), minlength=256) / grey.size
    shares = levels.reshape(_LUMINANCE_BINS, -1).sum(axis=1)
    entropy = -(shares * np.log(shares + 1e-9)).sum()
    return np.concatenate([shares, [entropy, levels[248:].sum(), levels[:8].sum()]])


def _colours(rgb: Image.Image) -> NDArray[np.floating]:
    channels = np.asarray(rgb, np.float32).reshape(-1, 3) / 255
    means = np.full(len(channels), 1 / len(channels), np.float32) @ channels
    centred = channels - means
    covariance = centred.T @ centred / len(channels)
    deviations = np.sqrt(covariance.diagonal())
    correlations = covariance[[0, 1], [1, 2]] / (deviations[:2] * deviations[1:] + 1e-4)
    # Hasler and Suesstrunk's colourfulness, from the moments of its two opponent channels.
    spread = math.sqrt(max(0, (_OPPONENTS @ covariance * _OPPONENTS).sum()))
    colourfulness = spread + 0.3 * math.hypot(*(_OPPONENTS @ means))

    hsv = np.asarray(rgb.convert("HSV")).reshape(-1, 3)
    saturation = hsv[:, 1].astype(np.float64) / 255
    hues = np.bincount(_HUE_BIN[hsv[:, 0]], weights=saturation, minlength=_HUE_BINS) / len(hsv)
    mean = hues.sum()
    variance = saturation @ saturation / len(hsv) - mean**2
    grey = np.count_nonzero(saturation < 0.05) / len(hsv)
    rest = [colourfulness, mean, math.sqrt(max(0, variance)), grey]
    return np.concatenate([means, deviations, correlations, hues, rest])


def _shapes(luminance: _Values) -> tuple[NDArray[np.floating], bool]:
    """Edges, spectrum and layout of [64, 64]; and whether it changes enough in both directions to be hashed.

    Without change in one direction most coefficients of the cosine transform
    are 0, and rounding errors would be the hash.
    """
    across, down = luminance[:-1, 1:] - luminance[:-1, :-1], luminance[1:, :-1] - luminance[:-1, :-1]
    flat_across, flat_down = across.reshape(-1), down.reshape(-1)
    horizontal, vertical = flat_across @ flat_across, flat_down @ flat_down
    energy = horizontal + vertical + 1e-3
    steepness = across * across + down * down
    border = luminance[[0, -1]].sum() + luminance[1:-1, [0, -1]].sum()
    edges = [
        math.log10(energy / across.size + 1e-6),
        np.count_nonzero(steepness > 0.01) / across.size,
        np.count_nonzero(steepness < 1e-5) / across.size,
        border / (4 * SIDE - 4) - luminance.sum() / luminance.size,
        horizontal / energy,
        2 * (flat_across @ flat_down) / energy,
    ]
    spectrum = dctn(luminance, norm="ortho").reshape(-1)
    bands = np.bincount(_BAND, weights=spectrum * spectrum, minlength=_BANDS + 1)[1:] / _BAND_SIZES
    piece = SIDE // _LAYOUT
    layout = luminance.reshape(_LAYOUT, piece, _LAYOUT, piece).sum(axis=(1, 3)).reshape(-1) / piece**2
    has_shape = min(horizontal, vertical) > LEAST_CHANGE * across.size
    return np.concatenate([edges, np.log10(bands + 1e-6), layout]), bool(has_shape)


def _middle(rgb: Image.Image, grey: Image.Image) -> NDArray[np.float32]:
    """Luminance [h, w] of a piece that was not scaled; of the thumbnail where the image is tiny."""
    if min(rgb.size) < _SMALLEST_NATIVE_SIDE:
        return np.asarray(grey, np.float32)
    # On the grid of JPEG's blocks, or their seams would be looked for in the wrong columns.
    left, top = (max(0, side - NATIVE_SIDE) // 16 * 8 for side in rgb.size)
    box = (left, top, min(left + NATIVE_SIDE, rgb.width), min(top + NATIVE_SIDE, rgb.height))
    return np.asarray(rgb.crop(box).convert("L"), np.float32)


def _texture(luminance: NDArray[np.float32]) -> list[float]:
    across = np.abs(luminance[:, 1:] - luminance[:, :-1])
    down = np.abs(luminance[1:] - luminance[:-1])
    # Immerkaer's mask: zero on edges and ramps, so that noise is left.
    rows = luminance[:-2] - 2 * luminance[1:-1] + luminance[2:]
    noise = np.abs(rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:])
    seams = float(across[:, 7::8].mean() + down[7::8].mean())
    change = float(across.sum() / across.size + down.sum() / down.size)
    levels = np.bincount(luminance.astype(np.uint8).reshape(-1), minlength=256)
    return [
        math.log10(change + 0.1),
        math.log10(noise.sum() / noise.size + 0.1),
        np.count_nonzero(across == 0) / across.size,
        np.count_nonzero(levels) / 256,
        math.log10((seams + 0.1) / (change + 0.1)),
    ]
