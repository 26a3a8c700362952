"""An object as a file: ranges are fetched before they are asked for, a few at a time, in threads."""

from __future__ import annotations

import io
import threading
from collections import deque
from typing import TYPE_CHECKING, Final

from tui_mia.storage.errors import StorageError
from tui_mia.storage.store import look, read_range
from tui_mia.storage.url import Seen, Url

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# A request takes some 50 ms however little it asks for; whoever reads on gets ever more with one.
SMALLEST_RANGE_BYTES: Final = 2**20
RANGE_BYTES: Final = 8 * 2**20
RANGES_AHEAD: Final = 2
# The columns of a Parquet file are read side by side, each from a place of its own.
PLACES: Final = 4
_BUFFER_BYTES: Final = 2**17


def open_object(url: Url) -> io.BufferedReader:
    """Open an object for reading; it is a file that knows its size and can be read from any place.

    Raises:
        StorageError: if it is not there, may not be read, or the store does not answer;
            later, while it is read, if the store stays away or the object is another.
    """
    return io.BufferedReader(_Ranges(url, look(url)), _BUFFER_BYTES)


class _Range:
    """Some bytes of an object, on their way or here."""

    def __init__(self, url: Url, seen: Seen, start: int, stop: int, given_up: threading.Event) -> None:
        self.start, self.stop = start, stop
        self._content = b""
        self._error: StorageError | None = None
        self._is_here = threading.Event()
        # A daemon: no process waits at its end for what nobody reads any more.
        fetch = threading.Thread(target=self._fetch, args=(url, seen, given_up), name="range", daemon=True)
        fetch.start()

    def content(self) -> bytes:
        """The bytes, once they are here."""
        self._is_here.wait()
        if self._error is not None:
            raise self._error
        return self._content

    def _fetch(self, url: Url, seen: Seen, given_up: threading.Event) -> None:
        try:
            self._content = read_range(url, seen, self.start, self.stop, given_up)
        except StorageError as error:
            self._error = error
        except BaseException as error:  # told to whoever waits, who would wait for ever
            self._error = StorageError(url, f"can't be read ({type(error).__name__})")
        finally:
            self._is_here.set()


class _Place:
    """Somewhere in an object that is being read on from: the range there, and those that come next."""

    def __init__(self) -> None:
        self.ranges: deque[_Range] = deque()
        self.size_bytes = SMALLEST_RANGE_BYTES
        self.ahead = 0

    def leads_to(self, position: int) -> bool:
        """Whether a position is here or a little further on, as where files in a tar are passed over."""
        return self.ranges[0].start <= position <= self.ranges[-1].stop + SMALLEST_RANGE_BYTES

    def move_to(self, position: int) -> None:
        """Leave behind the ranges before a position; who comes to the next one is reading on."""
        while self.ranges and position >= self.ranges[0].stop:
            self.ranges.popleft()
            self.size_bytes = min(4 * self.size_bytes, RANGE_BYTES)
            self.ahead = min(self.ahead + 1, RANGES_AHEAD)


class _Ranges(io.RawIOBase):
    """The bytes of an object that is what it was seen to be."""

    def __init__(self, url: Url, seen: Seen) -> None:
        self._url, self._seen = url, seen
        self._position = 0
        self._places: list[_Place] = []  # the one read last at the end
        self._given_up = threading.Event()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._seen.size}[whence]
        if start + offset < 0:
            raise ValueError(f"{self._url}: there is nothing before its beginning")
        self._position = start + offset
        return self._position

    def readinto(self, buffer: WriteableBuffer) -> int:
        wanted = memoryview(buffer).cast("B")
        if self._position >= self._seen.size or not len(wanted):
            return 0
        there = self._range_at(self._position)
        begin = self._position - there.start
        piece = memoryview(there.content())[begin : begin + len(wanted)]
        wanted[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def close(self) -> None:
        self._given_up.set()
        self._places.clear()
        super().close()

    def _range_at(self, position: int) -> _Range:
        place = next((place for place in self._places if place.leads_to(position)), None)
        if place is None:
            place = _Place()
            if self._seen.size <= RANGE_BYTES:
                position, place.size_bytes = 0, RANGE_BYTES
            self._fetch_next(place, position)
        else:
            self._places.remove(place)
            place.move_to(position)
        self._places = [*self._places, place][-PLACES:]
        while len(place.ranges) <= place.ahead:
            end = place.ranges[-1].stop if place.ranges else position
            if end >= self._seen.size:
                break
            self._fetch_next(place, end)
        return place.ranges[0]

    def _fetch_next(self, place: _Place, start: int) -> None:
        stop = min(start + place.size_bytes, self._seen.size)
        place.ranges.append(_Range(self._url, self._seen, start, stop, self._given_up))
