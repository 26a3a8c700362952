"""What the first bytes of an image say against it, without decoding it."""

from __future__ import annotations

import io
import warnings

from PIL import Image

from tui_mia.preflight.limits import LARGEST_ASPECT_RATIO, LARGEST_IMAGE_PIXELS, NOT_DECODED


def image_problem(image: bytes) -> str | None:
    """Why the encoder will reject this image, in its words; None where only decoding could tell."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            opened = Image.open(io.BytesIO(image))
        with opened:
            width, height = opened.size
            image_format = opened.format
    except Exception as error:  # readers of hostile bytes raise anything
        unknown = "cannot identify" in str(error)
        return "image is of no known format" if unknown else f"image is broken: {error}"
    if width * height > LARGEST_IMAGE_PIXELS:
        return f"image of {width}x{height} pixels is over the limit of 100 megapixels"
    if max(width, height) > LARGEST_ASPECT_RATIO * min(width, height):
        return f"image of {width}x{height} pixels is thinner than 1 to {LARGEST_ASPECT_RATIO}"
    if image_format in NOT_DECODED:
        return f"image is {image_format}, which is drawn, not decoded; convert it"
    return None
