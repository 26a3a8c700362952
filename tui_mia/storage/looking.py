"""Which objects a source names, and what they are: many are asked about at the same time."""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from queue import Queue
from typing import Final

from tui_mia.storage.errors import StorageError
from tui_mia.storage.url import Location, Seen, Url

MOST_OBJECTS: Final = 100_000
_AT_ONCE: Final = 16
_GLOB: Final = re.compile(r"[*?\[]")


def expand_url(name: str) -> list[Url]:
    """The objects that a URL names, sorted; of a glob those that there are, and the store is asked.

    Raises:
        StorageError: for a glob that can't be listed, or names nothing or too much.
    """
    url = Url(name)
    if url.scheme in ("http", "https"):
        if "*" in name:
            raise StorageError(
                url, "a server has no list of its files; name them, for example with {000..012}"
            )
        return [url]
    if not _GLOB.search(name):
        return [url]
    from tui_mia.storage.store import list_objects

    if _GLOB.search(url.host):
        raise StorageError(url, "the bucket must be named in full")
    found = list_objects(url)
    if not found:
        raise StorageError(url, "no object matches it", is_missing=True)
    if len(found) > MOST_OBJECTS:
        raise StorageError(url, f"{len(found):,} objects match it, and at most {MOST_OBJECTS:,} are taken")
    return found


def look_at_all(locations: Sequence[Location]) -> list[Location]:
    """The same, each URL with what its object is now unless that is known; paths are not looked at.

    Raises:
        StorageError: for one that is not there or can't be looked at.
    """
    unseen = list({each for each in locations if isinstance(each, Url) and each.seen is None})
    if not unseen:
        return list(locations)
    seen = dict(zip(unseen, _looks(unseen), strict=True))
    return [
        replace(each, seen=seen[each]) if isinstance(each, Url) and each.seen is None else each
        for each in locations
    ]


def _looks(urls: Sequence[Url]) -> list[Seen]:
    """What each is, in their order."""
    waiting = deque(enumerate(urls))
    answers: Queue[tuple[int, Seen | BaseException]] = Queue()

    def work() -> None:
        with suppress(IndexError):  # nothing waits any more
            while True:
                number, url = waiting.popleft()
                try:
                    answers.put((number, url.look()))
                except BaseException as error:  # raised by whoever waits for the answers
                    answers.put((number, error))

    for _ in range(min(_AT_ONCE, len(urls))):
        # A daemon: no process waits at its end for a store that does not answer.
        threading.Thread(target=work, name="look", daemon=True).start()
    seen: dict[int, Seen] = {}
    for _ in urls:
        number, answer = answers.get()
        if isinstance(answer, BaseException):
            waiting.clear()
            raise answer
        seen[number] = answer
    return [seen[number] for number in range(len(urls))]


def size_of(location: Location) -> int:
    """The size in bytes of a file or object.

    Raises:
        OSError: if it can't be looked at.
    """
    if isinstance(location, Path):
        return location.stat().st_size
    return (location.seen or location.look()).size
