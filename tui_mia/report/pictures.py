"""Thumbnails of samples, made anew from the files that the run read."""

from __future__ import annotations

import base64
import io
import time
import warnings
from typing import Final

from PIL import Image

from tui_mia.image_formats import IMAGE_FORMATS, why_not_decoded
from tui_mia.pools.find import SearchCancelled, find_image
from tui_mia.pools.found import PoolError
from tui_mia.report.contents import NoThumbnail, Thumbnail
from tui_mia.spec import AuditSpec, PoolSpec
from tui_mia.store import SampleDetail

LARGEST_SIDE: Final = 160
# Those of the encoder: what it rejected is not in the run.
LARGEST_IMAGE_PIXELS: Final = 100_000_000
LARGEST_ASPECT_RATIO: Final = 100
_JPEG_QUALITY: Final = 82
_LONGEST_SEARCH_SECONDS: Final = 60.0
_GIVEN_UP: Final = NoThumbnail("the search for pictures took too long and was given up")


class PictureFinder:
    """Finds the pictures of candidates in the files of their pool; gives up when it has taken too long."""

    def __init__(self, spec: AuditSpec | None, longest_seconds: float = _LONGEST_SEARCH_SECONDS) -> None:
        self._spec = spec
        self._until = time.monotonic() + longest_seconds

    def of(self, detail: SampleDetail) -> Thumbnail | NoThumbnail:
        """The thumbnail of a candidate if the very picture that the run saw is still there."""
        if self._is_late():
            return _GIVEN_UP
        # Without a readable spec, columns and extensions have their default names.
        by_default = PoolSpec(source=[detail.source or "."])
        pool = self._spec.pools.candidates if self._spec is not None else by_default
        try:
            image_bytes = find_image(
                pool,
                "candidates",
                detail.source,
                detail.row.key,
                detail.row.sample_id,
                metadata=detail.metadata,
                cancelled=self._is_late,
            )
        except PoolError as error:
            return NoThumbnail(str(error))
        except SearchCancelled:
            return _GIVEN_UP
        return thumbnail(image_bytes)

    def _is_late(self) -> bool:
        return time.monotonic() > self._until


def thumbnail(image_bytes: bytes, side: int = LARGEST_SIDE) -> Thumbnail | NoThumbnail:
    """A picture at most `side` pixels wide and high, encoded anew: nothing but its pixels is kept."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return _shrunk(image_bytes, side)
    except Exception as error:  # decoders of hostile bytes raise anything
        return NoThumbnail(f"the picture {why_not_decoded(error)}")


def _shrunk(image_bytes: bytes, side: int) -> Thumbnail | NoThumbnail:
    with Image.open(io.BytesIO(image_bytes), formats=IMAGE_FORMATS) as image:
        width, height = image.size
        if width * height > LARGEST_IMAGE_PIXELS:
            return NoThumbnail(f"the picture has {width:,} x {height:,} pixels, too many to be shown")
        if max(width, height) > LARGEST_ASPECT_RATIO * min(width, height):
            return NoThumbnail(f"the picture of {width:,} x {height:,} pixels is too thin to be shown")
        # A JPEG need not be decoded at its full size to be shown at a small one.
        image.draft("RGB", (2 * side, 2 * side))
        small = image.convert("RGB")
    small.thumbnail((side, side))
    # A fresh image: comments, profiles and EXIF of the old one stay behind.
    bare = Image.new("RGB", small.size)
    bare.paste(small)
    encoded = io.BytesIO()
    bare.save(encoded, "JPEG", quality=_JPEG_QUALITY, optimize=True)
    uri = "data:image/jpeg;base64," + base64.b64encode(encoded.getvalue()).decode("ascii")
    return Thumbnail(uri, *bare.size)
