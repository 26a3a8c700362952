"""The image of one sample of a run, fetched again from the file that it was read from."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from functools import lru_cache, partial
from itertools import islice, product
from pathlib import Path
from typing import Final, TypeAlias

from tui_mia.pools import table, webdataset
from tui_mia.pools.coco import CocoFile, image_folders, load_coco
from tui_mia.pools.fields import parse_object, quote
from tui_mia.pools.files import IMAGE_LIMIT_BYTES, image_extensions, read_inside, too_large
from tui_mia.pools.found import PoolError, UnusableError
from tui_mia.pools.key_index import KeyIndex, SearchCancelled
from tui_mia.pools.pair import PoolName
from tui_mia.pools.plan import TAR_SUFFIXES
from tui_mia.spec import PoolSpec
from tui_mia.storage import (
    Location,
    Seen,
    StorageError,
    Url,
    is_url,
    lacking_package,
    without_credentials,
    wrong_with,
)

__all__ = ["SearchCancelled", "find_image"]

_FILES_REMEMBERED: Final = 4
_CAPTIONS_LIMIT_BYTES: Final = 256 * 2**20
_SECONDS_BETWEEN_LOOKS: Final = 0.1
_SPELLINGS_OF_AN_EXTENSION: Final = 64

_Identity: TypeAlias = tuple[int, int, int, int] | Seen
_Loader: TypeAlias = Callable[[], bytes]
_Cancelled: TypeAlias = Callable[[], bool]


def find_image(
    spec: PoolSpec,
    pool: PoolName,
    source: str,
    key: str,
    sample_id: str | None,
    *,
    metadata: str | None = None,
    cancelled: _Cancelled = lambda: False,
) -> bytes:
    """The encoded image of a sample, by the source and key that the run noted.

    With `sample_id` only the very image that the run saw will do, which also
    tells samples apart that share a key. The first look into a tar or table reads
    its keys up to the one asked for; they are remembered until the file changes.
    `metadata` is the sample's JSON: for COCO it names the image, so that the
    captions need not be read again.

    Raises:
        PoolError: where the file or the key is gone, the picture has changed since the run, or can't be read.
        SearchCancelled: soon after `cancelled` says so.
    """
    if is_url(source):
        found = partial(_find, spec, pool, source, key, sample_id, metadata, cancelled)
        return _unless_cancelled(found, cancelled)
    return _find(spec, pool, source, key, sample_id, metadata, cancelled)


def _unless_cancelled(find: _Loader, cancelled: _Cancelled) -> bytes:
    """What is found; a store that does not answer holds up nobody who has stopped waiting."""
    found: Future[bytes] = Future()

    def work() -> None:
        try:
            found.set_result(find())
        except BaseException as error:  # raised by whoever waits
            found.set_exception(error)

    threading.Thread(target=work, name="find", daemon=True).start()
    while not wait([found], _SECONDS_BETWEEN_LOOKS).done:
        if cancelled():
            raise SearchCancelled
    return found.result()


def _find(
    spec: PoolSpec,
    pool: PoolName,
    source: str,
    key: str,
    sample_id: str | None,
    metadata: str | None,
    cancelled: _Cancelled,
) -> bytes:
    path, identity = _existing(pool, source)
    where = f"pools.{pool}: {path}"
    problem = ""
    try:
        for load in _candidates(path, identity, spec, key, metadata, cancelled):
            try:
                image = load()
            except UnusableError as unusable:
                problem = problem or f"the picture of {quote(key)} can't be read: {unusable}"
                continue
            if sample_id is None or hashlib.sha256(image).hexdigest()[:16] == sample_id[:16]:
                return image
            problem = f"the picture of {quote(key)} has changed since the run"
    except UnusableError as damage:
        problem = problem or f"{quote(key)} is not to be found: {damage}"
    except StorageError as error:
        # An index remembers where it could not read on; a store may answer again.
        _tar_index.cache_clear()
        _table_index.cache_clear()
        raise PoolError(f"pools.{pool}: {error}") from None
    except OSError as error:
        problem = f"can't be read: {error.strerror or error}"
    raise PoolError(f"{where}: {problem or f'there is no sample {quote(key)} in it any more'}")


def _existing(pool: PoolName, source: str) -> tuple[Location, _Identity]:
    """The file, folder or object that `source` names, and what tells it from a later version of it."""
    if is_url(source):
        return _existing_object(pool, source)
    for name in dict.fromkeys((source, _unescaped(source))):
        try:
            status = os.stat(name)
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            raise PoolError(f"pools.{pool}: {source}: can't be read: {error}") from None
        # Opening a pipe would wait for ever.
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            raise PoolError(f"pools.{pool}: {source}: is neither a file nor a folder")
        return Path(name), (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    raise PoolError(f"pools.{pool}: {source}: is gone; put it back where it was to see its pictures")


def _existing_object(pool: PoolName, source: str) -> tuple[Url, Seen]:
    """Also of a source that no spec has been asked about: the database may be anybody's."""
    if problem := wrong_with(source) or lacking_package(source):
        raise PoolError(f"pools.{pool}: {without_credentials(source)}: {problem}")
    try:
        return Url(source), Url(source).look()
    except StorageError as error:
        raise PoolError(f"pools.{pool}: {error}") from None


