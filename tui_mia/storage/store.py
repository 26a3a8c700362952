"""Asks stores, by way of fsspec: what there is, and ranges of bytes; all of it more than once if need be."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final, TypeVar

from tui_mia.storage.errors import CHANGED, StorageError, explained, status_of
from tui_mia.storage.url import Seen, Url, lacking_package

Answer = TypeVar("Answer")

# Who waits for an answer whether there is anything wants it soon; a long read is worth some patience.
TRIES_TO_LOOK: Final = 3
TRIES_TO_READ: Final = 6
FIRST_PAUSE_SECONDS = 0.5
# Of an empty object no range can be had, not even its beginning.
_NOTHING_THERE: Final = 416
_CONNECT_SECONDS: Final = 10
_READ_SECONDS: Final = 60
_NEVER: Final = threading.Event()
# Those that the libraries log are told again by whoever asks; and a log may not have what they quote.
_LOGGERS: Final = ("aiobotocore", "botocore", "fsspec", "gcsfs", "google", "s3fs")


def look(url: Url) -> Seen:
    """What a store says of an object.

    Raises:
        StorageError: if it is not there, may not be read, or the store does not answer.
    """
    return persist(url, TRIES_TO_LOOK, lambda: _seen(url))


def list_objects(pattern: Url) -> list[Url]:
    """The objects that a glob names, in the order of their names.

    Raises:
        StorageError: if they may not be listed, or the store does not answer.
    """
    found = persist(pattern, TRIES_TO_LOOK, lambda: _filesystem(pattern).glob(pattern.text, detail=True))
    return [
        Url(f"{pattern.scheme}://{name}", seen_in(info))
        for name, info in sorted(found.items())
        if info.get("type") != "directory" and not name.endswith("/")
    ]


def read_range(url: Url, seen: Seen, start: int, stop: int, given_up: threading.Event = _NEVER) -> bytes:
    """The bytes from `start` to `stop` of an object that is still what it was seen to be.

    Once it is `given_up` no new attempt is made.

    Raises:
        StorageError: if the store stays away, or the object is another.
    """

    def attempt() -> bytes:
        content = _range(url, seen, start, stop)
        # Asked after it was read: what was another before can't be the same now.
        if _seen(url) != seen:
            raise StorageError(url, CHANGED)
        if len(content) != stop - start:
            raise ConnectionError("cut short")
        return content

    return persist(url, TRIES_TO_READ, attempt, given_up)


def read_beginning(url: Url, limit: int) -> bytes:
    """An object up to `limit` bytes, in one request.

    Raises:
        StorageError: if it is not there, may not be read, or the store stays away.
    """

    def attempt() -> bytes:
        try:
            return _range(url, Seen(limit, None), 0, limit)
        except Exception as error:
            if status_of(error) == _NOTHING_THERE:
                return b""
            raise

    return persist(url, TRIES_TO_READ, attempt)


def persist(
    url: Url, tries: int, attempt: Callable[[], Answer], given_up: threading.Event = _NEVER
) -> Answer:
    """What an attempt gives in the end; what may pass is tried again, after ever longer pauses.

    Raises:
        StorageError: for what won't pass, and what has not after so many tries.
    """
    # Each of gcsfs is half a dozen already.
    tries = max(1, tries // 3) if url.scheme == "gs" else tries
    for number in range(1, tries + 1):
        try:
            return attempt()
        except StorageError:
            raise
        except Exception as error:  # libraries of stores raise all sorts of things
            failure = explained(error, url.scheme)
        if not failure.is_passing:
            raise StorageError(url, failure.problem, is_missing=failure.is_missing)
        # Not all at the same moment: what can't keep up is not helped by a crowd.
        pause = FIRST_PAUSE_SECONDS * 2 ** (number - 1) * random.uniform(0.75, 1.25)
        if number == tries or given_up.wait(pause):
            break
    advice = "try again when it is up; a run keeps what it has encoded (tui-mia resume)"
    raise StorageError(url, f"{failure.problem}, {tries} times in a row; {advice}", is_passing=True)


def seen_in(info: Mapping[str, Any]) -> Seen:
    """What there is to know in what a library says of an object, under the names that it uses."""
    names = ("ETag", "generation", "etag", "Last-Modified", "LastModified", "updated")
    version = next((str(info[name]) for name in names if info.get(name)), None)
    return Seen(int(info["size"]), version)


def _seen(url: Url) -> Seen:
    info = _filesystem(url).info(url.text)
    if info.get("type") == "directory":
        raise StorageError(
            url, f"is a folder; name what is in it: {str(url).rstrip('/')}/*.tar", is_missing=True
        )
    if info.get("size") is None:
        raise StorageError(url, "the server does not say how large it is; copy it to this machine")
    return seen_in(info)


def _range(url: Url, seen: Seen, start: int, stop: int) -> bytes:
    filesystem = _filesystem(url)
    if url.scheme not in ("http", "https"):
        content: bytes = filesystem.cat_file(url.text, start=start, end=stop)
        return content
    # Unlike the other, this one sees it when a server that knows no ranges sends everything.
    with filesystem.open(url.text, size=seen.size, cache_type="none", block_size=stop - start) as file:
        file.seek(start)
        try:
            content = file.read(stop - start)
        except ValueError:
            raise StorageError(
                url, "the server sends files only as a whole; copy it to this machine, or use another server"
            ) from None
    return content


def _filesystem(url: Url) -> Any:
    if lacking := lacking_package(url.text):
        raise StorageError(url, lacking)
    return _made("http" if url.scheme == "https" else url.scheme)


@cache
def _made(scheme: str) -> Any:
    """The file system of a scheme, for this process; it remembers nothing of what stores say.

    It tries nothing twice on its own, as far as it can be told to, or an attempt of ours would be dozens.
    """
    for name in _LOGGERS:
        logging.getLogger(name).addHandler(logging.NullHandler())
        logging.getLogger(name).propagate = False
    plain = {"use_listings_cache": False, "skip_instance_cache": True}
    if scheme == "s3":
        from s3fs import S3FileSystem

        config = {
            "connect_timeout": _CONNECT_SECONDS,
            "read_timeout": _READ_SECONDS,
            "retries": {"total_max_attempts": 1},
            "max_pool_connections": 32,
        }
        filesystem = S3FileSystem(config_kwargs=config, **plain)
        filesystem.retries = 1
        return filesystem
    if scheme == "gs":
        # Not the one that the package itself exports, which asks for features of buckets by another protocol.
        from gcsfs.core import GCSFileSystem

        return GCSFileSystem(requests_timeout=_READ_SECONDS, **plain)
    from aiohttp import ClientTimeout
    from fsspec.implementations.http import HTTPFileSystem

    timeout = ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_READ_SECONDS)
    # With the environment come proxies and ~/.netrc.
    client = {"timeout": timeout, "trust_env": True, "headers": {"Accept-Encoding": "identity"}}
    return HTTPFileSystem(client_kwargs=client, **plain)
