from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rich.style import Style
from textual.strip import Strip

from tui_mia.tui.widgets import half_cells
from tui_mia.tui.widgets.half_cells import (
    LARGEST_SIDE,
    UPPER_HALF,
    Thumbnail,
    Thumbnails,
    decode,
    draw,
    fitted,
)

RED, GREEN, BLUE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0)
Rgb = tuple[int, int, int]


def encoded(image: Image.Image, image_format: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def image_of(rows: Sequence[Sequence[tuple[int, ...]]], mode: str = "RGBA") -> Image.Image:
    image = Image.new(mode, (len(rows[0]), len(rows)))
    image.putdata([pixel for row in rows for pixel in row])
    return image


def colours(style: Style | None) -> tuple[Rgb, Rgb]:
    assert style is not None
    assert style.color is not None
    assert style.bgcolor is not None
    return tuple(style.color.get_truecolor()), tuple(style.bgcolor.get_truecolor())  # type: ignore[return-value]


def pixels(strips: list[Strip]) -> list[list[Rgb]]:
    """Two rows of colours for each strip."""
    rows: list[list[Rgb]] = []
    for strip in strips:
        cells = [colours(segment.style) for segment in strip for _ in segment.text]
        rows += [[upper for upper, _ in cells], [lower for _, lower in cells]]
    return rows


def decoded(image_bytes: bytes) -> Image.Image:
    thumbnail = decode(image_bytes)
    assert isinstance(thumbnail, Thumbnail), thumbnail
    return thumbnail.image


def test_a_cell_has_the_upper_pixel_before_the_lower_one() -> None:
    opaque = [[(*RED, 255), (*GREEN, 255)], [(*BLUE, 255), (*BLACK, 255)]]
    strips = draw(Thumbnail(image_of(opaque)), 2, 1, BLACK)
    assert [strip.text for strip in strips] == [UPPER_HALF * 2]
    assert pixels(strips) == [[RED, GREEN], [BLUE, BLACK]]


def test_equal_neighbours_are_one_segment() -> None:
    strips = draw(Thumbnail(Image.new("RGBA", (40, 40), (*RED, 255))), 40, 20, BLACK)
    assert len(strips) == 20
    assert all(len(strip) == 1 and strip.cell_length == 40 for strip in strips)


def test_what_is_transparent_shows_the_background() -> None:
    image = image_of([[(*RED, 0), (*RED, 255)], [(255, 255, 255, 128), (*BLUE, 0)]])
    assert pixels(draw(Thumbnail(image), 2, 1, (10, 20, 30))) == [
        [(10, 20, 30), RED],
        [(133, 138, 143), (10, 20, 30)],
    ]


def test_a_last_row_of_its_own_has_the_background_below() -> None:
    strips = draw(Thumbnail(Image.new("RGBA", (6, 3), (*RED, 255))), 6, 9, BLUE)
    assert pixels(strips) == [[RED] * 6, [RED] * 6, [RED] * 6, [BLUE] * 6]


@pytest.mark.parametrize(("columns", "rows"), [(0, 5), (5, 0), (0, 0)])
def test_without_room_nothing_is_drawn(columns: int, rows: int) -> None:
    assert draw(Thumbnail(Image.new("RGBA", (6, 3))), columns, rows, BLUE) == []


@pytest.mark.parametrize(
    ("size", "room", "expected"),
    [
        ((100, 100), (34, 16), (32, 32)),
        ((200, 100), (34, 16), (34, 17)),
        ((100, 200), (34, 16), (16, 32)),
        ((1, 1), (34, 16), (32, 32)),
        ((10_000, 1), (34, 16), (34, 1)),
        ((1, 10_000), (34, 16), (1, 32)),
    ],
)
def test_a_picture_is_as_large_as_there_is_room_and_keeps_its_shape(
    size: tuple[int, int], room: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert fitted(*size, *room) == expected


@given(*[st.integers(1, 5000)] * 2, *[st.integers(1, 300)] * 2)
def test_a_picture_never_leaves_its_room(width: int, height: int, columns: int, rows: int) -> None:
    fitted_width, fitted_height = fitted(width, height, columns, rows)
    assert 1 <= fitted_width <= columns
    assert 1 <= fitted_height <= 2 * rows
    assert fitted_width == columns or fitted_height == 2 * rows


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F", "YCbCr"])
def test_every_mode_of_pixels_is_shown(mode: str) -> None:
    image_format = "TIFF" if mode in ("CMYK", "F", "YCbCr", "I") else "PNG"
    assert decoded(encoded(Image.new(mode, (6, 4)), image_format)).size == (6, 4)


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000"])
def test_every_format_of_pictures_is_shown(image_format: str) -> None:
    image = decoded(encoded(Image.new("RGB", (30, 20), RED), image_format))
    assert image.size == (30, 20)
    red, green, blue, alpha = image.getpixel((15, 10))  # type: ignore[misc]
    assert red > 240
    assert green < 15
    assert blue < 15
    assert alpha == 255


def test_the_orientation_that_the_camera_noted_is_respected() -> None:
    image = image_of([[RED, GREEN]], "RGB").resize((40, 20), Image.Resampling.NEAREST)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned to the right
    upright = decoded(encoded(image, "PNG", exif=exif))
    assert upright.size == (20, 40)
    assert upright.getpixel((10, 2)) == (*RED, 255)
    assert upright.getpixel((10, 37)) == (*GREEN, 255)


def test_a_large_jpeg_is_decoded_small() -> None:
    image = decoded(encoded(Image.new("RGB", (6000, 3000), RED), "JPEG"))
    assert image.size == (LARGEST_SIDE, LARGEST_SIDE // 2)


def png_that_claims(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(100)))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("image_bytes", "reason"),
    [
        (b"", "the picture is of no known format"),
        (b"GIF89a", "the picture is"),
        (b"\xff\xd8\xff\xe0" + b"x" * 100, "the picture is"),
        (png_that_claims(8000, 8000), "the picture has 8,000 x 8,000 pixels, too many to be shown here"),
        (png_that_claims(60_000, 60_000), "too many pixels"),
        (png_that_claims(0, 5), "the picture is"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "is of no known format"),
    ],
)
def test_what_can_not_be_shown_is_a_line_of_text(image_bytes: bytes, reason: str) -> None:
    shown = decode(image_bytes)
    assert isinstance(shown, str)
    assert reason in shown


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP", "GIF", "TIFF"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_a_cut_off_picture_never_raises(
    image_bytes: Callable[..., bytes], image_format: str, kept: float
) -> None:
    whole = image_bytes(1, (90, 80), image_format=image_format)
    assert isinstance(decode(whole[: int(len(whole) * kept)]), str | Thumbnail)


@given(st.data())
def test_a_broken_picture_never_raises(data: st.DataObject) -> None:
    content = bytearray(
        encoded(Image.linear_gradient("L").resize((40, 30)), data.draw(st.sampled_from(["PNG", "JPEG"])))
    )
    for place, value in data.draw(
        st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), max_size=8)
    ):
        content[place] = value
    shown = decode(bytes(content))
    assert isinstance(shown, str) or draw(shown, 10, 10, BLACK)


def test_the_last_few_pictures_are_decoded_once(
    image_bytes: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    decodings: list[bytes] = []

    def counting(content: bytes) -> Thumbnail | str:
        decodings.append(content)
        return decode(content)

    monkeypatch.setattr(half_cells, "decode", counting)
    thumbnails, pictures = Thumbnails(), [image_bytes(number) for number in range(9)]
    for number in (0, 1, 0, 1, 2, 3, 4, 5, 6, 7, 0, 8, 0, 1):
        assert isinstance(thumbnails.of(pictures[number]), Thumbnail)
    assert decodings == [*pictures, pictures[1]]
