"""`parts/index*.jsonl`: what a run tells later ones of the shards that it has encoded.

Each process that encodes has a file of its own: on a file system that several machines
share, lines that two of them append may mix.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from tui_mia.encoder.content import Signature
from tui_mia.encoder.parts import part_files

INDEXES = "index*.jsonl"


@dataclass(frozen=True)
class EncodedShard:
    """A shard that a run has encoded: what it was, and which parts it became.

    `asked` is SHA-256 of which shard it is and how it is read, `content` of what was
    in it, and `signature` how its file was known. `cut` is how many entries
    could be read, if there were as many.
    """

    asked: str
    content: str
    signature: Signature
    pool: str
    shard: int
    parts: int
    entries: int
    cut: int | None

    def is_all_for(self, left: int | None) -> bool:
        """Whether another run that may read `left` entries would have just these."""
        return self.cut == left or (self.cut is None and left is not None and self.entries <= left)

    def files(self, folder: Path) -> list[tuple[Path, Path]]:
        """The rejects and the samples of each part."""
        return [part_files(folder, self.pool, self.shard, number) for number in range(self.parts)]


_KEYS = {field.name for field in fields(EncodedShard)}


@dataclass(frozen=True)
class EarlierRun:
    """What a process of a run left in `folder`: all that went into embeddings beside pairs, and shards."""

    folder: Path
    encoding: Mapping[str, Any]
    shards: tuple[EncodedShard, ...]

    @property
    def views(self) -> int:
        """How many views of each image it encoded beside the plain one."""
        return int(self.encoding.get("views", 0))

    @property
    def run_id(self) -> str:
        return self.folder.parent.name

    def has(self, shard: EncodedShard) -> bool:
        """Whether the parts of a shard are still there."""
        return all(path.exists() for pair in shard.files(self.folder) for path in pair)


def read_indexes(folder: Path) -> list[EarlierRun]:
    """What each index in a folder says."""
    return [_read(path) for path in sorted(folder.glob(INDEXES))]


def read_index(folder: Path, writer: str = "") -> EarlierRun:
    """What one process of a run says; nothing where it has said nothing yet."""
    return _read(_path(folder, writer))


def tell_encoding(folder: Path, encoding: Mapping[str, object], writer: str = "") -> None:
    _append(_path(folder, writer), {"encoding": encoding})


def tell_shard(folder: Path, shard: EncodedShard, writer: str = "") -> None:
    _append(_path(folder, writer), asdict(shard))


def _path(folder: Path, writer: str) -> Path:
    return folder / (f"index-{writer}.jsonl" if writer else "index.jsonl")


def _read(path: Path) -> EarlierRun:
    """What an index says; a line that was cut off, or of another version, counts for none."""
    encoding: Mapping[str, Any] = {}
    shards: list[EncodedShard] = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        lines = []
    for line in lines:
        try:
            said = json.loads(line)
        except json.JSONDecodeError:
            continue
        if not isinstance(said, dict):
            continue
        if said.keys() == _KEYS:
            shards.append(EncodedShard(**said))
        else:
            encoding = said.get("encoding", encoding)
    return EarlierRun(path.parent, encoding, tuple(shards))


def _append(path: Path, said: Mapping[str, object]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(said) + "\n")
