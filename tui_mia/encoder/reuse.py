"""What an earlier run of the same database has encoded is not encoded again.

The embeddings are those that runs keep anyway, in `parts/`: there is no second
store that could grow or be forgotten, and what a deleted run had is gone unless
another run has it too. A shard is taken over where its content and all that
goes into its encoding are the same, by hash: a changed checkpoint under the same
name is another model, and a tar that was written again with the same bytes is
the same tar. Only tars are told by content so far.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

import torch

from tui_mia.encoder.model import TargetModel
from tui_mia.encoder.parts import part_files
from tui_mia.pools import Shard
from tui_mia.runs.files import put_in_place
from tui_mia.spec import AuditSpec, PoolSpec

INDEX = "index.jsonl"
_ENTRY = {"key", "content", "signature", "pool", "shard", "parts", "entries", "cut"}
_ROOMS = ("encoder", "pools")

Signature: TypeAlias = list[str | int]
_Entry: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class ShardKey:
    """SHA-256 of all that a shard's parts depend on and of its content alone, and how its file is known."""

    key: str
    content: str
    signature: Signature


class Reuse:
    """The shards that earlier runs have encoded, and those that this one has.

    `encoding` is all that goes into an embedding beside the pair; `folder` has the
    parts of this run, `earlier` those of others, the newest last.
    """

    def __init__(self, folder: Path, earlier: Iterable[Path], encoding: Mapping[str, object]) -> None:
        self._folder = folder
        self._encoding = encoding
        self._taken = self._encoded = 0
        self._earlier: dict[tuple[str, int | None], tuple[Path, _Entry]] = {}
        self._digests: dict[str, str] = {}
        self._paths: set[str] = set()
        self._by_content: dict[str, tuple[Path, Mapping[str, object]]] = {}
        self._why_not: str | None = None
        for other in earlier:
            described, entries = _read_index(other / INDEX)
            for entry in entries:
                self._digests[json.dumps(entry["signature"])] = entry["content"]
                self._paths.add(entry["signature"][0])
                self._earlier[entry["key"], entry["cut"]] = other, entry
                self._by_content[entry["content"]] = other, described
        begun, _ = _read_index(folder / INDEX)
        # A run that went on with another library or device has parts of two kinds: they are not for others.
        self._pure = begun in ({}, json.loads(json.dumps(encoding)))
        if not begun:
            self._tell({"encoding": encoding})

    def key(self, shard: Shard, spec: PoolSpec) -> ShardKey | None:
        """What a shard is told by; None for what is no tar, and for a file that can't be read."""
        if shard.format != "webdataset":
            return None
        try:
            signature = _signature(shard.path)
            content = self._digests.get(json.dumps(signature)) or _digest(shard.path)
            keys = _digest(Path(spec.keys)) if spec.keys else None
        except OSError:
            return None
        columns = [spec.image, spec.caption, spec.member if isinstance(spec.member, str) else None]
        reading = [str(shard.path), shard.member, columns, keys]
        whole = json.dumps([self._encoding, reading, content], sort_keys=True)
        return ShardKey(hashlib.sha256(whole.encode()).hexdigest(), content, signature)

    def take(self, key: ShardKey, shard: Shard, left: int | None) -> bool:
        """Take over the parts of a shard of which none is here from an earlier run, if one has them.

        `left` is how many of its entries may be read, if there is a limit.
        """
        found = self._found(key, left)
        if found is None:
            self._miss(key)
            return False
        other, entry = found
        numbers = range(entry["parts"])
        theirs = [part_files(other, entry["pool"], entry["shard"], number) for number in numbers]
        ours = [part_files(self._folder, shard.pool, shard.index, number) for number in numbers]
        try:
            for source, target in zip(chain(*theirs), chain(*ours), strict=True):
                _link(source, target)
        except FileNotFoundError:  # deleted in this moment: what is not here is encoded
            self._miss(key)
            return False
        self._taken += 1
        return True

    def entries(self, shard: Shard, spec: PoolSpec) -> int:
        """How many entries of a shard would be taken over; a file that no run has read is not read for it."""
        if str(shard.path) not in self._paths or (key := self.key(shard, spec)) is None:
            return 0
        found = self._found(key, spec.limit)
        return 0 if found is None else int(found[1]["entries"])

    def remember(self, key: ShardKey, shard: Shard, left: int | None, entries: int, parts: int) -> None:
        """Tell later runs that this one has all entries of a shard, or the first `left`.

        Not if its file has changed or gone meanwhile.
        """
        try:
            unchanged = _signature(shard.path) == key.signature
        except OSError:
            return
        if self._pure and unchanged:
            place = {"pool": shard.pool, "shard": shard.index, "parts": parts}
            cut = left if left is not None and entries >= left else None
            self._tell(asdict(key) | place | {"entries": entries, "cut": cut})

    def summary(self) -> str | None:
        """What was reused, or why nothing was although an earlier run has encoded the same tars."""
        if self._taken:
            shards = self._taken + self._encoded
            return f"{self._taken} of {shards} tars had been encoded by an earlier run and are reused"
        return self._why_not

    def _found(self, key: ShardKey, left: int | None) -> tuple[Path, _Entry] | None:
        """Which run has a shard, or the first `left` of its entries, and what it says of it."""
        found = self._earlier.get((key.key, left)) or self._earlier.get((key.key, None))
        return found if found is not None and _fits(found[1], left) else None

    def _miss(self, key: ShardKey) -> None:
        self._encoded += 1
        if key.content in self._by_content and self._why_not is None:
            other, described = self._by_content[key.content]
            differ = [name for name, value in self._encoding.items() if described.get(name) != value]
            if differ:
                run = other.parent.name
                self._why_not = (
                    f"nothing is reused of what run {run} encoded: not the same {', '.join(differ)}"
                )

    def _tell(self, entry: Mapping[str, object]) -> None:
        with (self._folder / INDEX).open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


