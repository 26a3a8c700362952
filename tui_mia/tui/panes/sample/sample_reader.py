"""Reads samples for the Sample pane: from the database and from the files that they came from.

Both are slow at times, so everything here runs in threads: questions to the
database in one, pictures in another, so that neither waits for the other.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Final, Generic, TypeVar

from tui_mia.board.board_run import parsed_spec
from tui_mia.pools.find import SearchCancelled, find_image
from tui_mia.pools.found import PoolError
from tui_mia.spec import AuditSpec, PoolName, PoolSpec
from tui_mia.store import (
    Interrupted,
    QueryHandle,
    SampleDetail,
    SampleSource,
    StoredRun,
    StoreError,
    read_sample,
    summarise,
)

_REMEMBERED: Final = 8
_LONGEST_WAIT_SECONDS: Final = 5.0
_LARGEST_REMEMBERED_BYTES: Final = 8 * 2**20

Value = TypeVar("Value")


class LastFew(Generic[Value]):
    """The values put in last, by the number of their sample."""

    def __init__(self) -> None:
        self._values: OrderedDict[int, Value] = OrderedDict()

    def get(self, number: int) -> Value | None:
        """The value of a sample, if it is still there; it stays for longer then."""
        if number in self._values:
            self._values.move_to_end(number)
        return self._values.get(number)

    def put(self, number: int, value: Value) -> None:
        """Remember a value, and forget the one not asked for the longest."""
        self._values[number] = value
        self._values.move_to_end(number)
        while len(self._values) > _REMEMBERED:
            self._values.popitem(last=False)


@dataclass(frozen=True)
class NoPicture:
    """Why a sample's picture can't be had."""

    reason: str


class SampleReader:
    """What is known of the samples of one run; remembers the last few.

    Belongs to the event loop: only what it hands to threads leaves it.
    """

    def __init__(self, source: SampleSource, spec: Callable[[], AuditSpec | None]) -> None:
        """Read from `source`; `spec` finds the run's spec, and is called in a thread when it is needed."""
        # Who presses a key does not want to wait for long, and can press it again.
        if isinstance(source, StoredRun):
            source = replace(source, wait_seconds=min(source.wait_seconds, _LONGEST_WAIT_SECONDS))
        self._source = source
        self._spec = lru_cache(maxsize=1)(spec)
        self._details: LastFew[SampleDetail] = LastFew()
        self._pictures: LastFew[bytes | NoPicture] = LastFew()
        self._database_thread = ThreadPoolExecutor(1, thread_name_prefix="sample")
        self._picture_thread = ThreadPoolExecutor(1, thread_name_prefix="picture")
        self._handle = QueryHandle()
        self._closed = threading.Event()

    def known_detail(self, number: int) -> SampleDetail | None:
        """A sample that was read before, if it is remembered."""
        return self._details.get(number)

    async def detail(self, number: int) -> SampleDetail:
        """All that the database has of a sample. Raises `StoreError`; once closed, always `Interrupted`."""
        if self._closed.is_set():
            raise Interrupted("the reader is closed")
        detail = self._details.get(number)
        if detail is None:
            detail = await asyncio.get_running_loop().run_in_executor(
                self._database_thread, read_sample, self._source, number, self._handle
            )
            self._details.put(number, detail)
        return detail

    async def picture(self, detail: SampleDetail) -> bytes | NoPicture:
        """The encoded picture of a sample; who stops waiting for it stops the search."""
        number = detail.row.number
        picture = self._pictures.get(number)
        if picture is None and self._closed.is_set():
            return NoPicture("nobody waits for it")
        if picture is None:
            unwanted = threading.Event()
            try:
                picture = await asyncio.get_running_loop().run_in_executor(
                    self._picture_thread, self._find, detail, unwanted
                )
            finally:
                unwanted.set()
            if isinstance(picture, NoPicture) or len(picture) <= _LARGEST_REMEMBERED_BYTES:
                self._pictures.put(number, picture)
        return picture

    def close(self) -> None:
        """Stop what the threads are at; nobody waits for them."""
        self._closed.set()
        self._handle.interrupt()
        for threads in (self._database_thread, self._picture_thread):
            threads.shutdown(wait=False, cancel_futures=True)

    def _find(self, detail: SampleDetail, unwanted: threading.Event) -> bytes | NoPicture:
        """In the thread for pictures."""
        try:
            return find_image(
                self._pool_spec(detail),
                _pool_name(detail.row.pool),
                detail.source,
                detail.row.key,
                detail.row.sample_id,
                metadata=detail.metadata,
                cancelled=lambda: unwanted.is_set() or self._closed.is_set(),
            )
        except PoolError as error:
            return NoPicture(str(error))
        except SearchCancelled:
            return NoPicture("nobody waits for it")

    def _pool_spec(self, detail: SampleDetail) -> PoolSpec:
        """How the run read the sample's pool; by default names, where the spec can't be read."""
        try:
            spec = self._spec()
        except StoreError:
            spec = None
        pools = spec.pool_specs() if spec is not None else {}
        return pools.get(_pool_name(detail.row.pool)) or PoolSpec(source=[detail.source])


def stored_spec(database: Path, run_id: str) -> AuditSpec | None:
    """The spec of a run in the database; None where it can't be read."""
    return parsed_spec(summarise(database, run_id).run.spec or "")


def _pool_name(pool: str) -> PoolName:
    names: dict[str, PoolName] = {
        "candidates": "candidates",
        "nonmembers": "nonmembers",
        "general": "general",
        "bank": "bank",
    }
    return names.get(pool, "candidates")