def _candidates(
    path: Location, identity: _Identity, spec: PoolSpec, key: str, metadata: str | None, cancelled: _Cancelled
) -> Iterator[_Loader]:
    """What loads each image that could be meant, by the format of the file."""
    name = path.name.lower()
    if isinstance(path, Path) and path.is_dir():
        return _in_folder(path, spec, key)
    if name.endswith(TAR_SUFFIXES):
        places = _tar_index(path, identity).places(key, cancelled)
        return (partial(webdataset.read_image, path, offset, spec) for _, offset in places)
    if name.endswith(table.TABLE_SUFFIXES):
        return _in_table(path, identity, spec, key, cancelled)
    if name.endswith(".json") and isinstance(path, Path):
        return _in_coco(path, identity, spec, key, metadata)
    raise UnusableError("is of an unknown format")


@lru_cache(maxsize=_FILES_REMEMBERED)
def _tar_index(path: Location, identity: _Identity) -> KeyIndex:
    return KeyIndex(webdataset.list_samples(path))


@lru_cache(maxsize=_FILES_REMEMBERED)
def _table_index(path: Location, identity: _Identity) -> KeyIndex:
    return KeyIndex(table.list_rows(path))


def _in_table(
    path: Location, identity: _Identity, spec: PoolSpec, key: str, cancelled: _Cancelled
) -> Iterator[_Loader]:
    if table.is_keyed_by_row(path):
        if re.fullmatch("0|[1-9][0-9]{0,17}", key):
            yield partial(table.read_image, path, int(key), 0, spec)
        return
    for number, offset in _table_index(path, identity).places(key, cancelled):
        yield partial(table.read_image, path, number, offset, spec)


def _in_folder(folder: Path, spec: PoolSpec, key: str) -> Iterator[_Loader]:
    """By name: to list a folder of a million images would take a while."""
    for stem in dict.fromkeys((key, _unescaped(key))):
        for extension in image_extensions(spec):
            for spelling in _spellings(extension):
                name = f"{stem}.{spelling}"
                if "\0" not in name and os.path.lexists(folder / name):
                    yield partial(read_inside, folder, name, IMAGE_LIMIT_BYTES)


def _in_coco(
    path: Path, identity: _Identity, spec: PoolSpec, key: str, metadata: str | None
) -> Iterator[_Loader]:
    names = _noted_name(metadata)
    if not names:
        names = _captions(path, identity, spec.caption or "caption").image_names(key)
    for name in names:
        for folder in image_folders(path, spec):
            yield partial(read_inside, folder, name, IMAGE_LIMIT_BYTES)


def _noted_name(metadata: str | None) -> list[str]:
    try:
        name = parse_object(metadata or "{}").get("file_name")
    except UnusableError:
        return []
    return [name] if isinstance(name, str) else []


@lru_cache(maxsize=1)
def _captions(path: Path, identity: _Identity, caption_field: str) -> CocoFile:
    size = path.stat().st_size
    if size > _CAPTIONS_LIMIT_BYTES:
        raise UnusableError(too_large(path.name, size, _CAPTIONS_LIMIT_BYTES))
    return load_coco.__wrapped__(path, caption_field, "member")


def _spellings(extension: str) -> Iterator[str]:
    """An extension in lower case, in upper case and in any mixture."""
    mixtures = map("".join, product(*((letter, letter.upper()) for letter in extension)))
    return iter(dict.fromkeys((extension, extension.upper(), *islice(mixtures, _SPELLINGS_OF_AN_EXTENSION))))


def _unescaped(text: str) -> str:
    """A name whose bytes are no UTF-8, as the file system has it."""
    return re.sub(r"\\udc([89a-f][0-9a-f])", lambda match: chr(0xDC00 + int(match[1], 16)), text)