def encoding_of(
    spec: AuditSpec, model: TargetModel, reference: TargetModel | None, batch_size: int
) -> dict[str, object]:
    """All that goes into the embeddings and similarities of a run beside the pairs, by name."""
    return {
        "weights": model.fingerprint.weights,
        "preprocess": model.fingerprint.preprocess,
        "tokenizer": model.fingerprint.tokenizer,
        "precision": f"{spec.model.precision} ({model.number_format})",
        "reference": None
        if reference is None
        else [*asdict(reference.fingerprint).values(), reference.number_format],
        "views": spec.views,
        "seed of the views": spec.attacks.aea.seed if spec.attacks.aea else 0,
        "batch size": batch_size,
        "device": torch.cuda.get_device_name(model.device) if model.device.type == "cuda" else "cpu",
        "versions": {name: version(name) for name in ("torch", "torchvision", "open_clip_torch", "pillow")},
        "code of tui-mia": _code(),
    }


def _fits(entry: _Entry, left: int | None) -> bool:
    """Whether what a run has of a shard is what another that may read so many entries would have."""
    return bool(
        entry["cut"] == left or (entry["cut"] is None and left is not None and entry["entries"] <= left)
    )


def _code() -> str:
    digest = hashlib.sha256()
    for room in _ROOMS:
        for path in sorted((Path(__file__).parent.parent / room).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _signature(path: Path) -> Signature:
    """By what a file that has not changed is known without reading it."""
    status = path.stat()
    return [str(path), status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _link(source: Path, target: Path) -> None:
    """A part never changes, so that runs can share it; where links can't be had it is copied."""
    try:
        os.link(source, target)
    except OSError:
        temporary = target.with_name(target.name + ".tmp")
        shutil.copyfile(source, temporary)
        put_in_place(temporary, target)


def _read_index(path: Path) -> tuple[Mapping[str, object], list[_Entry]]:
    """What an index says of the encoding, and its shards; a line that was cut off counts for none."""
    described: Mapping[str, object] = {}
    entries: list[_Entry] = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return described, entries
    for line in lines:
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue
        if entry.keys() >= _ENTRY:
            entries.append(entry)
        else:
            described = entry.get("encoding", described)
    return described, entries
