"""Reads a shard: whatever its format, out come pairs, and a reject for whatever is not one."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from tui_mia.pools.coco import read_coco
from tui_mia.pools.fields import clean_caption, clean_label, clean_metadata, storable
from tui_mia.pools.folder import read_folder
from tui_mia.pools.found import Found, PoolError, UnusableError, unreadable
from tui_mia.pools.objects import loaded_ahead
from tui_mia.pools.pair import Pair, Reject, Shard
from tui_mia.pools.table import read_table
from tui_mia.pools.webdataset import read_tar
from tui_mia.spec import PoolSpec
from tui_mia.storage import Url, is_url

_READERS = {"webdataset": read_tar, "table": read_table, "folder": read_folder, "coco": read_coco}


def read_shard(shard: Shard, spec: PoolSpec) -> Iterator[Pair | Reject]:
    """Stream the pairs of a shard, and what could not become one; the same at every reading.

    With `spec.keys`, samples under other keys are passed over. Damage that ends
    the shard early is one last `Reject` with an empty key. `spec.limit` is left
    to the caller.

    Raises:
        PoolError: if the shard's file can't be opened (any more).
    """
    source = storable(str(shard.path))
    wanted = load_keys(shard.pool, spec.keys) if spec.keys is not None else None
    position = 0
    try:
        samples = find_samples(shard, spec)
        if isinstance(shard.path, Url) and shard.format == "table":
            samples = loaded_ahead(samples, wanted)
        for found in samples:
            position = found.position
            # A sample without a key can't be known to be unwanted.
            if wanted is None or not found.key or found.key in wanted:
                yield judge(found, source, shard.member)
    except UnusableError as damage:
        yield Reject("", source, storable(str(damage)), position)
    except OSError as error:
        advice = "put the file back or take it out of the sources"
        raise unreadable(shard.pool, error, shard.path, advice) from error


def find_samples(shard: Shard, spec: PoolSpec) -> Iterator[Found]:
    """The samples of a shard under all keys, not looked at yet.

    Raises:
        UnusableError: after the last good sample, where the file is damaged.
        OSError: if the shard's file can't be opened (any more).
    """
    return _READERS[shard.format](shard, spec)


def judge(found: Found, source: str, shard_member: bool | None) -> Pair | Reject:
    """Load a sample and say whether it is a pair; a label of the shard goes before its own."""
    try:
        content = found.load()
        if not content.image:
            raise UnusableError("image is empty (0 bytes)")
        return Pair(
            key=found.key,
            source=source,
            image=content.image,
            caption=clean_caption(content.caption),
            position=found.position,
            member=clean_label(content.member) if shard_member is None else shard_member,
            metadata=clean_metadata(content.metadata),
        )
    except UnusableError as problem:
        return Reject(found.key, source, storable(str(problem)), found.position)


def keys_digest(pool: str, path: str) -> str:
    """SHA-256 of the keys in a key file as they were loaded."""
    keys = json.dumps(sorted(load_keys(pool, path)))
    return hashlib.sha256(keys.encode("utf-8", "surrogatepass")).hexdigest()


@lru_cache(maxsize=8)
def load_keys(pool: str, path: str) -> frozenset[str]:
    """The keys in a key file, one a line."""
    try:
        opened = (Url(path) if is_url(path) else Path(path)).open("rb")
        with io.TextIOWrapper(opened, encoding="utf-8-sig") as file:
            text = file.read()
    except UnicodeDecodeError:
        raise PoolError(f"pools.{pool}.keys: {path}: is not UTF-8 text; save it as UTF-8") from None
    except OSError as error:
        raise unreadable(f"{pool}.keys", error, path) from None
    return frozenset(line.strip() for line in text.split("\n")) - {""}
