"""Rows of CSV and TSV files, readable from the byte at which any of them begins."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO

from tui_mia.pools.found import UnusableError
from tui_mia.pools.pair import Shard
from tui_mia.pools.text_lines import LINE_LIMIT_BYTES, Cut, cut_rows, lines, open_text
from tui_mia.storage import Location


def columns(path: Location) -> list[str]:
    """The names in the first row; none in an empty file."""
    with open_text(path) as file:
        return _header(file, path)


def cuts(path: Location, rows_per_shard: int) -> Iterator[Cut]:
    """Parse the file once, because only a parser knows which line ends are within quotes."""
    with open_text(path) as file:
        _header(file, path)
        yield from cut_rows(_records(file, path), file.tell, rows_per_shard)


def rows(shard: Shard) -> Iterator[dict[str, object] | UnusableError]:
    """The rows of a shard by column; the reason in place of a row that doesn't fit."""
    assert shard.stop is not None
    for _, row in islice(rows_from(shard.path, shard.offset), shard.stop - shard.start):
        yield row


def rows_from(
    path: Location, offset: int | None = None
) -> Iterator[tuple[int, dict[str, object] | UnusableError]]:
    """Each row from a byte on, or from the first one, after the byte that it begins at."""
    with open_text(path) as file:
        names = _header(file, path)
        file.seek(file.tell() if offset is None else offset)
        beginning = file.tell()
        for record in _records(file, path):
            if isinstance(record, UnusableError):
                yield beginning, record
            elif len(record) != len(names):
                yield beginning, UnusableError(f"row has {len(record)} columns; the table has {len(names)}")
            else:
                yield beginning, dict(zip(names, record, strict=True))
            beginning = file.tell()


def _header(file: BinaryIO, path: Location) -> list[str]:
    header = next(_records(file, path), [])
    if isinstance(header, UnusableError):
        raise UnusableError(
            f"the first row can't be read: {header}; write one row a line, with the columns' names first"
        )
    return header


def _records(file: BinaryIO, path: Location) -> Iterator[list[str] | UnusableError]:
    """The records from where `file` stands, blank lines left out.

    The parser takes lines only as it needs them, so after each record `file`
    stands where the next one begins.
    """
    csv.field_size_limit(LINE_LIMIT_BYTES)
    # A broken byte costs its field, not the row's neighbours: see fields.decode.
    text = (line.decode("utf-8", "surrogateescape") for line in lines(file))
    reader = csv.reader(text, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
    while True:
        try:
            record = next(reader, None)
        except csv.Error as error:
            yield UnusableError(f"row can't be read: {error}")
            continue
        if record is None:
            return
        if record:
            yield record
