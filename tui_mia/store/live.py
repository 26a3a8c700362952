"""A run that is going on, as far as its parts are there."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import duckdb

from tui_mia.runs import RunDirectory
from tui_mia.store.connect import NO_EXTENSIONS
from tui_mia.store.errors import StoreError
from tui_mia.store.schema import create_schema
from tui_mia.store.source import QueryHandle

_POOLS: Final = ("candidates", "nonmembers", "general", "bank")
_MEMORY: Final = "48MiB"
# The scores that need nothing but a sample's own similarities.
_SCORES: Final = {"csa": "similarities[1]", "aea_mean": "list_avg(similarities)"}


class LiveRun:
    """The samples of a run that is going on, to be read like those of one in the database.

    They are numbered as they come, pairs that occur twice are still among
    them, and of the attacks there are `csa` and `aea_mean`, without p-values.
    All of it is in a temporary file, because the database belongs to whoever
    asks for it. Every method may be called from any thread. Raises `StoreError`
    where there is no room for the file.
    """

    def __init__(self, directory: RunDirectory) -> None:
        self._parts = directory.parts
        self._run_id = directory.run_id
        self._taken: set[str] = set()
        self._samples = 0
        self._refreshing = threading.Lock()
        self._closed = False
        config = {**NO_EXTENSIONS, "memory_limit": _MEMORY, "threads": 2}
        with ExitStack() as undo:
            try:
                self._folder = tempfile.TemporaryDirectory(prefix="tui-mia-live-")
                undo.callback(self._folder.cleanup)
                file = Path(self._folder.name, "live.duckdb")
                self._connection = undo.enter_context(duckdb.connect(str(file), config=config))
                create_schema(self._connection)
            except (duckdb.Error, OSError) as error:
                raise StoreError(f"run {self._run_id}: no temporary file for its samples: {error}") from error
            undo.pop_all()

    @property
    def run_id(self) -> str:
        return self._run_id

    @contextmanager
    def connected(self, handle: QueryHandle | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
        try:
            if self._closed:
                raise StoreError(self._why_closed())
            with self._connection.cursor() as cursor, (handle or QueryHandle()).holding(cursor):
                yield cursor
        except duckdb.Error as error:
            why = self._why_closed() if self._closed else f"run {self._run_id}: {error}"
            raise StoreError(why) from error

    def refresh(self, seconds: float = 1.0) -> int:
        """Take in the parts that are new, for about so long, and return the number of samples now."""
        deadline = time.monotonic() + seconds
        with self._refreshing, self.connected() as connection:
            for path in self._new_parts():
                self._take(connection, path)
                if time.monotonic() > deadline:
                    break
        return self._samples

    def close(self) -> None:
        """Forget the samples, once what is being read has been read."""
        with self._refreshing:
            self._closed = True
            self._connection.close()
            self._folder.cleanup()

    def _why_closed(self) -> str:
        return (
            f"run {self._run_id}: the run has ended (or another was chosen);"
            " open the sample again from Results"
        )

    def _new_parts(self) -> list[Path]:
        found = [path for pool in _POOLS for path in sorted(self._parts.glob(f"{pool}-*.parquet"))]
        return [path for path in found if path.name not in self._taken]

    def _take(self, connection: duckdb.DuckDBPyConnection, path: Path) -> None:
        # Here, for an app that watches no run is 30 MB smaller without it.
        import pyarrow as pa
        import pyarrow.parquet as pq

        from tui_mia.runs.tables import ENCODED_SAMPLE

        columns = [*(column.name for column in ENCODED_SAMPLE), "similarities"]
        try:
            part = pq.read_table(path, columns=columns)
        except FileNotFoundError:  # the run has ended and been saved, and its parts were over the limit
            return
        except (pa.ArrowException, OSError) as error:
            raise StoreError(f"{path} can't be read: {error}") from error
        numbers = pa.array(range(self._samples, self._samples + part.num_rows), pa.int64())
        connection.register("part", part.append_column("number", numbers))
        connection.execute("BEGIN")
        which = {"run_id": self._run_id, "pool": path.name.partition("-")[0]}
        connection.execute(
            "INSERT INTO samples BY NAME"
            " SELECT $run_id AS run_id, $pool AS pool, * EXCLUDE similarities FROM part",
            which,
        )
        connection.execute(
            "INSERT INTO similarities BY NAME SELECT ? AS run_id, sample_id, number,"
            " unnest(range(len(similarities))) AS view, unnest(similarities::FLOAT[]) AS cosine FROM part",
            [self._run_id],
        )
        has_views = part.schema.field("similarities").type.list_size > 1
        for attack, score in _SCORES.items():
            if attack == "csa" or has_views:
                connection.execute(
                    "INSERT INTO scores BY NAME SELECT ? AS run_id, sample_id, number, ? AS attack,"
                    f" {score} AS score FROM (SELECT * REPLACE (similarities::FLOAT[] AS similarities)"
                    " FROM part)",
                    [self._run_id, attack],
                )
        connection.execute("COMMIT")
        connection.unregister("part")
        self._taken.add(path.name)
        self._samples += part.num_rows
