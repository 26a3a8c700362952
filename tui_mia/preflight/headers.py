"""What the first bytes of an image say against it, without decoding it."""

from __future__ import annotations

import io
import warnings

from PIL import Image

from tui_mia.image_formats import IMAGE_FORMATS, why_not_decoded
from tui_mia.preflight.limits import LARGEST_ASPECT_RATIO, LARGEST_IMAGE_PIXELS


def image_problem(image: bytes) -> str | None:
    """Why the encoder will reject this image, in its words; None where only decoding could tell."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            opened = Image.open(io.BytesIO(image), formats=IMAGE_FORMATS)
        with opened:
            width, height = opened.size
    except Exception as error:  # readers of hostile bytes raise anything
        return f"image {why_not_decoded(error)}"
    if width * height > LARGEST_IMAGE_PIXELS:
        return f"image of {width}x{height} pixels is over the limit of 100 megapixels"
    if max(width, height) > LARGEST_ASPECT_RATIO * min(width, height):
        return f"image of {width}x{height} pixels is thinner than 1 to {LARGEST_ASPECT_RATIO}"
    return None
