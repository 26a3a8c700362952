"""A folder of images with their captions beside them, in .txt or .json files of the same name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import lru_cache, partial
from pathlib import Path

from tui_mia.pools.fields import storable
from tui_mia.pools.files import image_extensions, limit_bytes, read_inside
from tui_mia.pools.found import Content, Found, UnusableError
from tui_mia.pools.pair import Shard
from tui_mia.pools.sidecars import content_of, text_extensions
from tui_mia.spec import PoolSpec


@lru_cache(maxsize=8)
def list_images(folder: Path, extensions: tuple[str, ...]) -> tuple[str, ...]:
    """The paths of all images under `folder`, in the order of `walk_images`.

    Raises:
        UnusableError: where a folder can't be listed.
    """
    return tuple(image for images in walk_images(folder, extensions) for image in images)


def walk_images(folder: Path, extensions: tuple[str, ...]) -> Iterator[list[str]]:
    """The paths of the images in `folder` and in each folder under it, relative to it and in a fixed order.

    Hidden files and folders are left out. Links to folders are listed as they
    are and not followed, so that reading one can say so.

    Raises:
        UnusableError: where a folder can't be listed.
    """
    for place, folders, files in os.walk(folder, onerror=_refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        pictures = [name for name in files if not name.startswith(".") and _extension(name) in extensions]
        below = os.path.relpath(place, folder)
        yield [os.path.normpath(os.path.join(below, name)) for name in sorted(links + pictures)]


def read_folder(shard: Shard, spec: PoolSpec) -> Iterator[Found]:
    """Stream the images of a shard; a sample's files are opened only when it is loaded."""
    assert isinstance(shard.path, Path), "folders are not read by URL"
    images = list_images(shard.path, image_extensions(spec))
    for position, image in enumerate(images[shard.start : shard.stop], start=1):
        yield found_image(shard.path, image, spec, position)


def found_image(folder: Path, image: str, spec: PoolSpec, position: int = 0) -> Found:
    """An image of a folder as a sample; its key is its path without the extension."""
    key = os.path.splitext(image)[0]
    return Found(storable(key), position, partial(_load, folder, image, spec))


def has_captions(folder: Path, spec: PoolSpec) -> bool:
    """Whether any image under `folder` has a file beside it that could hold its caption."""
    return any(
        _sidecar(folder, image, extension)
        for image in list_images(folder, image_extensions(spec))
        for extension in text_extensions(spec)
    )


def _load(folder: Path, image: str, spec: PoolSpec) -> Content:
    if os.path.isdir(os.path.join(folder, image)):
        raise UnusableError(
            "a link to a folder, which is not followed; name that folder as a source of its own"
        )
    images = image_extensions(spec)
    names = {_extension(image): image}
    for beside in text_extensions(spec):
        sidecar = _sidecar(folder, image, beside)
        if sidecar:
            names[beside] = sidecar
    files = {end: read_inside(folder, name, limit_bytes(end, images)) for end, name in names.items()}
    return content_of(files, files.keys(), spec)


def _sidecar(folder: Path, image: str, extension: str) -> str | None:
    """The file beside `image` with another extension, in lower or upper case, if it exists."""
    stem = os.path.splitext(image)[0]
    names = (f"{stem}.{extension}", f"{stem}.{extension.upper()}")
    return next((name for name in names if os.path.lexists(os.path.join(folder, name))), None)


def _extension(name: str) -> str:
    return os.path.splitext(name)[1].lower().removeprefix(".")


def _refuse(error: OSError) -> None:
    raise UnusableError(f"can't list {error.filename}: {error.strerror}")
