"""Damaged and hostile input files, thousands of them, through the code that an audit reads them with.

`python tests/reliability/fuzz_inputs.py --cases 10000`: real tars, images,
tables, captions files, specs and checkpoints are damaged at random (bits
flipped, ends cut off, pieces moved, headers edited), always the same from the
same seed, and read by child processes. A case fails where reading

- raises anything but the project's own errors,
- takes longer than `LONGEST_SECONDS` or more memory than `MOST_MEMORY_BYTES`,
- kills the process, or runs code that a checkpoint carries,
- loses a sample whose bytes the damage did not touch, and doesn't say so.

Prints what became of how many cases of each kind; ends with 1 if any failed.
`--only KIND:NUMBER` runs one case again.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import gzip
import io
import json
import os
import random
import resource
import select
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import traceback
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any, Final, TypeAlias

LONGEST_SECONDS: Final = float(os.environ.get("FUZZ_LONGEST_SECONDS", "60"))
# What a case may add to the most that its process has taken so far.
MOST_MEMORY_BYTES: Final = 2**31
SAMPLES: Final = 10
# Of a member with a long name: two headers and the name.
LONGEST_HEADERS: Final = 1536
# How many of 1,000 cases are of each kind.
SHARES: Final = {
    "tar": 230, "image": 330, "table": 180, "coco": 60, "spec": 120, "checkpoint": 80, "faulty": 1000
}  # fmt: skip

Random: TypeAlias = random.Random


class Lost(Exception):  # noqa: N818 - what happened
    """A good sample is not there, and nothing says so."""


class CodeRan(Exception):  # noqa: N818 - what happened
    """Something that a file carried was carried out."""


# Damage: bytes in, bytes out.


def flipped(random: Random, content: bytes) -> bytes:
    damaged = bytearray(content)
    for _ in range(random.choice((1, 1, 2, 8, 64))):
        damaged[_place(random, content)] ^= 1 << random.randrange(8)
    return bytes(damaged)


def cut_off(random: Random, content: bytes) -> bytes:
    return content[: _place(random, content)]


def overwritten(random: Random, content: bytes) -> bytes:
    start = _place(random, content)
    length = min(random.choice((1, 4, 16, 512, 4096)), len(content) - start)
    filling = random.choice((b"\0" * length, b"\xff" * length, random.randbytes(length)))
    return content[:start] + filling + content[start + length :]


def spliced(random: Random, content: bytes) -> bytes:
    """A piece moved over, put in twice, or taken out."""
    start, target = _place(random, content), _place(random, content)
    piece = content[start : start + random.choice((1, 16, 512, 2048))]
    match random.randrange(3):
        case 0:
            return content[:target] + piece + content[target:]
        case 1:
            return content[:target] + piece + content[target + len(piece) :]
        case _:
            return content[:start] + content[start + len(piece) :]


def with_odd_number(random: Random, content: bytes) -> bytes:
    """Two, four or eight bytes as a number that few expect; sizes and counts stand near the beginning."""
    start = random.randrange(min(len(content), random.choice((64, 512, len(content)))))
    number = random.choice((0, 1, 0x7F, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1, 10**6))
    size = random.choice((2, 4, 8))
    inserted = (number % (1 << 8 * size)).to_bytes(size, random.choice(("little", "big")))
    return content[:start] + inserted + content[start + size :]


Damage: TypeAlias = Callable[[Random, bytes], bytes]
DAMAGE: Final[tuple[Damage, ...]] = (flipped, flipped, cut_off, overwritten, spliced, with_odd_number)


def damaged(random: Random, content: bytes) -> bytes:
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        if content:
            content = random.choice(DAMAGE)(random, content)
    return content


def _place(random: Random, content: bytes) -> int:
    """Somewhere; headers and trailers more often than their size would make it."""
    match random.randrange(4):
        case 0:
            return random.randrange(min(len(content), 1024))
        case 1:
            return len(content) - 1 - random.randrange(min(len(content), 1024))
        case _:
            return random.randrange(len(content))


# Tars.


@dataclass(frozen=True)
class Tar:
    """A good tar: its bytes, and of each sample key, image, caption and where its last member ends."""

    content: bytes
    samples: list[tuple[str, bytes, str, int]]


@cache
def world() -> list[tuple[str, bytes, str, bytes]]:
    """Of some of the sample world's pairs: key, image, caption, JSON."""
    from tui_mia.demo import sample_world

    members: dict[str, dict[str, bytes]] = {}
    with tarfile.open(sample_world() / "candidates.tar") as tar:
        while len(members) <= SAMPLES and (member := tar.next()) is not None:
            key, _, extension = member.name.partition(".")
            file = tar.extractfile(member)
            assert file is not None
            members.setdefault(key, {})[extension] = file.read()
    whole = list(members.items())[:SAMPLES]
    return [(key, files["png"], files["txt"].decode(), files["json"]) for key, files in whole]


