"""The child process that judges again what is stored, and compares.

`python -m tui_mia.recompute FOLDER`, with the tables of a run as Parquet and its
`spec.toml`; prints one JSON document. It needs no model and no picture.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import pyarrow.parquet as pq

from tui_mia.evidence import judge
from tui_mia.runs.tables import TABLES
from tui_mia.spec import read_spec
from tui_mia.stored import read_audited

# What tells the rows of each table apart.
KEYS: Final = {"metrics": ("attack", "metric"), "checks": ("attack", "check"), "verdicts": ("attack",)}
# Sums depend on the order of their terms in the last digits.
TOLERANCE: Final = 1e-9

Row: TypeAlias = Mapping[str, Any]


def main(arguments: Sequence[str]) -> None:
    print(json.dumps(recompute(Path(arguments[0]))))


def recompute(folder: Path) -> dict[str, object]:
    """Compare every figure, check and verdict that follows from what is stored with the stored one.

    Returns:
        How many rows were `compared`; `differences`, each with table, row, column and
        both values; and by name those `not_recomputed`, as they need the model or the pictures.
    """
    judgement = judge(read_audited(folder), read_spec(folder / "spec.toml").evidence.smallest_auc)
    compared = 0
    differences: list[dict[str, object]] = []
    left_out: list[str] = []
    for table, rows in (
        ("metrics", judgement.metrics),
        ("checks", judgement.checks),
        ("verdicts", judgement.verdicts),
    ):
        again = _by_key(table, (vars(row) for row in rows))
        stored = _by_key(table, pq.read_table(folder / f"{table}.parquet").to_pylist())
        left_out += [" ".join(part for part in key if part) for key in stored if key not in again]
        compared += len(again)
        for key, row in again.items():
            differences += _differences(table, key, stored.get(key), row)
    return {"compared": compared, "differences": differences, "not_recomputed": sorted(left_out)}


def _by_key(table: str, rows: Iterable[Row]) -> dict[tuple[str, ...], Row]:
    return {tuple(row[name] or "" for name in KEYS[table]): row for row in rows}


def _differences(
    table: str, key: tuple[str, ...], stored: Row | None, again: Row
) -> Iterable[dict[str, object]]:
    name = " ".join(part for part in key if part) or "run"
    if stored is None:
        yield {"table": table, "row": name, "column": None, "stored": None, "recomputed": "present"}
        return
    for column in TABLES[table].names:
        before, now = stored[column], again[column]
        if isinstance(now, tuple | list):
            before, now = list(before or []), list(now)
        if not _same(before, now):
            yield {"table": table, "row": name, "column": column, "stored": before, "recomputed": now}


def _same(before: object, now: object) -> bool:
    if isinstance(before, int | float) and isinstance(now, int | float):
        return math.isclose(before, now, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return before == now


if __name__ == "__main__":
    main(sys.argv[1:])
