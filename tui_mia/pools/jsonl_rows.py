"""Rows of JSON Lines files, readable from the byte at which any of them begins."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO

from tui_mia.pools.fields import decode, parse_object
from tui_mia.pools.found import UnusableError
from tui_mia.pools.pair import Shard
from tui_mia.pools.text_lines import LINE_LIMIT_BYTES, Cut, cut_rows, lines, open_text
from tui_mia.storage import Location

_ROWS_LOOKED_AT_FOR_COLUMNS = 1000


def columns(path: Location) -> list[str]:
    """The names that the first rows use, in order of appearance."""
    with open_text(path) as file:
        seen = [_parse(line) for line in islice(_filled_lines(file), _ROWS_LOOKED_AT_FOR_COLUMNS)]
    objects = [row for row in seen if isinstance(row, dict)]
    if seen and not objects:
        raise UnusableError(f"no row can be read, the first because: {seen[0]}; write one JSON object a line")
    return list(dict.fromkeys(name for row in objects for name in row))


def cuts(path: Location, rows_per_shard: int) -> Iterator[Cut]:
    """Count the lines once."""
    with open_text(path) as file:
        yield from cut_rows(_filled_lines(file), file.tell, rows_per_shard)


def rows(shard: Shard) -> Iterator[dict[str, object] | UnusableError]:
    """The rows of a shard by name; the reason in place of a line that is no JSON object."""
    assert shard.stop is not None
    for _, row in islice(rows_from(shard.path, shard.offset), shard.stop - shard.start):
        yield row


def rows_from(
    path: Location, offset: int | None = None
) -> Iterator[tuple[int, dict[str, object] | UnusableError]]:
    """Each row from a byte on, or from the first one, after the byte that it begins at."""
    with open_text(path) as file:
        file.seek(file.tell() if offset is None else offset)
        beginning = file.tell()
        for line in _filled_lines(file):
            yield beginning, _parse(line)
            beginning = file.tell()


def _filled_lines(file: BinaryIO) -> Iterator[bytes]:
    return (line for line in lines(file) if not line.isspace())


def _parse(line: bytes) -> dict[str, object] | UnusableError:
    if len(line) >= LINE_LIMIT_BYTES:
        return UnusableError(f"line is longer than {LINE_LIMIT_BYTES:,} bytes")
    try:
        return parse_object(decode(line))
    except UnusableError as problem:
        return problem
