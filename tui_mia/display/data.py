"""The rows of a query for a program: CSV and JSON on stdout, streamed."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Sequence


def write_csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """CSV with a header; an empty field is NULL."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)


def write_json(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """One array of objects, a line each."""
    sys.stdout.write("[")
    for number, row in enumerate(rows):
        document = json.dumps(dict(zip(columns, row, strict=True)), default=str, allow_nan=False)
        sys.stdout.write((",\n" if number else "\n") + document)
    sys.stdout.write("\n]\n")