@cache
def good_tar(dialect: int, long_names: bool) -> Tar:
    buffer = io.BytesIO()
    samples = []
    with tarfile.open(fileobj=buffer, mode="w", format=dialect) as tar:
        for number, (key, image, caption, label) in enumerate(world()):
            name = f"{'folder/' * 20}Москва-{key}" if long_names and number % 3 == 0 else key
            for extension, content in (("json", label), ("png", image), ("txt", caption.encode())):
                member = tarfile.TarInfo(f"{name}.{extension}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
            samples.append((name, image, caption.strip(), buffer.tell()))
    return Tar(buffer.getvalue(), samples)


def tar_case(random: Random, folder: Path) -> str:
    from tui_mia.pools import Pair, PoolError, plan_shards, read_shard
    from tui_mia.pools.find import find_image
    from tui_mia.spec import PoolSpec

    dialect = random.choice((tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))
    good = good_tar(dialect, long_names=dialect != tarfile.USTAR_FORMAT and random.random() < 0.5)
    packed = random.random() < 0.3
    if packed and random.random() < 0.5:
        content = damaged(random, gzip.compress(good.content, 1, mtime=0))
    else:
        content = random.choice((damaged, with_edited_header))(random, good.content)
        content = gzip.compress(content, 1, mtime=0) if packed else content
    path = folder / random.choice(("case.tar", "case.tar.gz", "case.tgz"))
    path.write_bytes(content)
    spec = PoolSpec(source=[str(path)])
    items = [item for shard in plan_shards("candidates", spec) for item in read_shard(shard, spec)]
    found = {item.key: item for item in items}
    told = any(not isinstance(item, Pair) and not item.key for item in items)
    reached = _unpacked(content)
    same = next((at for at, (a, b) in enumerate(zip(reached, good.content)) if a != b), len(reached))  # noqa: B905
    # A decompressor hands on nothing of the piece that it fails in.
    read = same if reached is content else same - io.DEFAULT_BUFFER_SIZE
    for key, image, caption, end in good.samples:
        item = found.get(key)
        if end > read or (isinstance(item, Pair) and (item.image, item.caption) == (image, caption)):
            continue
        # What comes after a sample could have been more of it, where its header can't be read.
        if end + LONGEST_HEADERS <= read or not (told or item is not None):
            raise Lost(f"sample {key}, which ends at {end} of {read} good bytes")
    with contextlib.suppress(PoolError):
        find_image(spec, "candidates", str(path), random.choice(good.samples)[0], None)
    return "rejected" if len(found) != len(good.samples) or told else "read"


def with_edited_header(random: Random, content: bytes) -> bytes:
    """One header with another size, type, name or link, and a checksum that fits or doesn't."""
    starts = [at for at in range(0, len(content), 512) if content[at + 257 : at + 262] == b"ustar"]
    start = random.choice(starts)
    header = bytearray(content[start : start + 512])
    for _ in range(random.choice((1, 1, 2))):
        at, length = random.choice(
            (
                *((0, 100), (100, 8), (124, 12), (124, 12), (136, 12)),
                *((156, 1), (156, 1), (157, 100), (257, 8), (345, 155)),
            )
        )
        header[at : at + length] = _field(random, length)
    if random.random() < 0.85:
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
    return content[:start] + bytes(header) + content[start + 512 :]


def _field(random: Random, length: int) -> bytes:
    kinds = b"01234567LKSxgXANVM\0\xff"
    values = (
        random.randbytes(length),
        b"\0" * length,
        bytes([random.choice(kinds)]),
        b"%o" % random.choice((0, 1, 511, 512, 2**31, 2**33 - 1)),
        b"\x80" + random.choice((2**31, 2**40, 2**63, 2**80)).to_bytes(max(length - 1, 11), "big"),
        b"\xff" * length,
        b"../../etc/passwd.png",
        b"/etc/passwd.txt",
        b"a\x1b[2Jb.png",
    )
    return random.choice(values)[:length].ljust(length, b"\0")


def _unpacked(content: bytes) -> bytes:
    """As much as can be unpacked."""
    if not content.startswith(b"\x1f\x8b"):
        return content
    engine, unpacked = zlib.decompressobj(31), bytearray()
    for start in range(0, len(content), 64):
        try:
            unpacked += engine.decompress(content[start : start + 64])
        except zlib.error:
            break
    return bytes(unpacked)


# Images.


@cache
def good_images() -> list[bytes]:
    """Real pictures in every form that is met with in the wild."""
    from PIL import Image

    def encoded(image: Image.Image, format_: str, **options: Any) -> bytes:
        buffer = io.BytesIO()
        image.save(buffer, format_, **options)
        return buffer.getvalue()

    pictures = [Image.open(io.BytesIO(image)).convert("RGB") for _, image, _, _ in world()]
    first, others = pictures[0].resize((120, 90)), [picture.resize((120, 90)) for picture in pictures[1:4]]
    turned = Image.Exif()
    turned[0x0112] = 6
    sixteen = first.convert("L").convert("I").point(lambda value: value * 257).convert("I;16")
    moving: dict[str, Any] = {"save_all": True, "append_images": others}
    return [
        *(image for _, image, _, _ in world()[:3]),
        encoded(first, "JPEG"),
        encoded(first, "JPEG", progressive=True, quality=95),
        encoded(first, "JPEG", exif=turned.tobytes(), comment="\x1b[2J"),
        encoded(first.convert("CMYK"), "JPEG"),
        encoded(first.convert("L"), "JPEG"),
        *(encoded(first.convert(mode), "PNG") for mode in ("RGB", "RGBA", "P", "1", "L", "LA")),
        encoded(sixteen, "PNG"),
        encoded(first, "PNG", **moving),
        encoded(first, "WEBP"),
        encoded(first.convert("RGBA"), "WEBP", lossless=True),
        encoded(first, "WEBP", **moving),
        encoded(first, "GIF"),
        encoded(first, "GIF", **moving),
        *(encoded(first, "TIFF", compression=kind) for kind in (None, "tiff_lzw", "tiff_deflate", "jpeg")),
        encoded(sixteen, "TIFF"),
        encoded(first.convert("F"), "TIFF"),
        encoded(first, "TIFF", **moving),
        *(encoded(first.convert(mode), "BMP") for mode in ("RGB", "P", "1")),
        *(encoded(first, kind) for kind in ("PPM", "JPEG2000", "AVIF")),
        encoded(first, "MPO", **moving),
    ]


@cache
def preprocess() -> Any:
    from open_clip.transform import image_transform

    from tui_mia.encoder.preprocess import in_bytes

    transform = image_transform(32, is_train=False, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    return in_bytes(transform, fast=False), in_bytes(transform, fast=True)


def image_case(random: Random, folder: Path) -> str:
    from tui_mia.encoder.images import Picture, decode
    from tui_mia.report.contents import NoThumbnail, Thumbnail
    from tui_mia.report.pictures import thumbnail
    from tui_mia.tui.widgets import half_cells

    whole = random.choice(good_images())
    untouched = random.random() < 0.05
    content = whole if untouched else damaged(random, whole)
    picture = decode(content, *preprocess())
    assert isinstance(picture, Picture | str)
    assert isinstance(thumbnail(content), Thumbnail | NoThumbnail)
    shown = half_cells.decode(content)
    if not isinstance(shown, str):
        half_cells.draw(shown, 20, 10, (0, 0, 0))
    if isinstance(picture, str):
        if untouched or content == whole:
            raise Lost(f"a good picture: {picture}")
        return "rejected"
    return "read"


# Tables.


def table_case(random: Random, folder: Path) -> str:
    suffix = random.choice((".csv", ".tsv", ".jsonl", ".parquet"))
    images = [image for _, image, _, _ in world()]
    for number, image in enumerate(images):
        (folder / f"{number}.png").write_bytes(image)
    rows = [
        {"image": f"{number}.png", "caption": caption_of(random), "key": f"k{number}", "more": number}
        for number in range(len(images))
    ]
    content = written_table(random, suffix, rows)
    hurt = random.random() < 0.9
    path = folder / f"case{suffix}"
    broken = damaged(random, content) if hurt else content
    path.write_bytes(broken)
    return _read_table(path, rows, content, broken)


def _read_table(path: Path, rows: Sequence[dict[str, Any]], content: bytes, broken: bytes) -> str:
    from tui_mia.pools import Pair, PoolError, plan_shards, read_shard
    from tui_mia.pools.find import find_image
    from tui_mia.spec import PoolSpec

    spec = PoolSpec(source=[str(path)])
    try:
        items = [item for shard in plan_shards("candidates", spec, 4) for item in read_shard(shard, spec)]
    except PoolError:
        if broken == content:
            raise Lost("a good table") from None
        return "refused"
    # A row that damage has put in twice may be broken the second time.
    found = {(item.key, item.caption) for item in items if isinstance(item, Pair)}
    for row in _untouched(path.suffix, rows, content, broken):
        caption = row["caption"].strip()
        if caption and (row["key"], caption) not in found:
            raise Lost(f"row {row['key']}: {caption!r}"[:300])
    with contextlib.suppress(PoolError):
        find_image(spec, "candidates", str(path), "k3", None)
    return "read" if len(items) == len(rows) and all(isinstance(item, Pair) for item in items) else "rejected"


def _untouched(
    suffix: str, rows: Sequence[dict[str, Any]], content: bytes, broken: bytes
) -> Iterator[dict[str, Any]]:
    """The rows that damage has not reached: in text those before it, in JSONL those behind it too."""
    if broken == content:
        yield from rows
    elif suffix == ".jsonl":
        lines = set(broken.split(b"\n"))
        for row, line in zip(rows, content.split(b"\n"), strict=False):
            # The first line may stand behind half a byte order mark, and twins are rejected as such later.
            if line in lines:
                yield row
    elif suffix != ".parquet":
        same = next((at for at, (a, b) in enumerate(zip(broken, content)) if a != b), len(broken))  # noqa: B905
        good = list(
            csv.reader(io.StringIO(content[:same].decode(errors="ignore")), delimiter=_delimiter(suffix))
        )
        yield from rows[: max(0, len(good) - 2)]


def caption_of(random: Random) -> str:
    """What stands in the caption columns of the web."""
    return random.choice(
        (
            "a photo of a cat",
            "",
            " ",
            "word " * random.choice((1, 500, 20_000)),
            "Eine Straße, \"quoted\", with,commas;\tand\ttabs",
            "قطة على الطاولة 猫在桌子上 кошка 🐈‍⬛",
            "<script>alert(1)</script><b>&amp;",
            "\x1b[2J\x1b]0;title\x07 cleared",
            "nul\0inside",
            "\u202etxet desrever",
            "'; DROP TABLE runs; --",
            "[bold red]markup[/]",
            "a\nb\r\nc",
            "=HYPERLINK(\"http://example.com\")",
            "e" + "\u0301" * 2000,
        )
    )  # fmt: skip


def written_table(random: Random, suffix: str, rows: Sequence[dict[str, Any]]) -> bytes:
    if suffix == ".jsonl":
        return b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    if suffix != ".parquet":
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(rows[0]), delimiter=_delimiter(suffix))
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue().encode()
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = pa.BufferOutputStream()
    compression = random.choice(("none", "snappy", "zstd", "gzip", "lz4"))
    pq.write_table(
        pa.Table.from_pylist(list(rows)),
        buffer,
        compression=compression,
        row_group_size=random.choice((3, 100)),
        write_page_checksum=random.random() < 0.3,
    )
    return bytes(buffer.getvalue())


def _delimiter(suffix: str) -> str:
    return "\t" if suffix == ".tsv" else ","


# COCO captions.


def coco_case(random: Random, folder: Path) -> str:
    from tui_mia.pools import Pair, PoolError, plan_shards, read_shard
    from tui_mia.pools.find import find_image
    from tui_mia.spec import PoolSpec

    document: dict[str, Any] = {"info": {}, "images": [], "annotations": []}
    for number, (_, image, caption, _) in enumerate(world()):
        (folder / f"{number}.png").write_bytes(image)
        document["images"].append({"id": number, "file_name": f"{number}.png", "width": 64})
        document["annotations"].append({"id": 100 + number, "image_id": number, "caption": caption})
    chosen = random.randrange(SAMPLES)
    structural = random.random() < 0.5
    if structural:
        entry = document[random.choice(("images", "annotations"))][chosen]
        entry[random.choice(list(entry))] = odd_value(random)
    content = json.dumps(document).encode()
    path = folder / "captions.json"
    path.write_bytes(content if structural else damaged(random, content))
    spec = PoolSpec(source=[str(path)])
    try:
        items = [item for shard in plan_shards("candidates", spec, 4) for item in read_shard(shard, spec)]
    except PoolError:
        if structural:
            raise Lost("captions beside an odd one") from None
        return "refused"
    found = {item.key: item for item in items}
    for number in range(SAMPLES if structural else 0):
        # The odd value can be the id of the first or second: then there are two of it.
        if (
            number != chosen
            and not isinstance(found.get(str(100 + number)), Pair)
            and str(number) not in content.decode()
        ):
            raise Lost(f"annotation {100 + number}: {found.get(str(100 + number))!r}"[:300])
    with contextlib.suppress(PoolError):
        find_image(spec, "candidates", str(path), "103", None)
    return "read" if all(isinstance(item, Pair) for item in items) else "rejected"


def odd_value(random: Random) -> Any:
    return random.choice(
        (
            *(None, True, 0, -1, 10**30, 1.5, float("nan"), [], [1], {}, {"a": 1}, [[[[]]]]),
            *("", "\0", "../../../etc/passwd", "/etc/passwd", "\ud800", "\x1b[2J", "x" * 100_000),
            *("file:///etc/passwd", "http://example.com/a.png"),
        )
    )


# Specs.


def spec_case(random: Random, folder: Path) -> str:
    from tui_mia.pools import PoolError, plan_shards
    from tui_mia.spec import SpecError, dump_spec, load_spec, read_spec

    (folder / "pairs.csv").write_text("image,caption,member\na.png,a,\n")
    text = GOOD_SPEC.format(folder=folder).encode()
    if random.random() < 0.6:
        text = with_odd_key(random, text.decode()).encode("utf-8", "surrogatepass")
    else:
        text = damaged(random, text)
    path = folder / "audit.toml"
    path.write_bytes(text)
    try:
        spec = load_spec(path)
    except SpecError as error:
        if not 0 < len(str(error)) < 200_000:
            raise Lost(f"the reason, in {len(str(error)):,} characters") from None
        return "refused"
    (folder / "again.toml").write_text(dump_spec(spec), encoding="utf-8")
    if read_spec(folder / "again.toml") != spec:
        raise Lost("a key on the way through TOML")
    try:
        for pool, pool_spec in spec.pool_specs().items():
            plan_shards(pool, pool_spec)
    except PoolError:
        return "refused"
    return "read"


GOOD_SPEC: Final = """
[model]
architecture = "ViT-B-32"
pretrained = "openai"
precision = "exact"
device = "cpu"

[reference]
architecture = "ViT-B-16"
pretrained = "openai"

[pools.candidates]
source = "{folder}/pairs.csv"
limit = 10
member = "member"

[pools.nonmembers]
source = ["{folder}/*.csv", "{folder}/pairs.{{csv,csv}}"]

[attacks.csa]
[attacks.aea]
views = 2
seed = 1
[attacks.wsa]
lambda = 1.5
seeds = 2
[attacks.loss]

[evidence]
smallest_auc = 0.6

[run]
seed = 1
batch_size = 8

[output]
database = "{folder}/audits.duckdb"
"""


def with_odd_key(random: Random, text: str) -> str:
    """One line with another value, or a line that nobody asked for."""
    values = (
        *("1", "-1", "0", "1.5", "nan", "inf", "true", "a.b.c"),
        *("[]", "[1, true, {a = 1}]", "{}", "{a = {a = 1}}"),
        *("1979-05-27T07:32:00Z", "07:32:00", "9" * 5000, "0x" + "f" * 400, "0x" + "f" * 6000),
        *("[" * 3000 + "]" * 3000, "'''x'''", '""', '"x"', '"\\u0000"', '"\\u001b[2J"', '"[!]"', '"\\\\"'),
        *map(
            '"{}"'.format,
            (
                *("a" * 70_000, "x/" * 3000, "../../../../etc/passwd", "~nobody/x"),
                *("/dev/zero", "/dev/stdin"),
                *("{0..99999999999}.tar", "{a,b}" * 40 + ".tar", "{" + "9" * 400 + ".." + "8" * 400 + "}"),
                *("{" * 3000, "{a..z}" * 6, "**/**/**/x", "{1..10..0}", "{1..10..-3}", "{1..9}" * 30),
                *("hf-hub:", "local-dir:", "local-dir:/"),
            ),
        ),
    )
    lines = text.split("\n")
    keys = [at for at, line in enumerate(lines) if " = " in line]
    at = random.choice(keys)
    match random.randrange(4):
        case 0:
            del lines[at]
        case 1:
            name = random.choice(("mask", "sources", "limit", '"\\u001b[2J"', '""', "a." * 500 + "a"))
            lines.insert(at, f"{name} = {random.choice(values)}")
        case _:
            lines[at] = f"{lines[at].partition(' = ')[0]} = {random.choice(values)}"
    return "\n".join(lines)


# Checkpoints.


class _Payload:
    def __init__(self, marker: str) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.marker,)


