"""Hostile pools through the real program: nothing is obeyed, nothing is lost, nothing leaves its folder."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tui_mia.store import query

TuiMia = Callable[..., subprocess.CompletedProcess[str]]

EVIL = "\x1b[31mRED\x1b]0;owned\x07\x9b2J\u202e[bold]<script>alert(1)</script>'; DROP TABLE runs; --"
CAPTIONS = [
    "a photo of a cat",
    EVIL,
    "word " * 50_000,
    "nul\0inside",
    "قطة على الطاولة 猫在桌子上 кошка 🐈‍⬛",
    "=1+1",
    "{{ 7 * 7 }} {% raw %}",
    "e" + "\u0301" * 3000,
]
OBEYED = {"\x1b", "\x07", "\x9b", "\u202e"}


def pictures(image_bytes: Callable[..., bytes]) -> dict[str, bytes]:
    """Images that an audit takes, of every kind, under the extension that they may not deserve."""
    turned = Image.Exif()
    turned[0x0112] = 6
    sixteen = io.BytesIO()
    Image.linear_gradient("L").convert("I").convert("I;16").save(sixteen, "PNG")
    frames = {"save_all": True, "append_images": [Image.new("RGB", (48, 40), "red")]}
    return {
        "plain": image_bytes(1),
        "cmyk": image_bytes(2, mode="CMYK", image_format="JPEG"),
        "palette": image_bytes(3, mode="P"),
        "grey": image_bytes(4, mode="L"),
        "clear": image_bytes(5, mode="RGBA"),
        "sixteen": sixteen.getvalue(),
        "turned": image_bytes(6, image_format="JPEG", exif=turned.tobytes()),
        "moving-gif": image_bytes(7, image_format="GIF", **frames),
        "moving-webp": image_bytes(8, image_format="WEBP", **frames),
        "tiff": image_bytes(9, image_format="TIFF"),
        "bmp": image_bytes(10, image_format="BMP"),
    }


@pytest.fixture
def hostile(tmp_path: Path, world: Path, image_bytes: Callable[..., bytes]) -> Path:
    """The spec of an audit whose every name, caption and label somebody made to do harm."""
    folder = tmp_path / "d\x1b[2J[red]<b>' ;--"
    folder.mkdir()
    good = pictures(image_bytes)
    with tarfile.open(folder / "pool.tar", "w", format=tarfile.PAX_FORMAT) as tar:

        def add(name: str, content: bytes) -> None:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))

        for number, (name, image) in enumerate(good.items()):
            add(f"../{name}\x1b[31m.png", image)
            add(f"../{name}\x1b[31m.txt", CAPTIONS[number % len(CAPTIONS)].encode())
            add(f"../{name}\x1b[31m.json", json.dumps({EVIL: EVIL}).encode())
        bad = {"cut": good["cmyk"][:300], "html": b"<html>", "empty": b"", "bomb": png_of(60_000, 60_000)}
        for name, image in bad.items():
            add(f"bad-{name}.jpg", image)
            add(f"bad-{name}.txt", b"a caption")
    spec = tmp_path / "audit.toml"
    spec.write_text(
        f'[model]\narchitecture = "local-dir:{world}/models/target"\ndevice = "cpu"\n'
        f"[pools.candidates]\nsource = {json.dumps(str(folder / 'pool.tar'))}\n"
        f"[attacks.csa]\n[output]\ndatabase = {json.dumps(str(folder / 'audits.duckdb'))}\n"
    )
    return spec


def png_of(width: int, height: int) -> bytes:
    """A PNG that says it is of this size, and holds next to nothing."""
    buffer = io.BytesIO()
    Image.new("RGB", (1, 1)).save(buffer, "PNG")
    content = bytearray(buffer.getvalue())
    content[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    import zlib

    content[29:33] = zlib.crc32(bytes(content[12:29])).to_bytes(4, "big")
    return bytes(content)


def test_a_hostile_pool_is_audited_and_nothing_in_it_is_obeyed(
    hostile: Path, tmp_path: Path, tui_mia: TuiMia
) -> None:
    completed = tui_mia("run", hostile, "--plain")
    assert completed.returncode == 0, completed.stderr
    [database] = tmp_path.glob("*/audits.duckdb")
    with query(database, "SELECT caption, key FROM samples ORDER BY number") as result:
        captions, keys = zip(*result, strict=True)
    assert list(captions) == [CAPTIONS[number % len(CAPTIONS)].strip() for number in range(11)]
    assert all(key.startswith("../") for key in keys)
    with query(database, "SELECT key, reason FROM rejects ORDER BY key") as result:
        rejects: dict[str, Any] = dict(result)
    assert list(rejects) == ["bad-bomb", "bad-cut", "bad-empty", "bad-html"]
    assert "exceeds limit" in rejects["bad-bomb"]
    shown = [completed.stdout, completed.stderr]
    for command in (["show", "latest"], ["report", "latest", "-", "--format", "html"]):
        told = tui_mia(*command, "--db", database)
        assert told.returncode == 0, told.stderr
        shown += [told.stdout, told.stderr]
    for text in shown:
        assert not OBEYED & set(text)
        assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in shown[-2]
    assert "default-src &#39;none&#39;" in shown[-2] or "default-src 'none'" in shown[-2]
    # Nothing was written anywhere but beside the database.
    beside = {path.name for path in tmp_path.iterdir()}
    assert beside == {"audit.toml", database.parent.name}
