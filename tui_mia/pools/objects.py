"""Reads objects that the rows of a table name: nothing outside the table's folder, nothing oversized."""

from __future__ import annotations

import posixpath
import threading
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Final
from urllib.parse import quote as percent_encoded
from urllib.parse import unquote

from tui_mia.pools.fields import quote
from tui_mia.pools.found import Content, Found, UnusableError
from tui_mia.storage import StorageError, Url, is_url

LONGEST_KEY_BYTES: Final = 1024
# Each image is a request of its own, which takes as long for one as for several.
LOADED_AHEAD: Final = 16


def read_beside(folder: Url, name: str, limit: int) -> bytes:
    """The content of the object `name` under `folder`, of at most `limit` bytes.

    `name` may be a whole URL, as long as what it names lies in `folder`.

    Raises:
        UnusableError: for a name out of the folder, and what is missing or oversized there.
        StorageError: where the store does not answer or refuses access: that is about more than one row.
    """
    url = url_beside(folder, name)
    try:
        content = url.beginning(limit + 1)
    except StorageError as error:
        if error.is_missing:
            raise UnusableError(f"no object {quote(name)}") from None
        raise
    if len(content) > limit:
        raise UnusableError(f"{quote(name)} has more than {limit:,} bytes, which are the most that are read")
    return content


def url_beside(folder: Url, name: str) -> Url:
    """The URL of the object `name` under `folder`.

    Raises:
        UnusableError: for what is no name, or leads out of the folder.
    """
    is_encoded = folder.scheme in ("http", "https")
    inside = name
    if is_url(name):
        if not name.startswith(str(folder)):
            raise UnusableError(f"URL leaves the folder of its table: {quote(name)}")
        inside = name.removeprefix(str(folder))
        inside = unquote(inside) if is_encoded else inside
    path = posixpath.normpath(inside)
    if inside.startswith("/") or path == ".." or path.startswith("../"):
        raise UnusableError(f"path leaves the folder of its table: {quote(name)}")
    if path == "." or not path.isprintable() or len(path.encode(errors="replace")) > LONGEST_KEY_BYTES:
        raise UnusableError(f"not the name of an object: {quote(name)}")
    return Url(f"{folder}{percent_encoded(path) if is_encoded else path}")


def loaded_ahead(samples: Iterator[Found], wanted: Collection[str] | None) -> Iterator[Found]:
    """The same samples in the same order, the wanted ones being loaded while those before are used."""
    waiting: deque[Found] = deque()
    ended: Exception | None = None
    while ended is None or waiting:
        while ended is None and len(waiting) < LOADED_AHEAD:
            try:
                found = next(samples)
            except Exception as end:  # its turn is after those that came before it
                ended = end
            else:
                is_wanted = wanted is None or not found.key or found.key in wanted
                waiting.append(replace(found, load=_Loading(found)) if is_wanted else found)
        if waiting:
            yield waiting.popleft()
    if not isinstance(ended, StopIteration):
        raise ended


class _Loading:
    """The contents of a sample, on their way or here."""

    def __init__(self, found: Found) -> None:
        self._found = found
        self._content: Content | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._load, name="load", daemon=True)
        self._thread.start()

    def __call__(self) -> Content:
        self._thread.join()
        if self._error is not None:
            raise self._error
        assert self._content is not None
        return self._content

    def _load(self) -> None:
        try:
            self._content = self._found.load()
        except BaseException as error:  # raised by whoever asks for the contents
            self._error = error
