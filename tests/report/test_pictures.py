from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tui_mia.image_formats import OF_NO_KNOWN_FORMAT
from tui_mia.report.contents import NoThumbnail, Thumbnail
from tui_mia.report.pictures import PictureFinder, thumbnail
from tui_mia.store import SampleDetail, SampleRow

MakeImage = Callable[..., bytes]


@pytest.mark.parametrize(
    ("mode", "image_format"),
    [
        ("RGB", "PNG"),
        ("RGBA", "PNG"),
        ("P", "GIF"),
        ("L", "PNG"),
        ("1", "PNG"),
        ("CMYK", "JPEG"),
        ("LA", "PNG"),
    ],
)
def test_any_picture_that_a_model_can_see_has_a_thumbnail(
    image_bytes: MakeImage, mode: str, image_format: str
) -> None:
    made = thumbnail(image_bytes(1, (400, 100), mode, image_format))
    assert isinstance(made, Thumbnail)
    assert (made.width, made.height) == (160, 40)
    assert made.uri.startswith("data:image/jpeg;base64,")


def test_a_small_picture_is_not_blown_up(image_bytes: MakeImage) -> None:
    made = thumbnail(image_bytes(1, (20, 30)))
    assert isinstance(made, Thumbnail)
    assert (made.width, made.height) == (20, 30)


def test_a_picture_over_the_limit_is_not_decoded() -> None:
    header = struct.pack(">IIBBBBB", 20_000, 6_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    made = thumbnail(bomb + b"\0\0\0\0IDAT\x35\xaf\x06\x1e")
    assert made == NoThumbnail("the picture has 20,000 x 6,000 pixels, too many to be shown")


def test_a_picture_thinner_than_the_encoder_takes_is_not_shown(image_bytes: MakeImage) -> None:
    assert isinstance(thumbnail(image_bytes(1, (500, 2))), NoThumbnail)


def test_postscript_is_not_run() -> None:
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
    made = thumbnail(eps)
    assert made == NoThumbnail(f"the picture {OF_NO_KNOWN_FORMAT}")


def test_broken_bytes_are_told_and_not_fatal(image_bytes: MakeImage) -> None:
    assert thumbnail(b"GIF") == NoThumbnail(f"the picture {OF_NO_KNOWN_FORMAT}")
    cut = thumbnail(image_bytes(1, (300, 300))[:300])
    assert isinstance(cut, NoThumbnail)
    assert "broken" in cut.reason


def test_a_search_that_takes_too_long_is_given_up(tmp_path: Path, image_bytes: MakeImage) -> None:
    import tarfile

    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        for name, content in (("a.png", image_bytes()), ("a.txt", b"c")):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    row = SampleRow(0, "0" * 32, "candidates", "a", "c", None, {}, {})
    detail = SampleDetail(row, str(tmp_path / "set.tar"), 1, 1, None, [], [])
    made = PictureFinder(None, longest_seconds=-1.0).of(detail)
    assert made == NoThumbnail("the search for pictures took too long and was given up")
