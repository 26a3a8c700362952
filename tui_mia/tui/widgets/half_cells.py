"""Pictures as text: two pixels a cell, the upper as its foreground and the lower as its background."""

from __future__ import annotations

import hashlib
import io
import threading
from collections import OrderedDict
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Final

from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from tui_mia.image_formats import IMAGE_FORMATS, why_not_decoded

if TYPE_CHECKING:
    from PIL import Image

UPPER_HALF: Final = "▀"
LARGEST_SIDE: Final = 768
# Decoded, the largest takes 160 MB for a moment.
LARGEST_DECODED_PIXELS: Final = 40_000_000
_REMEMBERED: Final = 8


@dataclass(frozen=True)
class Thumbnail:
    """A decoded picture, upright and at most `LARGEST_SIDE` pixels wide and high, as RGBA."""

    image: Image.Image


class Thumbnails:
    """Decodes pictures and remembers the last few, by content; for use by several threads."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, Thumbnail | str] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, image_bytes: bytes) -> Thumbnail | str:
        """The thumbnail of an encoded picture, or why there is none."""
        digest = hashlib.blake2b(image_bytes, digest_size=16).digest()
        with self._lock:
            if digest in self._known:
                self._known.move_to_end(digest)
                return self._known[digest]
        thumbnail = decode(image_bytes)
        with self._lock:
            self._known[digest] = thumbnail
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return thumbnail


def decode(image_bytes: bytes) -> Thumbnail | str:
    """Decode and shrink a picture from outside, or say why that can't be done."""
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(image_bytes), formats=IMAGE_FORMATS) as image:
            # A JPEG need not be decoded at its full size to be shown at a small one.
            image.draft(None, (LARGEST_SIDE, LARGEST_SIDE))
            width, height = image.size
            if width * height > LARGEST_DECODED_PIXELS:
                return f"the picture has {width:,} x {height:,} pixels, too many to be shown here"
            image.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
            return Thumbnail(ImageOps.exif_transpose(image).convert("RGBA"))
    except Image.DecompressionBombError:
        return "the picture has too many pixels to be shown here"
    except Exception as error:  # decoders of hostile bytes raise anything
        return f"the picture {why_not_decoded(error)}"


def fitted(width: int, height: int, columns: int, rows: int) -> tuple[int, int]:
    """The largest size in pixels that keeps a picture's shape in some cells of one by two pixels."""
    scale = min(columns / width, 2 * rows / height)
    return (
        min(max(round(width * scale), 1), columns),
        min(max(round(height * scale), 1), 2 * rows),
    )


def draw(thumbnail: Thumbnail, columns: int, rows: int, background: tuple[int, int, int]) -> list[Strip]:
    """A picture in at most `columns` by `rows` cells, each strip as wide as the picture."""
    from PIL import Image

    if columns < 1 or rows < 1:
        return []
    width, height = fitted(*thumbnail.image.size, columns, rows)
    image = thumbnail.image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=2.0)
    # A last row of its own half has the background below it.
    canvas = Image.new("RGBA", (width, height + height % 2), (*background, 255))
    canvas.alpha_composite(image)
    return half_cells(canvas.convert("RGB").tobytes(), width)


def half_cells(pixels: bytes, width: int) -> list[Strip]:
    """An even number of rows of RGB pixels, as one strip for each two; equal neighbours are one segment."""
    row_bytes = 3 * width
    rows = [pixels[start : start + row_bytes] for start in range(0, len(pixels), row_bytes)]
    return [Strip(_segments(upper, lower), width) for upper, lower in zip(rows[::2], rows[1::2], strict=True)]


def _segments(upper: bytes, lower: bytes) -> list[Segment]:
    cells = [upper[start : start + 3] + lower[start : start + 3] for start in range(0, len(upper), 3)]
    return [Segment(UPPER_HALF * sum(1 for _ in same), _style(cell)) for cell, same in groupby(cells)]


def _style(cell: bytes) -> Style:
    return Style(color=Color.from_rgb(*cell[:3]), bgcolor=Color.from_rgb(*cell[3:]))
