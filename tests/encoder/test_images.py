"""Images: whatever the bytes are, a picture or a reason, never an exception."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from tui_mia.encoder import TargetModel
from tui_mia.encoder.appearance import appearance
from tui_mia.encoder.images import Picture, decode, decoded_batches
from tui_mia.image_formats import OF_NO_KNOWN_FORMAT
from tui_mia.pools import Pair, Reject


def encoded(image: Image.Image, image_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that says it is very large and holds next to nothing."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0"))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("mode", "image_format"),
    [
        ("RGB", "JPEG"),
        ("CMYK", "JPEG"),
        ("L", "JPEG"),
        ("P", "PNG"),
        ("1", "PNG"),
        ("RGBA", "PNG"),
        ("LA", "PNG"),
        ("I;16", "PNG"),
        ("RGBA", "WEBP"),
        ("P", "GIF"),
        ("RGB", "BMP"),
        ("RGB", "TIFF"),
        ("F", "TIFF"),
    ],
)
def test_every_kind_of_image_becomes_a_picture(mode: str, image_format: str, clip: TargetModel) -> None:
    image = Image.linear_gradient("L").resize((50, 30))
    image = image.convert("I").convert(mode) if mode == "I;16" else image.convert(mode)
    picture = decode(encoded(image, image_format), clip.preprocess)
    assert isinstance(picture, Picture)
    assert picture.pixels.shape == (3, 32, 32)
    assert picture.pixels.dtype == torch.uint8
    assert (picture.width, picture.height) == (50, 30)


def test_of_an_animation_the_first_picture_counts(clip: TargetModel) -> None:
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue", "green")]
    moving = decode(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]), clip.preprocess)
    still = decode(encoded(frames[0], "PNG"), clip.preprocess)
    assert isinstance(moving, Picture)
    assert isinstance(still, Picture)
    assert torch.allclose(moving.pixels.float(), still.pixels.float(), atol=1)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(
    ("image_bytes", "reason"),
    [
        (b"", "image is of no known format"),
        (b"<html>404</html>", "image is of no known format"),
        (encoded(Image.effect_noise((99, 99), 90), "JPEG")[:900], "image is broken: image file is truncated"),
        (encoded(Image.effect_noise((99, 99), 90), "PNG")[:900], "image is broken"),
        (png_header(20_000, 6_000), "image of 20000x6000 pixels is over the limit of 100 megapixels"),
        (png_header(60_000, 60_000), "image is broken: Image size (3600000000 pixels) exceeds limit"),
        (encoded(Image.new("RGB", (1, 2000)), "PNG"), "image of 1x2000 pixels is thinner than 1 to 100"),
        *(
            (encoded(Image.new("RGB", (8, 8)), kind), f"image {OF_NO_KNOWN_FORMAT}")
            for kind in ("EPS", "TGA", "PCX", "ICO", "SGI", "DDS")
        ),
    ],
)
def test_what_is_no_usable_image_gets_a_reason(image_bytes: bytes, reason: str, clip: TargetModel) -> None:
    found = decode(image_bytes, clip.preprocess)
    assert isinstance(found, str)
    assert found.startswith(reason)


@pytest.mark.filterwarnings("ignore")  # Pillow's of what it thinks of such files
@given(
    content=st.binary(max_size=200), magic=st.sampled_from([b"", b"\xff\xd8\xff", b"GIF89a", b"RIFF", b"BM"])
)
def test_hostile_bytes_never_raise(content: bytes, magic: bytes, clip: TargetModel) -> None:
    assert isinstance(decode(magic + content, clip.preprocess), str | Picture)


class CountingPreprocess:
    """A model's preprocess that counts its calls."""

    def __init__(self, preprocess: Callable[[Image.Image], Tensor]) -> None:
        self.preprocess = preprocess
        self.calls = 0

    def __call__(self, image: Image.Image) -> Tensor:
        self.calls += 1
        return self.preprocess(image)


def pair(key: str, image: bytes) -> Pair:
    return Pair(key, "pairs.tar", image, f"caption {key}", position=0)


def test_pairs_in_a_row_that_share_an_image_share_its_picture(
    clip: TargetModel, image_bytes: Callable[..., bytes]
) -> None:
    preprocess = CountingPreprocess(clip.preprocess)
    images = [image_bytes(number) for number in (0, 0, 0, 1, 1, 0)]
    ((*items,),) = decoded_batches(
        [pair(str(number), image) for number, image in enumerate(images)], 8, preprocess
    )
    pictures = [item[1] for item in items if not isinstance(item, Reject)]
    assert [id(picture) for picture in pictures] == [id(pictures[row]) for row in (0, 0, 0, 3, 3, 5)]
    assert preprocess.calls == 3


def test_each_model_preprocesses_the_one_decoded_image_as_it_does_alone(
    clip: TargetModel, siglip: TargetModel, image_bytes: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[object] = []
    own_open = Image.open

    def noting(file: io.BytesIO, **options: Any) -> Image.Image:
        opened.append(file)
        return own_open(file, **options)

    monkeypatch.setattr(Image, "open", noting)
    picture = decode(image_bytes(3), clip.preprocess, siglip.preprocess)
    assert len(opened) == 1
    alone = [decode(image_bytes(3), model.preprocess) for model in (clip, siglip)]
    assert isinstance(picture, Picture)
    assert isinstance(alone[0], Picture)
    assert isinstance(alone[1], Picture)
    assert torch.equal(picture.pixels, alone[0].pixels)
    assert picture.reference_pixels is not None
    assert torch.equal(picture.reference_pixels, alone[1].pixels)
    assert alone[0].reference_pixels is None


def test_a_picture_comes_with_its_appearance(clip: TargetModel, image_bytes: Callable[..., bytes]) -> None:
    content = image_bytes(3, size=(120, 80), mode="P")
    picture = decode(content, clip.preprocess)
    assert isinstance(picture, Picture)
    opened = Image.open(io.BytesIO(content))
    expected = appearance(opened, content, opened.convert("RGB"))
    np.testing.assert_array_equal(picture.appearance.form, expected.form)
    np.testing.assert_array_equal(picture.appearance.statistics, expected.statistics)
    assert picture.appearance.perceptual_hash == expected.perceptual_hash


def test_items_come_in_order_and_a_broken_image_takes_the_place_of_its_pair(
    clip: TargetModel, image_bytes: Callable[..., bytes]
) -> None:
    items: list[Pair | Reject] = [pair(str(number), image_bytes(number)) for number in range(10)]
    items[2] = pair("2", b"no image")
    items[3] = pair("3", b"no image")
    items[7] = Reject("7", "pairs.tar", "no caption", 0)
    batches = list(decoded_batches(items, 4, clip.preprocess))
    assert [len(batch) for batch in batches] == [4, 4, 2]
    found = [item for batch in batches for item in batch]
    assert [item.key if isinstance(item, Reject) else item[0].key for item in found] == list("0123456789")
    reasons = {item.key: item.reason for item in found if isinstance(item, Reject)}
    assert reasons == {
        "2": f"image {OF_NO_KNOWN_FORMAT}",
        "3": f"image {OF_NO_KNOWN_FORMAT}",
        "7": "no caption",
    }


def test_reading_stays_a_few_batches_ahead(clip: TargetModel, image_bytes: Callable[..., bytes]) -> None:
    taken = 0

    def items() -> object:
        nonlocal taken
        for number in range(100):
            taken += 1
            yield pair(str(number), image_bytes(number))

    batches = decoded_batches(items(), 5, clip.preprocess)  # type: ignore[arg-type]
    next(batches)
    assert taken == 15
    batches.close()  # type: ignore[attr-defined]
