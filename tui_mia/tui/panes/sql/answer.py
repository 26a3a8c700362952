"""What the database answered to a query, ready to be shown; made in a thread, as it may take long."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from datetime import date, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from rich.cells import cell_len

from tui_mia.clean import printable
from tui_mia.store import StoreError, query
from tui_mia.store.source import QueryHandle

MOST_ROWS: Final = 10_000
WIDEST_COLUMN: Final = 60
LONGEST_CELL: Final = 200
# Short, because the end of the app waits for a thread that waits for the database.
WAIT_SECONDS: Final = 2.0

NULL: Final = "NULL"
_NUMBER: Final = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|BIGNUM|FLOAT|DOUBLE|DECIMAL\(.*\)")


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """The first rows of a result; `shown` has them as text, each column under its index, None for NULL.

    `widths` are those of the columns in terminal cells. `has_more` says that the
    result does not end with these rows.
    """

    columns: list[str]
    rows: list[tuple[Any, ...]]
    has_more: bool
    shown: pa.Table
    widths: list[int]
    seconds: float

    @classmethod
    def empty(cls) -> Answer:
        """No row and no column, where nothing has been asked yet."""
        return cls([], [], False, pa.table({}), [], 0.0)

    @property
    def summary(self) -> str:
        """How much it is and how long it took; says so where there is more than is shown."""
        columns = counted(len(self.columns), "column")
        took = f"{columns}, {self.seconds:.2f} s"
        if self.has_more:
            return f"first {len(self.rows):,} rows of more than that, {took}; e exports all"
        return f"{counted(len(self.rows), 'row')}, {took}"


def ask(database: Path, sql: str, handle: QueryHandle, most_rows: int = MOST_ROWS) -> Answer:
    """Run a query that reads. Raises `StoreError`, `Interrupted` if another thread uses the handle."""
    started = time.perf_counter()
    with query(database, sql, wait_seconds=WAIT_SECONDS, handle=handle) as result:
        rows = list(islice(result, most_rows + 1))
        columns, types = result.columns, result.types
    seconds = time.perf_counter() - started
    has_more = len(rows) > most_rows
    rows = rows[:most_rows]
    shown = [[as_cell(row[index]) for row in rows] for index in range(len(columns))]
    widths = [
        min(WIDEST_COLUMN, max(map(width, [printable(name), NULL, *filter(None, cells)])))
        for name, cells in zip(columns, shown, strict=True)
    ]
    for index, kind in enumerate(types):
        if _NUMBER.fullmatch(kind):
            shown[index] = [cell and cell.rjust(widths[index]) for cell in shown[index]]
    table = pa.table({str(index): pa.array(cells, pa.string()) for index, cells in enumerate(shown)})
    return Answer(columns, rows, has_more, table, widths, seconds)


def in_words(error: StoreError) -> str:
    """What went wrong; of what DuckDB advises where memory is short, what can be done here."""
    text = str(error)
    if "Out of Memory Error" not in text:
        return text
    first, *_ = text.splitlines()
    return f"{first}\nThe app gives its queries little memory; `tui-mia query` has no such limit."


def as_cell(value: object) -> str | None:
    """A value in one short line that does nothing to a terminal; None for NULL."""
    match value:
        case None:
            return None
        case bool():
            return str(value).lower()
        case float():
            return f"{value:.6g}"
        case datetime():
            text = value.isoformat(" ", "seconds").replace("+00:00", "Z")
        case str():
            text = value
        case _:
            text = as_text(value)
    cut = len(text) > LONGEST_CELL
    return printable(text[:LONGEST_CELL]) + ("…" if cut else "")


def as_text(value: object) -> str:
    """A value in full, as it is copied."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case datetime() | date():
            return value.isoformat()
        case _:
            return str(value)


def width(text: str) -> int:
    """How many terminal cells a text takes."""
    return len(text) if text.isascii() else cell_len(text)


def counted(number: int, what: str) -> str:
    """A number of things, as in `1 row` and `2,000 rows`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
