"""Parts: what the encoder leaves of a shard, as Parquet."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tui_mia.encoder.appearance import FORM_NAMES, STATISTICS_NAMES
from tui_mia.runs.parquet import replace_with_table
from tui_mia.runs.tables import ENCODED_SAMPLE

SeenBy: TypeAlias = Literal["target", "reference"]
# A tar of any size is encoded in parts that fit in memory; a shard of a table or folder is smaller than one.
PART_ENTRIES = 16_384
PREFIX: dict[SeenBy, str] = {"target": "", "reference": "reference_"}

# Of a sample, what it is and what its image looks like to no model.
WITHOUT_MODEL = pa.schema(
    [
        *ENCODED_SAMPLE,
        ("image_form", pa.list_(pa.float32(), len(FORM_NAMES))),
        ("image_statistics", pa.list_(pa.float32(), len(STATISTICS_NAMES))),
        ("perceptual_hash", pa.uint64()),
    ]
)
REJECTS = pa.schema([("source", pa.string()), ("key", pa.string()), ("reason", pa.string())])


def samples_schema(views: int, dimension: int, reference_dimension: int | None = None) -> pa.Schema:
    """One row a sample: what it is, what its image looks like, and what each model sees.

    That is 1 + K similarities and two embeddings of D numbers; `reference_dimension`
    is the D of a reference, where there is one.
    """
    of_reference = [] if reference_dimension is None else _seen_by("reference", views, reference_dimension)
    return pa.schema([*WITHOUT_MODEL, *_seen_by("target", views, dimension), *of_reference])


def _seen_by(model: SeenBy, views: int, dimension: int) -> list[tuple[str, pa.DataType]]:
    names = ("similarities", "image_embedding", "text_embedding")
    return [
        (PREFIX[model] + name, pa.list_(pa.float32(), size))
        for name, size in zip(names, (1 + views, dimension, dimension), strict=True)
    ]


def sample_keys(sample_ids: Sequence[str]) -> NDArray[np.uint64]:
    """The half of each sample id that is of the pair: [n] uint64."""
    return np.array([int(sample_id[16:], 16) for sample_id in sample_ids], dtype=np.uint64)


def image_keys(sample_ids: Sequence[str]) -> NDArray[np.uint64]:
    """The half of each sample id that is of the image alone: [n] uint64."""
    return np.array([int(sample_id[:16], 16) for sample_id in sample_ids], dtype=np.uint64)


def matrix_of(column: pa.ChunkedArray) -> NDArray[np.float32]:
    """A column of n lists of m numbers as [n, m]."""
    lists = column.combine_chunks()
    values = lists.values.slice(lists.offset * lists.type.list_size, len(lists) * lists.type.list_size)
    result: NDArray[np.float32] = values.to_numpy().reshape(len(lists), lists.type.list_size)
    return result


def lists_of(matrix: NDArray[np.float32]) -> pa.FixedSizeListArray:
    """[n, m] as n lists of m numbers."""
    flat = pa.array(np.ascontiguousarray(matrix).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, matrix.shape[1])


def with_first_views(samples: pa.Table, views: int) -> pa.Table:
    """The samples of a part as they would be if fewer views had been encoded: K of those that there are."""
    for prefix in PREFIX.values():
        name = f"{prefix}similarities"
        if name in samples.column_names:
            kept = lists_of(matrix_of(samples[name])[:, : 1 + views])
            samples = samples.set_column(samples.column_names.index(name), name, kept)
    return samples


def part_paths(folder: Path, pool: str) -> list[Path]:
    """The finished parts of a pool, in the order of its shards."""
    return sorted(folder.glob(f"{pool}-*.parquet"))


def part_files(folder: Path, pool: str, shard: int, number: int) -> tuple[Path, Path]:
    """The rejects and the samples of part `number` of a shard; where the samples are, it is done."""
    return _rejects_path(folder, pool, shard, number), _part_path(folder, pool, shard, number)


def write_part(
    folder: Path, pool: str, shard: int, number: int, samples: pa.Table, rejects: pa.Table
) -> None:
    """Write part `number` of a shard."""
    for path, table in zip(part_files(folder, pool, shard, number), (rejects, samples), strict=True):
        replace_with_table(path, table)


def finished_parts(folder: Path, pool: str, shard: int, columns: Collection[str]) -> list[tuple[int, int]]:
    """How many samples and rejects each finished part of a shard has, in order.

    One that lacks any of `columns`, as an earlier version left it, is not finished.
    """
    rows: list[tuple[int, int]] = []
    while (path := _part_path(folder, pool, shard, len(rows))).exists():
        if not set(columns).issubset(pq.read_schema(path).names):
            break
        samples = pq.read_metadata(path).num_rows
        rows.append((samples, pq.read_metadata(_rejects_path(folder, pool, shard, len(rows))).num_rows))
    return rows


def read_rejects(folder: Path, pool: str) -> pa.Table:
    """The rejects of all finished parts of a pool."""
    paths = sorted(folder.glob(f"rejects-{pool}-*.parquet"))
    return pa.concat_tables([REJECTS.empty_table(), *(pq.read_table(path) for path in paths)])


def first_part(folder: Path, pool: str, shard: int) -> Path | None:
    """The first part of a shard, if it is there and has samples."""
    path = _part_path(folder, pool, shard, 0)
    return path if path.exists() and pq.read_metadata(path).num_rows else None


def _part_path(folder: Path, pool: str, shard: int, number: int) -> Path:
    return folder / f"{pool}-{shard:06d}-{number:06d}.parquet"


def _rejects_path(folder: Path, pool: str, shard: int, number: int) -> Path:
    return folder / f"rejects-{pool}-{shard:06d}-{number:06d}.parquet"