@cache
def tiny_model() -> tuple[str, dict[str, bytes]]:
    """A small CLIP with random weights: its configuration, and its weights in every form."""
    import open_clip
    import torch
    from safetensors.torch import save

    text = {"context_length": 8, "vocab_size": 49408, "width": 4, "heads": 1, "layers": 1}
    vision = {"image_size": 16, "patch_size": 8, "width": 8, "head_width": 8, "layers": 1}
    config = json.dumps(
        {"model_cfg": {"embed_dim": 4, "vision_cfg": vision, "text_cfg": text}, "preprocess_cfg": {}}
    )
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "open_clip_config.json").write_text(config)
        network = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    zipped, legacy, training = io.BytesIO(), io.BytesIO(), io.BytesIO()
    torch.save(weights, zipped)
    torch.save(weights, legacy, _use_new_zipfile_serialization=False)
    torch.save({"epoch": 1, "state_dict": weights}, training)
    forms = {
        "open_clip_model.safetensors": save(weights),
        "open_clip_pytorch_model.bin": zipped.getvalue(),
        "pytorch_model.bin": legacy.getvalue(),
        "model.pth": training.getvalue(),
    }
    return config, forms


def checkpoint_case(random: Random, folder: Path) -> str:
    import torch

    from tui_mia.encoder import ModelError, load_target
    from tui_mia.spec import ModelSpec

    config, forms = tiny_model()
    name, content = random.choice(list(forms.items()))
    marker = folder / "was-here"
    match random.randrange(6):
        case 0:
            document = json.loads(config)
            table = document["model_cfg"][random.choice(("vision_cfg", "text_cfg"))]
            table[random.choice(list(table))] = random.choice(
                (None, -1, 0, 3, 1.5, "x", [], {}, True, [1, 1, 1, 1])
            )
            config = json.dumps(document)
        case 1:
            config = damaged(random, config.encode()).decode(errors="replace")
        case 2 if not name.endswith("safetensors"):
            buffer = io.BytesIO()
            held = random.choice(
                (_Payload(str(marker)), [_Payload(str(marker))], {"state_dict": _Payload(str(marker))})
            )
            torch.save(held, buffer, _use_new_zipfile_serialization=random.random() < 0.5)
            content = buffer.getvalue() if random.random() < 0.5 else damaged(random, buffer.getvalue())
        case _:
            content = damaged(random, content)
    (folder / "open_clip_config.json").write_text(config)
    (folder / name).write_bytes(content)
    try:
        load_target(ModelSpec(architecture=f"local-dir:{folder}", device="cpu"))
        outcome = "read"
    except ModelError as error:
        if str(folder) not in str(error) and "architecture" not in str(error):
            raise Lost(f"the name of the file: {error}") from None
        outcome = "refused"
    if marker.exists():
        raise CodeRan(name)
    return outcome


