"""Reads single files of a source: nothing outside its folder, nothing oversized, nothing that blocks."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from tui_mia.pools.fields import quote
from tui_mia.pools.found import UnusableError
from tui_mia.spec import PoolSpec

IMAGE_LIMIT_BYTES = 256 * 2**20
TEXT_LIMIT_BYTES = 16 * 2**20

_IMAGE_EXTENSIONS = ("jpg", "jpeg", "png", "webp")


def image_extensions(spec: PoolSpec) -> tuple[str, ...]:
    """The extensions of images in tars and folders, the preferred first, in lower case."""
    return (spec.image.lower().removeprefix("."),) if spec.image else _IMAGE_EXTENSIONS


def limit_bytes(extension: str, images: tuple[str, ...]) -> int:
    """The size above which a file of a sample is taken for a mistake."""
    return IMAGE_LIMIT_BYTES if extension in images else TEXT_LIMIT_BYTES


def read_inside(folder: Path, name: str, limit: int) -> bytes:
    """The content of the file `name` under `folder`, of at most `limit` bytes.

    `name` may be absolute and the file a link, as long as what is read lies in
    `folder`.

    Raises:
        UnusableError: for a path out of the folder, a missing, oversized or unreadable file.
    """
    if name.startswith(("http://", "https://")):
        raise UnusableError(f"image is a URL; download it first, for example with img2dataset: {quote(name)}")
    try:
        root = os.path.realpath(folder)
        path = os.path.realpath(os.path.join(root, name))
        if os.path.commonpath([root, path]) != root:
            raise UnusableError(f"path leaves the folder of its source: {quote(name)}")
        return _read_regular(path, name, limit)
    except FileNotFoundError:
        raise UnusableError(f"no file {quote(name)}") from None
    except OSError as error:
        raise UnusableError(f"can't read {quote(name)}: {error.strerror}") from None
    except ValueError as error:
        raise UnusableError(f"not a path: {quote(name)}: {error}") from None


def _read_regular(path: str, name: str, limit: int) -> bytes:
    """The content of a file at a path without links, also where something else takes its place meanwhile."""
    # Opening a pipe would wait for ever; a link was not there when the path was resolved.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise UnusableError(f"not a regular file: {quote(name)}")
        if status.st_size > limit:
            raise UnusableError(too_large(name, status.st_size, limit))
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(status.st_size + 1)
            if len(content) > status.st_size:  # somebody is writing it
                content += file.read(limit - status.st_size)
        if len(content) > limit:
            raise UnusableError(too_large(name, len(content), limit))
        return content
    finally:
        os.close(descriptor)


def too_large(name: str, size: int, limit: int) -> str:
    """The reason for rejecting a file of `size` bytes."""
    return f"{quote(name)} has {size:,} bytes; at most {limit:,} are read"
