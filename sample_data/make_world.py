"""Splits a set of clip-art pairs into the pools of the sample world and writes them as tars.

The source is a folder of WebDataset tars of public-domain clip art, one drawing
rendered at 224 px with its caption and a record: KEY.png, KEY.txt, KEY.json
(title, creator, source file). The shipped world comes from Debian's package
openclipart-svg 0.18+dfsg, cropped to the drawing and rendered on white.

    python sample_data/make_world.py FOLDER

The split is drawn once, from the seed alone. Everything a later step needs is
in the tars, so the models can be trained again without the source folder.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

SPLIT_SEED = 0
IMAGE_SIZE = 64
PALETTE_COLOURS = 256

MEMBER_CANDIDATES = 400
NONMEMBER_CANDIDATES = 1000
MEMBERS_IN_GENERAL = 400
NONMEMBERS_IN_GENERAL = 200
KNOWN_NONMEMBERS = 300


@dataclass(frozen=True, slots=True)
class Drawing:
    """A pair of the source set: the picture as found, its caption, and where it comes from."""

    key: str
    image: bytes
    caption: str
    title: str
    creator: str
    source: str


@dataclass(frozen=True, slots=True)
class World:
    """The keys of each pool, each in the order of its tar, and of the pairs that the target learns."""

    candidates: list[str]
    nonmembers: list[str]
    general: list[str]
    unseen: list[str]
    members: frozenset[str]


def read_drawings(folder: Path) -> dict[str, Drawing]:
    """All pairs in the tars of `folder`, by key."""
    files: dict[str, bytes] = {}
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            for entry in tar:
                content = tar.extractfile(entry)
                if content is not None:
                    files[entry.name] = content.read()
    drawings = {}
    for key in sorted(name.removesuffix(".json") for name in files if name.endswith(".json")):
        record = json.loads(files[f"{key}.json"])
        drawings[key] = Drawing(
            key=key,
            image=files[f"{key}.png"],
            caption=files[f"{key}.txt"].decode().strip(),
            title=record["title"],
            creator=record["creator"],
            source=record["source"],
        )
    return drawings


def split(keys: list[str], seed: int) -> World:
    """Draw the pools from one shuffle of the keys, so that all of them are distributed alike."""
    generator = random.Random(seed)
    shuffled = sorted(keys)
    generator.shuffle(shuffled)
    sizes = (
        MEMBER_CANDIDATES,
        NONMEMBER_CANDIDATES,
        MEMBERS_IN_GENERAL,
        NONMEMBERS_IN_GENERAL,
        KNOWN_NONMEMBERS,
    )
    parts: list[list[str]] = []
    for size in sizes:
        parts.append(shuffled[:size])
        shuffled = shuffled[size:]
    member_candidates, nonmember_candidates, general_members, general_nonmembers, nonmembers = parts
    candidates = member_candidates + nonmember_candidates
    general = general_members + general_nonmembers
    generator.shuffle(candidates)
    generator.shuffle(general)
    return World(
        candidates=candidates,
        nonmembers=nonmembers,
        general=general,
        unseen=shuffled,
        members=frozenset(member_candidates + general_members),
    )


def shrink(image: bytes) -> bytes:
    """The drawing on white at the size the models read, as a palette PNG."""
    drawing = Image.open(io.BytesIO(image)).convert("RGBA")
    canvas = Image.new("RGBA", drawing.size, "white")
    canvas.alpha_composite(drawing)
    small = canvas.convert("RGB").resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC)
    palette = small.quantize(PALETTE_COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    encoded = io.BytesIO()
    palette.save(encoded, "PNG", optimize=True)
    return encoded.getvalue()


def add_file(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """Append a file without a time or an owner, so that the same pairs give the same bytes."""
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def write_tar(path: Path, drawings: list[Drawing], members: frozenset[str] | None = None) -> None:
    """Write pairs as a WebDataset tar; with `members`, each record says whether the target learnt it."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for drawing in drawings:
            record: dict[str, str | bool] = {
                "title": drawing.title,
                "creator": drawing.creator,
                "source": drawing.source,
            }
            if members is not None:
                record["member"] = drawing.key in members
            add_file(tar, f"{drawing.key}.json", json.dumps(record, ensure_ascii=False).encode())
            add_file(tar, f"{drawing.key}.png", shrink(drawing.image))
            add_file(tar, f"{drawing.key}.txt", drawing.caption.encode())


def main() -> None:
    """Make the tars, the list of members, and the licence."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where the tars of the source set are")
    parser.add_argument("--world", type=Path, default=Path(__file__).parent, help="where the pools go")
    parser.add_argument("--seed", type=int, default=SPLIT_SEED, help="the seed of the split")
    arguments = parser.parse_args()

    drawings = read_drawings(arguments.folder)
    world = split(list(drawings), arguments.seed)
    arguments.world.mkdir(parents=True, exist_ok=True)
    for name in ("candidates", "nonmembers", "general", "unseen"):
        pool = [drawings[key] for key in getattr(world, name)]
        write_tar(arguments.world / f"{name}.tar", pool, world.members if name == "candidates" else None)
        print(f"{name}.tar: {len(pool)} pairs")
    (arguments.world / "members.txt").write_text("".join(f"{key}\n" for key in sorted(world.members)))
    shutil.copyfile(arguments.folder / "LICENSE.txt", arguments.world / "LICENSE.txt")


if __name__ == "__main__":
    main()
