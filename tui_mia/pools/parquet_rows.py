"""Rows of Parquet files, a few at a time, so that images in a column don't fill the memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tui_mia.pools.fields import quote
from tui_mia.pools.found import UnusableError
from tui_mia.pools.pair import Shard
from tui_mia.pools.text_lines import Cut, ranges
from tui_mia.storage import Location, StorageError, Url

ROWS_A_BATCH = 32
MOST_ROWS = 10**9
_ROWS_A_LEAN_BATCH = 4096
_BUFFER_BYTES = 2**20
# Values that Python can't hold: text that is no UTF-8, dates after the year 9999, unknown time zones.
_UNREADABLE = (ValueError, OverflowError, KeyError)
# Damaged files meet pyarrow with these; an OSError with a number is the file system's.
_DAMAGE = (pa.ArrowException, OSError, *_UNREADABLE)


def columns(path: Location) -> list[str]:
    """The names of the top-level columns."""
    with _open(path) as table:
        return list(table.schema_arrow.names)


def cuts(path: Location, rows_per_shard: int) -> Iterator[Cut]:
    """Cut by row numbers; the metadata has their count."""
    with _open(path) as table:
        rows = table.metadata.num_rows
    if not 0 <= rows <= MOST_ROWS:
        raise UnusableError(f"says that it has {rows:,} rows, and at most {MOST_ROWS:,} are read; split it")
    yield from (Cut(start, stop) for start, stop in ranges(rows, rows_per_shard))


def rows(shard: Shard, image_column: str) -> Iterator[dict[str, object] | UnusableError]:
    """The rows of a shard by column, without binary columns other than the image's.

    Raises:
        UnusableError: where the file is damaged.
    """
    assert shard.stop is not None
    with _open(shard.path) as table:
        groups, first = _row_groups(table.metadata, shard.start, shard.stop)
        names = [
            field.name for field in table.schema_arrow if field.name == image_column or not _is_binary(field)
        ]
        batches = table.iter_batches(ROWS_A_BATCH, row_groups=groups, columns=names, use_threads=False)
        try:
            for batch in batches:
                before, first = first, first + batch.num_rows
                skipped = max(shard.start - before, 0)
                yield from _rows_of(batch.slice(skipped, max(shard.stop - before - skipped, 0)))
                if first >= shard.stop:
                    return
        except StorageError:
            raise
        except _DAMAGE as damage:
            raise UnusableError(f"table is damaged from about row {first} on: {damage}") from damage


def values(path: Location, column: str, start: int = 0) -> Iterator[object]:
    """One column from a row on, a few rows at a time; None where a value can't be read.

    Raises:
        UnusableError: where there is no such column or the file is damaged.
    """
    with _open(path) as table:
        if column not in table.schema_arrow.names:
            raise UnusableError(f"has no column {quote(column)} any more")
        groups, first = _row_groups(table.metadata, start, table.metadata.num_rows)
        kind = table.schema_arrow.field(column)
        rows_a_batch = (
            ROWS_A_BATCH if _is_binary(kind) or pa.types.is_nested(kind.type) else _ROWS_A_LEAN_BATCH
        )
        batches = table.iter_batches(rows_a_batch, row_groups=groups, columns=[column], use_threads=False)
        try:
            for batch in batches:
                before, first = first, first + batch.num_rows
                if first > start:
                    rows = _rows_of(batch.slice(max(start - before, 0)))
                    yield from (row.get(column) if isinstance(row, dict) else None for row in rows)
        except StorageError:
            raise
        except _DAMAGE as damage:
            raise UnusableError(f"table is damaged from about row {first} on: {damage}") from damage


@contextmanager
def _open(path: Location) -> Iterator[pq.ParquetFile]:
    """The file for the block, in which damage to what it says of itself comes as `UnusableError`."""
    try:
        with ExitStack() as opened:
            source = opened.enter_context(path.open("rb")) if isinstance(path, Url) else path
            # Without pre_buffer, row groups are read page by page instead of whole.
            table = pq.ParquetFile(
                source, buffer_size=_BUFFER_BYTES, pre_buffer=False, page_checksum_verification=True
            )
            yield opened.enter_context(table)
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise UnusableError(
            f"is not a readable Parquet file: {error}; write it again or leave it out"
        ) from None


def _row_groups(metadata: pq.FileMetaData, start: int, stop: int) -> tuple[list[int], int]:
    """The row groups that hold rows `start` to `stop`, and the row that the first of them begins with."""
    groups: list[int] = []
    first = row = 0
    for group in range(metadata.num_row_groups):
        end = row + metadata.row_group(group).num_rows
        if end > start and row < stop:
            first = first if groups else row
            groups.append(group)
        row = end
    return groups, first


def _rows_of(batch: pa.RecordBatch) -> Iterator[dict[str, object] | UnusableError]:
    batch = _without_nanoseconds(batch)
    try:
        yield from batch.to_pylist()
    except _UNREADABLE:
        # One bad value fails the whole batch: find out whose it is.
        yield from (_row_of(batch.slice(index, 1)) for index in range(batch.num_rows))


def _row_of(batch: pa.RecordBatch) -> dict[str, object] | UnusableError:
    try:
        return dict(batch.to_pylist()[0])
    except _UNREADABLE as error:
        return UnusableError(f"row has a value that can't be read: {error}")


def _without_nanoseconds(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Cut times to microseconds, the finest that Python's own dates and times can hold."""
    fields = [field.with_type(_coarser(field.type)) for field in batch.schema]
    arrays = [array.cast(field.type, safe=False) for array, field in zip(batch.columns, fields, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))


def _coarser(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        return pa.timestamp("us", kind.tz)
    if pa.types.is_time64(kind):
        return pa.time64("us")
    if pa.types.is_duration(kind):
        return pa.duration("us")
    return kind


def _is_binary(field: pa.Field[Any]) -> bool:
    kind = field.type
    return bool(
        pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)
    )
