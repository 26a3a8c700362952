from __future__ import annotations

import io
from typing import Any

import imagehash
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter, PngImagePlugin

from tui_mia.encoder.appearance import (
    FORM_NAMES,
    NO_HASH,
    STATISTICS_NAMES,
    Appearance,
    Glimpse,
    appearance,
    appearances,
    glimpse,
)


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def seen(image_bytes: bytes) -> Appearance:
    with Image.open(io.BytesIO(image_bytes)) as image:
        image.load()
        return appearance(image, image_bytes, image.convert("RGB"))


def glimpsed(image: Image.Image) -> Glimpse:
    return glimpse(image, b"bytes", image.convert("RGB"))


def form(image_bytes: bytes) -> dict[str, float]:
    return dict(zip(FORM_NAMES, seen(image_bytes).form.tolist(), strict=True))


def statistics(image: Image.Image) -> dict[str, float]:
    return dict(zip(STATISTICS_NAMES, seen(saved(image)).statistics.tolist(), strict=True))


def bits_apart(one: Image.Image, other: Image.Image) -> int:
    hashes = [seen(saved(image)).perceptual_hash for image in (one, other)]
    assert NO_HASH not in hashes
    return (hashes[0] ^ hashes[1]).bit_count()


def noise(width: int = 200, height: int = 150, seed: int = 0) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(values)


def drawing(colour: str = "red", size: int = 300) -> Image.Image:
    image = Image.new("RGB", (size, size), "white")
    draw = ImageDraw.Draw(image)
    draw.ellipse((size * 0.1, size * 0.2, size * 0.6, size * 0.9), fill=colour)
    draw.rectangle((size * 0.5, size * 0.1, size * 0.9, size * 0.4), fill="navy")
    draw.line((0, size, size, size * 0.3), fill="black", width=size // 30)
    return image


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "I", "F"])
def test_every_mode_gives_finite_values_of_the_named_columns(mode: str) -> None:
    image = noise().convert("L").convert(mode) if mode in ("I;16", "LA") else noise().convert(mode)
    found = appearance(image, b"", image.convert("RGB"))
    assert found.form.shape == (len(FORM_NAMES),)
    assert found.statistics.shape == (len(STATISTICS_NAMES),)
    assert found.form.dtype == found.statistics.dtype == np.float32
    assert np.isfinite(found.form).all()
    assert np.isfinite(found.statistics).all()
    assert 0 <= found.perceptual_hash < 2**64


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 140),
    st.integers(1, 140),
    st.sampled_from(["noise", "black", "white", "red"]),
    st.sampled_from(["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"]),
)
def test_no_size_colour_or_format_raises_or_is_not_finite(
    width: int, height: int, filling: str, kind: str
) -> None:
    image = noise(width, height) if filling == "noise" else Image.new("RGB", (width, height), filling)
    found = seen(saved(image, kind))
    assert np.isfinite(np.concatenate([found.form, found.statistics])).all()


def test_an_extremely_thin_image_is_seen() -> None:
    assert np.isfinite(seen(saved(noise(4000, 41))).statistics).all()


def test_names_are_distinct() -> None:
    names = (*FORM_NAMES, *STATISTICS_NAMES)
    assert len(set(names)) == len(names)


def test_the_quality_of_a_jpeg_is_read_from_its_tables() -> None:
    for quality in (20, 50, 75, 90):
        found = form(saved(noise(), "JPEG", quality=quality))
        assert found["jpeg_quality"] == pytest.approx(quality, abs=1.5)
        assert found["format_jpeg"] == 1
        assert found["format_png"] == 0
    assert form(saved(noise()))["jpeg_quality"] == 0


def test_how_a_file_was_written_shows_in_its_form() -> None:
    plain = form(saved(noise(), "JPEG", subsampling=0))
    made = form(saved(noise(), "JPEG", subsampling=2, progressive=True, dpi=(72, 72), icc_profile=b"profile"))
    assert (plain["jpeg_subsampling"], made["jpeg_subsampling"]) == (1, 4)
    for name in ("progressive", "dpi", "icc_profile"):
        assert (plain[name], made[name]) == (0, 1)
    exif = Image.Exif()
    exif[0x010F] = "camera"
    assert (plain["exif"], form(saved(noise(), "JPEG", exif=exif))["exif"]) == (0, 1)
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Software", "drawn")
    assert form(saved(noise(), pnginfo=notes))["other_metadata"] > form(saved(noise()))["other_metadata"]


