"""What is in a shard, as SHA-256: of a tar its bytes, of anything else the entries that are read from it."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

from tui_mia.pools import Pair, Reject, image_digest
from tui_mia.storage import Location, Url

Signature: TypeAlias = list[str | int]


class EntriesDigest:
    """The content of a shard that is no tar: taken of its entries as they go by, in their order.

    All that a part is made of goes into it, captions and reasons as well as
    images, so that there is no file beside the source that could change unseen.
    """

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._image = b""
        self._image_digest = ""

    def watch(self, entries: Iterable[Pair | Reject]) -> Iterator[Pair | Reject]:
        for entry in entries:
            # A line of JSON each: no text in one can be taken for the end of it.
            self._digest.update(json.dumps(self._described(entry)).encode() + b"\n")
            yield entry

    def hexdigest(self) -> str:
        return self._digest.hexdigest()

    def _described(self, entry: Pair | Reject) -> list[object]:
        if isinstance(entry, Reject):
            return [entry.key, entry.source, entry.reason]
        # The captions of an image come together and share its bytes.
        if entry.image is not self._image:
            self._image, self._image_digest = entry.image, image_digest(entry.image).hex()
        return [entry.key, entry.source, self._image_digest, entry.caption, entry.member, entry.metadata]


def file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tar_digest(path: Location, signature: Signature) -> str:
    """Of a file its content; of an object what its store says of it, or it would be fetched twice."""
    if isinstance(path, Url):
        return hashlib.sha256(json.dumps(signature).encode()).hexdigest()
    return file_digest(path)


def signature_of(path: Location) -> Signature:
    """By what a file or object that has not changed is known without reading it."""
    if isinstance(path, Url):
        seen = path.look()
        # Of nothing but its size an object is not known: then it is never the same.
        return [str(path), seen.size, seen.version or secrets.token_hex()]
    status = path.stat()
    return [str(path), status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]
