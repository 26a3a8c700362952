"""Where the samples of one file are, by key: found out only as far as somebody asked, and kept small."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

_ENTRIES_BETWEEN_LOOKS = 256


class Place(NamedTuple):
    """The how-manieth sample of its file, and the byte at which it begins."""

    number: int
    offset: int


class SearchCancelled(Exception):  # noqa: N818 - what happened, not an error
    """Nobody wants to know any more."""


class KeyIndex:
    """Reads keys as they are asked for and keeps 16 bytes of each: its hash, and where its sample begins."""

    def __init__(self, entries: Iterator[tuple[str, int]]) -> None:
        self._entries = entries
        self._hashes = array("q")
        self._offsets = array("Q")
        self._one_at_a_time = threading.Lock()
        self._damage: Exception | None = None

    def places(self, key: str, cancelled: Callable[[], bool]) -> Iterator[Place]:
        """The places of all samples with a key; the file is read on only while more of them are asked for.

        Raises:
            SearchCancelled: soon after `cancelled` says so.
            UnusableError, OSError: where the file can't be read any further, each time anew.
        """
        wanted, looked_at = hash(key), 0
        while True:
            # Asked for before looking, so that what is read meanwhile is not missed.
            count = len(self._hashes)
            yield from self._known(wanted, looked_at, count)
            looked_at = count
            if not self._read_on(wanted, looked_at, cancelled):
                return

    def _known(self, wanted: int, start: int, stop: int) -> list[Place]:
        with self._one_at_a_time:
            hashes = np.frombuffer(self._hashes, dtype=np.int64)[start:stop]
            numbers = (np.flatnonzero(hashes == wanted) + start).tolist()
            del hashes  # an array that is looked at can't grow
        return [Place(number, self._offsets[number]) for number in numbers]

    def _read_on(self, wanted: int, looked_at: int, cancelled: Callable[[], bool]) -> bool:
        """Read until the key turns up; whether there is anything that was not looked at yet."""
        with self._one_at_a_time:
            try:
                for key, offset in self._entries:
                    found = hash(key)
                    self._hashes.append(found)
                    self._offsets.append(offset)
                    if found == wanted:
                        return True
                    if len(self._hashes) % _ENTRIES_BETWEEN_LOOKS == 0 and cancelled():
                        raise SearchCancelled
            except SearchCancelled:
                raise
            except Exception as damage:
                self._damage = damage
            if len(self._hashes) > looked_at:
                return True
            if self._damage is not None:
                raise self._damage
            return False
