"""The child process that judges again what is stored, and compares.

`python -m tui_mia.recompute FOLDER`, with the tables of a run as Parquet and its
`spec.toml`; prints one JSON document. It needs no model and no picture.
"""

from __future__ import annotations

import json
import math
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tui_mia.evidence import judge, q_values
from tui_mia.runs.tables import TABLES
from tui_mia.scored import FIGURE, FITTED_TO_CANDIDATES
from tui_mia.spec import EvidenceSpec
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
    audited = read_audited(folder, _fitted_to_candidates(folder))
    judgement = judge(audited, _smallest_auc(folder / "spec.toml"))
    compared = 0
    differences: list[dict[str, object]] = []
    left_out: list[str] = []
    for table, rows in (
        ("metrics", judgement.metrics),
        ("checks", judgement.checks),
        ("verdicts", judgement.verdicts),
    ):
        again = _by_key(table, (vars(row) for row in rows))
        rows_stored = pq.read_table(folder / f"{table}.parquet").to_pylist()
        stored = _by_key(table, rows_stored)
        if len(stored) < len(rows_stored):
            differences.append(_difference(table, "rows", None, len(rows_stored), len(stored)))
        for key in stored.keys() - again.keys():
            name = _name(key)
            if _needs_the_model(table, key):
                left_out.append(name)
            else:
                differences.append(_difference(table, name, None, "present", None))
        compared += len(again)
        for key, row in again.items():
            differences += _differences(table, key, stored.get(key), row)
    differences += _q_values(folder)
    return {"compared": compared, "differences": differences, "not_recomputed": sorted(left_out)}


def _smallest_auc(spec: Path) -> float:
    """What the spec says; the rest of it may name attacks that are not installed, or files that moved."""
    document = tomllib.loads(spec.read_text(encoding="utf-8"))
    return EvidenceSpec.model_validate(document.get("evidence", {})).smallest_auc


def _needs_the_model(table: str, key: tuple[str, ...]) -> bool:
    """Whether a row can't follow from what is stored: the facts of a fit, and what encodes or fits again."""
    if table == "metrics":
        return not FIGURE.match(key[1])
    return table == "checks" and (key[1].startswith(("stability_", "sampled_")) or key[1].endswith("_failed"))


def _fitted_to_candidates(folder: Path) -> list[str]:
    """The attacks with this fact of their fit."""
    metrics = pq.read_table(folder / "metrics.parquet", columns=["attack", "metric"]).to_pylist()
    return [row["attack"] for row in metrics if row["metric"] == FITTED_TO_CANDIDATES]


def _q_values(folder: Path) -> Iterable[dict[str, object]]:
    """The attacks whose q-values are not those of their p-values."""
    path = folder / "scores.parquet"
    attacks = pq.read_table(path, columns=["attack"], read_dictionary=["attack"])["attack"]
    for attack in sorted(pc.unique(attacks).to_pylist()):
        of_attack = pq.read_table(path, columns=["p_value", "q_value"], filters=[("attack", "=", attack)])
        of_attack = of_attack.filter(pc.is_valid(of_attack["p_value"]))
        if not len(of_attack):
            continue
        again = q_values(of_attack["p_value"].to_numpy())
        stored = pc.fill_null(of_attack["q_value"], math.nan).to_numpy()
        off = ~np.isclose(stored, again, rtol=TOLERANCE, atol=TOLERANCE)
        if off.any():
            first = int(np.flatnonzero(off)[0])
            yield _difference("scores", attack, "q_value", float(stored[first]), float(again[first]))


def _difference(
    table: str, row: str, column: str | None, stored: object, recomputed: object
) -> dict[str, object]:
    return {"table": table, "row": row, "column": column, "stored": stored, "recomputed": recomputed}


def _name(key: tuple[str, ...]) -> str:
    return " ".join(part for part in key if part) or "run"


def _by_key(table: str, rows: Iterable[Row]) -> dict[tuple[str, ...], Row]:
    return {tuple(row[name] or "" for name in KEYS[table]): row for row in rows}


def _differences(
    table: str, key: tuple[str, ...], stored: Row | None, again: Row
) -> Iterable[dict[str, object]]:
    name = _name(key)
    if stored is None:
        yield _difference(table, name, None, None, "present")
        return
    for column in TABLES[table].names:
        before, now = stored[column], again[column]
        if isinstance(now, tuple | list):
            before, now = list(before or []), list(now)
        if not _same(before, now):
            yield _difference(table, name, column, before, now)


def _same(before: object, now: object) -> bool:
    if isinstance(before, int | float) and isinstance(now, int | float):
        return math.isclose(before, now, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return before == now


if __name__ == "__main__":
    main(sys.argv[1:])
