"""What CSV, TSV and JSONL have in common: UTF-8 lines, and rows that begin at a known byte."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, NamedTuple

from tui_mia.pools.found import UnusableError
from tui_mia.storage import Location

LINE_LIMIT_BYTES = 16 * 2**20

_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


class Cut(NamedTuple):
    """The rows of one shard, and the byte at which the first of them begins."""

    start: int
    stop: int
    offset: int = 0


def open_text(path: Location) -> BinaryIO:
    """Open a UTF-8 file for reading bytes, past a byte order mark."""
    file = path.open("rb")
    beginning = file.read(3)
    if beginning.startswith(_UTF16_MARKS):
        file.close()
        raise UnusableError("is UTF-16 text; save it as UTF-8")
    file.seek(3 if beginning == _UTF8_MARK else 0)
    return file


def lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file with their ends; of an oversized one only the beginning."""
    while line := file.readline(LINE_LIMIT_BYTES):
        rest = line
        while rest and not rest.endswith(b"\n"):
            rest = file.readline(LINE_LIMIT_BYTES)
        yield line


def cut_rows(rows: Iterable[object], tell: Callable[[], int], rows_per_shard: int) -> Iterator[Cut]:
    """Run through `rows` and note where each shard of them begins, shard by shard."""
    start, offset, count = 0, tell(), 0
    for count, _ in enumerate(rows, start=1):
        if count % rows_per_shard == 0:
            yield Cut(start, count, offset)
            start, offset = count, tell()
    if count > start:
        yield Cut(start, count, offset)


def ranges(count: int, rows_per_shard: int) -> list[tuple[int, int]]:
    """Cut `count` rows into ranges of `rows_per_shard`, the last one shorter."""
    return [(start, min(start + rows_per_shard, count)) for start in range(0, count, rows_per_shard)]