# What a case can do wrong, for the test of this program: `--kinds faulty`.


def faulty_case(random: Random, folder: Path) -> str:
    """Fails in another way at each number."""
    match random.randrange(4):
        case 0:
            raise ZeroDivisionError
        case 1:
            raise Lost("a row")
        case 2:
            os.kill(os.getpid(), signal.SIGSEGV)
        case _:
            time.sleep(2 * LONGEST_SECONDS)
    return "read"


CASES: Final[dict[str, Callable[[Random, Path], str]]] = {
    "tar": tar_case,
    "image": image_case,
    "table": table_case,
    "coco": coco_case,
    "spec": spec_case,
    "checkpoint": checkpoint_case,
    "faulty": faulty_case,
}


# Child processes, and who looks after them.


def answer(seed: int, kind: str, number: int) -> dict[str, Any]:
    """What became of a case."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            outcome, detail = CASES[kind](random.Random(f"{seed}/{kind}/{number}"), Path(folder)), ""
        except Exception as error:
            outcome = {Lost: "LOST", CodeRan: "RAN CODE"}.get(type(error), "RAISED")
            detail = f"{type(error).__name__}: {error}"[:400]
            if outcome == "RAISED":
                place = traceback.extract_tb(error.__traceback__)[-4:]
                detail += " at " + " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(place))
    taken = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    if taken > MOST_MEMORY_BYTES and outcome.islower():
        outcome, detail = "TOO LARGE", f"took {taken / 2**30:.1f} GiB"
    return {"outcome": outcome, "detail": detail}


def child(seed: int, kinds: Sequence[str]) -> None:
    """Answer the cases that are asked for on stdin, one a line, on stdout."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    for kind, ready in (("checkpoint", tiny_model), ("image", good_images), ("image", preprocess)):
        if kind in kinds:
            ready()
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        kind, _, number = line.strip().partition(":")
        print(json.dumps(answer(seed, kind, int(number))), file=answers, flush=True)


