"""Where samples are read from: a run in the database, or one that is still going on."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import duckdb

from tui_mia.store.connect import WAIT_SECONDS, reading
from tui_mia.store.errors import Interrupted


class QueryHandle:
    """Lets one thread stop what another is asking the database; once used, it stops all it is given."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._interrupted = False

    def interrupt(self) -> None:
        """End the query with `Interrupted`, now or as soon as it begins."""
        with self._lock:
            self._interrupted = True
            if self._connection is not None:
                self._connection.interrupt()

    @contextmanager
    def holding(self, connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
        """Let queries of the connection be interrupted within the block."""
        with self._lock:
            if self._interrupted:
                raise Interrupted("the query was interrupted")
            self._connection = connection
        try:
            yield
        except duckdb.Error as error:
            if self._interrupted:
                raise Interrupted("the query was interrupted") from error
            raise
        finally:
            with self._lock:
                self._connection = None


@contextmanager
def stopped_by_control_c() -> Iterator[QueryHandle]:
    """A handle for the block whose query Ctrl+C ends, with `Interrupted`; for the main thread.

    DuckDB hears it by itself only while the main thread works on the query, and
    other threads may have taken all the work.
    """
    handle = QueryHandle()
    heard, hears = os.pipe()
    os.set_blocking(hears, False)

    def listen() -> None:
        while (numbers := os.read(heard, 1)) != b"":
            if numbers[0] == signal.SIGINT:
                handle.interrupt()

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    before = signal.set_wakeup_fd(hears)
    try:
        yield handle
    finally:
        signal.set_wakeup_fd(before)
        os.close(hears)
        listener.join()
        os.close(heard)


class SampleSource(Protocol):
    """A run whose tables `samples`, `similarities` and `scores` can be read."""

    @property
    def run_id(self) -> str: ...

    def connected(
        self, handle: QueryHandle | None = None
    ) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """A connection for the block, whose errors come as `StoreError`."""
        ...


@dataclass(frozen=True)
class StoredRun:
    """A run in the database, which is opened for reading with each question."""

    database: Path
    run_id: str
    wait_seconds: float = WAIT_SECONDS

    @contextmanager
    def connected(self, handle: QueryHandle | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
        with (
            reading(self.database, self.wait_seconds) as connection,
            (handle or QueryHandle()).holding(connection),
        ):
            yield connection