def test_size_aspect_bytes_mode_and_palette_are_in_the_form() -> None:
    image_bytes = saved(noise(64, 32).quantize(16))
    found = form(image_bytes)
    assert found["log_width"] == pytest.approx(np.log(64))
    assert found["log_aspect"] == pytest.approx(np.log(2))
    assert found["log_bytes"] == pytest.approx(np.log(len(image_bytes)))
    assert found["log_bytes_a_pixel"] == pytest.approx(np.log(len(image_bytes) / (64 * 32)))
    assert (found["mode_p"], found["mode_rgb"], found["palette_colours"]) == (1, 0, 16)


def test_colours_are_measured() -> None:
    red, white = (statistics(Image.new("RGB", (100, 80), colour)) for colour in ("red", "white"))
    assert (red["mean_red"], red["mean_blue"], red["saturation_mean"]) == (1, 0, 1)
    assert red["hue_0"] == 1
    assert (white["white"], white["grey"], white["saturation_mean"], white["luminance_15"]) == (1, 1, 0, 1)
    assert white["colourfulness"] == pytest.approx(0, abs=1e-5)
    assert red["colourfulness"] > 0.3


def test_noise_has_steeper_gradients_and_higher_bands_than_a_blurred_picture() -> None:
    sharp, soft = statistics(noise(64, 64)), statistics(noise(64, 64).filter(ImageFilter.GaussianBlur(4)))
    for name in ("gradient", "edges", "band_7", "native_noise", "native_gradient"):
        assert sharp[name] > soft[name]
    assert statistics(drawing())["native_flat"] > 0.8


def test_the_seams_of_jpeg_blocks_are_seen() -> None:
    picture = drawing(size=160).filter(ImageFilter.GaussianBlur(8))
    crushed = Image.open(io.BytesIO(saved(picture, "JPEG", quality=5)))
    assert statistics(crushed)["native_blocks"] > statistics(picture)["native_blocks"] + 0.2


def test_a_drawing_scaled_compressed_or_recoloured_hashes_nearly_the_same() -> None:
    picture = drawing()
    squeezed = Image.open(io.BytesIO(saved(picture.resize((180, 180)), "JPEG", quality=60)))
    assert bits_apart(picture, squeezed) <= 3
    assert bits_apart(picture, drawing("firebrick")) <= 3
    assert bits_apart(picture, picture.rotate(90)) > 12


def test_a_picture_with_too_little_to_hash_has_no_hash() -> None:
    stripe = Image.new("RGB", (100, 100), "white")
    ImageDraw.Draw(stripe).rectangle((0, 40, 100, 60), fill="black")
    for picture in (Image.new("RGB", (60, 60), "white"), stripe, stripe.rotate(90)):
        assert seen(saved(picture)).perceptual_hash == NO_HASH


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 90), st.integers(1, 90), st.integers(0, 99)), min_size=2, max_size=12)
)
def test_a_picture_is_told_the_same_to_the_last_bit_whichever_others_it_is_told_with(
    made: list[tuple[int, int, int]],
) -> None:
    colours = ["gray", "white", "red", "#123456"]
    pictures = [
        Image.new("RGB", (width, height), colours[seed % 4]) if seed < 20 else noise(width, height, seed)
        for width, height, seed in made
    ]
    together = appearances([glimpsed(picture) for picture in pictures])
    for picture, found in zip(pictures, together, strict=True):
        alone = appearances([glimpsed(picture)])[0]
        assert found.form.tobytes() == alone.form.tobytes()
        assert found.statistics.tobytes() == alone.statistics.tobytes()
        assert found.perceptual_hash == alone.perceptual_hash
    assert appearances([]) == []


def test_the_hash_is_that_of_imagehash_of_the_thumbnail() -> None:
    soft = [noise(12, 9, seed).resize((size, size)) for seed, size in enumerate([64, 100, 300, 700])]
    pictures = [drawing(), drawing("green", 900), *soft]
    found = appearances([glimpsed(picture) for picture in pictures])
    for picture, each in zip(pictures, found, strict=True):
        of_thumbnail = imagehash.phash(Image.fromarray(glimpsed(picture).thumbnail))
        assert each.perceptual_hash == int(str(of_thumbnail), 16)
        of_picture = int(str(imagehash.phash(picture)), 16)
        assert (each.perceptual_hash ^ of_picture).bit_count() <= 4
