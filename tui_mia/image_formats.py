"""The image formats that are read: Pillow knows dozens more, whose decoders few look after."""

from __future__ import annotations

from typing import Final

# As Pillow names them, the most common first; its JPEG takes MPO too. One that it was built without is
# to it as any other that it does not know.
IMAGE_FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "PPM", "TIFF", "AVIF", "JPEG2000")
OF_NO_KNOWN_FORMAT: Final = f"is of no known format; known are {', '.join(IMAGE_FORMATS)}"


def why_not_decoded(error: Exception) -> str:
    """What Pillow's error, or whatever a decoder of hostile bytes raised, says of an image."""
    return OF_NO_KNOWN_FORMAT if "cannot identify" in str(error) else f"is broken: {error}"
