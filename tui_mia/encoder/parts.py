"""Parts: what the encoder leaves of a shard, as Parquet, and a pool read back from them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tui_mia.embedded import Block
from tui_mia.runs.parquet import replace_with_table
from tui_mia.runs.tables import ENCODED_SAMPLE

REJECTS = pa.schema([("source", pa.string()), ("key", pa.string()), ("reason", pa.string())])


def samples_schema(views: int, dimension: int) -> pa.Schema:
    """One row a sample: what it is, its 1 + K similarities, its two embeddings of D numbers."""
    return pa.schema(
        [
            *ENCODED_SAMPLE,
            ("similarities", pa.list_(pa.float32(), 1 + views)),
            ("image_embedding", pa.list_(pa.float32(), dimension)),
            ("text_embedding", pa.list_(pa.float32(), dimension)),
        ]
    )


def sample_keys(sample_ids: Sequence[str]) -> NDArray[np.uint64]:
    """The half of each sample id that is of the pair: [n] uint64."""
    return np.array([int(sample_id[16:], 16) for sample_id in sample_ids], dtype=np.uint64)


def image_keys(sample_ids: Sequence[str]) -> NDArray[np.uint64]:
    """The half of each sample id that is of the image alone: [n] uint64."""
    return np.array([int(sample_id[:16], 16) for sample_id in sample_ids], dtype=np.uint64)


def part_paths(folder: Path, pool: str) -> list[Path]:
    """The finished parts of a pool, in the order of its shards."""
    return sorted(folder.glob(f"{pool}-*.parquet"))


def write_part(
    folder: Path, pool: str, shard: int, number: int, samples: pa.Table, rejects: pa.Table
) -> None:
    """Write part `number` of a shard. The samples go last: where they are, the part is done."""
    replace_with_table(_rejects_path(folder, pool, shard, number), rejects)
    replace_with_table(_part_path(folder, pool, shard, number), samples)


def finished_parts(folder: Path, pool: str, shard: int) -> list[tuple[int, int]]:
    """How many samples and rejects each finished part of a shard has, in order."""
    rows: list[tuple[int, int]] = []
    while _part_path(folder, pool, shard, len(rows)).exists():
        samples = pq.read_metadata(_part_path(folder, pool, shard, len(rows))).num_rows
        rows.append((samples, pq.read_metadata(_rejects_path(folder, pool, shard, len(rows))).num_rows))
    return rows


def read_rejects(folder: Path, pool: str) -> pa.Table:
    """The rejects of all finished parts of a pool."""
    paths = sorted(folder.glob(f"rejects-{pool}-*.parquet"))
    return pa.concat_tables([REJECTS.empty_table(), *(pq.read_table(path) for path in paths)])


def _part_path(folder: Path, pool: str, shard: int, number: int) -> Path:
    return folder / f"{pool}-{shard:06d}-{number:06d}.parquet"


def _rejects_path(folder: Path, pool: str, shard: int, number: int) -> Path:
    return folder / f"rejects-{pool}-{shard:06d}-{number:06d}.parquet"


class EncodedPool:
    """A pool read from its parts: ids and similarities in memory, embeddings from disk when asked for."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = [path for path in paths if pq.read_metadata(path).num_rows]
        columns = [pq.read_table(path, columns=["sample_id", "similarities"]) for path in self.paths]
        self._starts = np.cumsum([0, *(table.num_rows for table in columns)])
        self.sample_ids = pa.chunked_array(
            [chunk for table in columns for chunk in table["sample_id"].chunks], pa.string()
        )
        self.similarities = (
            np.concatenate([_matrix(table["similarities"]) for table in columns])
            if columns
            else np.empty((0, 1), dtype=np.float32)
        )
        self._read: tuple[int, NDArray[np.float32], NDArray[np.float32]] | None = None

    @cached_property
    def keys(self) -> NDArray[np.uint64]:
        return np.concatenate([sample_keys(chunk.to_pylist()) for chunk in self.sample_ids.chunks])

    @cached_property
    def image_keys(self) -> NDArray[np.uint64]:
        return np.concatenate([image_keys(chunk.to_pylist()) for chunk in self.sample_ids.chunks])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def take(self, rows: NDArray[np.int64]) -> Block:
        """The samples at `rows`, in that order; each part is read once."""
        dimension = pq.read_schema(self.paths[0]).field("image_embedding").type.list_size
        image = np.empty((len(rows), dimension), dtype=np.float32)
        text = np.empty_like(image)
        part_of = np.searchsorted(self._starts, rows, side="right") - 1
        for part in np.unique(part_of):
            inside = part_of == part
            part_image, part_text = self._embeddings(int(part))
            image[inside] = part_image[rows[inside] - self._starts[part]]
            text[inside] = part_text[rows[inside] - self._starts[part]]
        return Block(self.similarities[rows], image, text)

    def _embeddings(self, part: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The embeddings of one part; the last one is kept, since blocks in order ask for it again."""
        if self._read is None or self._read[0] != part:
            self._read = None
            table = pq.read_table(self.paths[part], columns=["image_embedding", "text_embedding"])
            self._read = part, _matrix(table["image_embedding"]), _matrix(table["text_embedding"])
        return self._read[1], self._read[2]


def _matrix(column: pa.ChunkedArray) -> NDArray[np.float32]:
    """A column of n lists of m numbers as [n, m]."""
    lists = column.combine_chunks()
    values = lists.values.slice(lists.offset * lists.type.list_size, len(lists) * lists.type.list_size)
    result: NDArray[np.float32] = values.to_numpy().reshape(len(lists), lists.type.list_size)
    return result
