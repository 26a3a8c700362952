"""Which formats of images are read, by everything that reads images."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from PIL import Image

from tui_mia.encoder import images
from tui_mia.encoder.images import Picture
from tui_mia.image_formats import IMAGE_FORMATS, OF_NO_KNOWN_FORMAT
from tui_mia.preflight.headers import image_problem
from tui_mia.report.contents import NoThumbnail
from tui_mia.report.pictures import thumbnail
from tui_mia.tui.widgets import half_cells

# As those begin that Pillow reads and does not write.
BEGINNINGS = {
    "FITS": b"SIMPLE  =                    T".ljust(80)
    + b"BITPIX  = 8".ljust(80)
    + b"NAXIS   = 2".ljust(80)
    + b"NAXIS1  = 8".ljust(80)
    + b"NAXIS2  = 8".ljust(80)
    + b"END".ljust(2480)
    + bytes(64),
    "PSD": b"8BPS\0\1" + bytes(6) + b"\0\3\0\0\0\x08\0\0\0\x08\0\x08\0\3" + bytes(64),
    "WMF": b"\xd7\xcd\xc6\x9a\0\0\0\0\0\0\x09\0\x09\0\x48\0" + bytes(6) + b"\1\0\t\0" + bytes(60),
}


def encoded(image: Image.Image, image_format: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format)
    return buffer.getvalue()


def what_is_said(content: bytes) -> Iterator[str | None]:
    """What each of the four that open images says against one; None where it takes it."""
    decoded = images.decode(content, lambda image: image)  # type: ignore[arg-type, return-value]
    yield None if isinstance(decoded, Picture) else decoded
    yield image_problem(content)
    small = thumbnail(content)
    yield small.reason if isinstance(small, NoThumbnail) else None
    shown = half_cells.decode(content)
    yield shown if isinstance(shown, str) else None


@pytest.mark.parametrize("image_format", IMAGE_FORMATS)
def test_each_format_that_is_named_is_read_everywhere(image_format: str) -> None:
    content = encoded(Image.new("RGB", (40, 30), "red"), image_format)
    assert list(what_is_said(content)) == [None] * 4


def test_a_jpeg_of_several_pictures_is_read_everywhere() -> None:
    buffer = io.BytesIO()
    first, second = (Image.new("RGB", (40, 30), colour) for colour in ("red", "blue"))
    first.save(buffer, "MPO", save_all=True, append_images=[second])
    assert list(what_is_said(buffer.getvalue())) == [None] * 4


def test_no_other_format_reaches_its_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    Image.init()
    asked: list[str] = []
    for image_format in {*Image.OPEN} - {*IMAGE_FORMATS}:
        takes_all = partial(_note, asked, image_format)
        monkeypatch.setitem(Image.OPEN, image_format, (takes_all, None))
    assert all(str(said).endswith(OF_NO_KNOWN_FORMAT) for said in what_is_said(b"no image"))
    assert asked == []
    with pytest.raises(OSError):
        Image.open(io.BytesIO(b"no image"))
    assert "FITS" in asked, "they would have been asked"


def _note(asked: list[str], image_format: str, *_: object) -> None:
    asked.append(image_format)
    raise SyntaxError("not mine")


@pytest.mark.parametrize("image_format", ["EPS", "TGA", "ICO", "PCX", "SGI", "DDS", *BEGINNINGS])
def test_an_image_of_another_format_is_told_which_are_read(image_format: str) -> None:
    content = BEGINNINGS.get(image_format) or encoded(Image.new("RGB", (40, 30)), image_format)
    assert all(str(said).endswith(OF_NO_KNOWN_FORMAT) for said in what_is_said(content))


@pytest.mark.parametrize("image_format", ["WEBP", "AVIF"])
def test_a_format_that_pillow_was_built_without_is_not_known(
    image_format: str, image_bytes: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    factory, _ = Image.OPEN[image_format]
    content = encoded(Image.new("RGB", (40, 30)), image_format)
    monkeypatch.setitem(Image.OPEN, image_format, (factory, lambda _: f"{image_format} is not supported"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        assert all(str(said).endswith(OF_NO_KNOWN_FORMAT) for said in what_is_said(content))
        assert list(what_is_said(image_bytes(image_format="PNG"))) == [None] * 4