class Child:
    """A process that cases are read in, started again whenever one was too much for it."""

    def __init__(self, seed: int, kinds: Sequence[str]) -> None:
        self._command = [sys.executable, __file__, "--child", "--seed", str(seed), "--kinds", ",".join(kinds)]
        self._process: subprocess.Popen[str] | None = None

    def ask(self, case: str) -> dict[str, Any]:
        if self._process is None:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            assert self._process.stdout is not None
            assert self._process.stdout.readline() == "ready\n"
        asked, answered = self._process.stdin, self._process.stdout
        assert asked is not None
        assert answered is not None
        print(case, file=asked, flush=True)
        if not select.select([answered], [], [], LONGEST_SECONDS)[0]:
            self.close()
            return {"outcome": "HUNG", "detail": f"no answer within {LONGEST_SECONDS:.0f} s"}
        line = answered.readline()
        if line:
            found: dict[str, Any] = json.loads(line)
            return found
        code = self._process.wait()
        self.close()
        return {"outcome": "DIED", "detail": signal.Signals(-code).name if code < 0 else f"exit code {code}"}

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            with self._process:
                self._process = None


def run(cases: Sequence[str], seed: int, processes: int, tell: IO[str]) -> dict[str, Counter[str]]:
    """What became of how many cases, by kind; each failure is told."""
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in CASES}
    waiting, lock = iter(cases), threading.Lock()

    def work() -> None:
        process = Child(seed, sorted({case.partition(":")[0] for case in cases}))
        while True:
            with lock:
                case = next(waiting, None)
            if case is None:
                break
            found = process.ask(case)
            with lock:
                counts[case.partition(":")[0]][found["outcome"]] += 1
                if not found["outcome"].islower():
                    print(f"{case}: {found['outcome']}: {found['detail']}", file=tell, flush=True)
        process.close()

    threads = [threading.Thread(target=work) for _ in range(processes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return counts


def planned(cases: int, kinds: Sequence[str]) -> list[str]:
    """The cases, by kind and number; kinds in turn, so that processes share the load."""
    total = sum(SHARES[kind] for kind in kinds)
    numbers = {kind: -(-cases * SHARES[kind] // total) for kind in kinds}
    every = [
        (number / count, f"{kind}:{number}") for kind, count in numbers.items() for number in range(count)
    ]
    return [case for _, case in sorted(every)]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", default=",".join(kind for kind in CASES if kind != "faulty"))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", metavar="KIND:NUMBER")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.seed, options.kinds.split(","))
        return 0
    began = time.monotonic()
    cases = [options.only] if options.only else planned(options.cases, options.kinds.split(","))
    counts = run(cases, options.seed, options.processes, sys.stdout)
    for kind, outcomes in counts.items():
        if outcomes:
            words = ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(outcomes.items()))
            print(f"{kind}: {sum(outcomes.values()):,} cases: {words}")
    failed = sum(
        count for outcomes in counts.values() for name, count in outcomes.items() if not name.islower()
    )
    print(
        f"{len(cases):,} cases in {time.monotonic() - began:.0f} s, {failed:,} failed (seed {options.seed})"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
