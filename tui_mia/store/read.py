"""What the command line and the terminal app ask of the database."""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
from datetime import UTC
from pathlib import Path
from typing import Any, Final

import duckdb

from tui_mia.store.connect import WAIT_SECONDS, reading
from tui_mia.store.errors import RunNotFound
from tui_mia.store.rows import (
    COMPARED_FIGURES,
    FALSE_POSITIVE_RATES,
    LOW_P_VALUES,
    AttackFigures,
    CheckRow,
    Figure,
    RejectReason,
    RunOverview,
    RunRow,
    RunSummary,
    VerdictRow,
)

LATEST: Final = "latest"

_TIMES: Final = ("created_at", "started_at", "finished_at")
_MAPPINGS: Final = ("versions", "seconds", "skipped")
_NEWEST_FIRST: Final = "ORDER BY created_at DESC NULLS LAST, run_id DESC"
_RUNS_NAMED: Final = 5
_REJECT_REASONS: Final = 10


def list_runs(database: Path, wait_seconds: float = WAIT_SECONDS) -> list[RunOverview]:
    """Every run in the database, newest first."""
    with reading(database, wait_seconds) as connection:
        runs = _runs(connection, _NEWEST_FIRST, [])
        samples: dict[str, dict[str, int]] = {run.run_id: {} for run in runs}
        for run_id, pool, count in connection.execute(
            "SELECT run_id, pool, count(*) FROM samples GROUP BY run_id, pool ORDER BY run_id, pool"
        ).fetchall():
            samples[run_id][pool] = count
        auc: dict[str, dict[str, float]] = {run.run_id: {} for run in runs}
        for run_id, attack, value in connection.execute(
            "SELECT run_id, attack, value FROM metrics"
            " WHERE metric = 'auc' AND isfinite(value) ORDER BY run_id, attack"
        ).fetchall():
            auc[run_id][attack] = value
        outcomes = dict(
            connection.execute("SELECT run_id, outcome FROM verdicts WHERE attack IS NULL").fetchall()
        )
    return [RunOverview(run, samples[run.run_id], auc[run.run_id], outcomes.get(run.run_id)) for run in runs]


def find_run(database: Path, reference: str, wait_seconds: float = WAIT_SECONDS) -> str:
    """The id of the run that is meant by its id, the start of its id, or `latest`.

    Raises `RunNotFound`, which names the nearest and the newest runs, or those that fit equally well.
    """
    with reading(database, wait_seconds) as connection:
        rows = connection.execute(f"SELECT run_id FROM runs {_NEWEST_FIRST}").fetchall()
    run_ids: list[str] = [run_id for (run_id,) in rows]
    if reference in run_ids:
        return reference
    if not run_ids:
        raise RunNotFound(f"there is no run in {database} yet.")
    if reference == LATEST:
        return run_ids[0]
    fitting = [run_id for run_id in run_ids if reference and run_id.startswith(reference)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise RunNotFound(f"{reference!r} fits {len(fitting)} runs in {database}: {_some(fitting)}.")
    near = difflib.get_close_matches(reference, run_ids)
    nearest = f" Did you mean {_some(near)}?" if near else ""
    raise RunNotFound(
        f"there is no run {reference!r} in {database}.{nearest} Newest first: {_some(run_ids)}."
    )


def summarise(database: Path, run_id: str, wait_seconds: float = WAIT_SECONDS) -> RunSummary:
    """One run at a glance: its row, its samples and rejects, and the figures of each attack."""
    with reading(database, wait_seconds) as connection:
        runs = _runs(connection, "WHERE run_id = ?", [run_id])
        if not runs:
            raise RunNotFound(f"there is no run {run_id!r} in {database}.")
        samples = connection.execute(
            "SELECT pool, count(*) FROM samples WHERE run_id = ? GROUP BY pool ORDER BY pool", [run_id]
        ).fetchall()
        rejects = connection.execute("SELECT count(*) FROM rejects WHERE run_id = ?", [run_id]).fetchall()
        reasons = connection.execute(
            "SELECT pool, reason, count(*) AS rejects FROM rejects WHERE run_id = ?"
            f" GROUP BY pool, reason ORDER BY rejects DESC, pool, reason LIMIT {_REJECT_REASONS}",
            [run_id],
        ).fetchall()
        verdicts = _verdicts(connection, run_id)
        attacks = _attacks(connection, run_id, verdicts)
        checks = connection.execute(
            'SELECT "check", attack, value, low, high, n, outcome, words FROM checks WHERE run_id = ?',
            [run_id],
        ).fetchall()
    return RunSummary(
        database=database,
        run=runs[0],
        samples=dict(samples),
        rejects=rejects[0][0],
        reject_reasons=[RejectReason(*reason) for reason in reasons],
        attacks=attacks,
        verdict=verdicts.get(None),
        checks=[CheckRow(*(_finite(value) for value in check)) for check in checks],
    )


def _runs(connection: duckdb.DuckDBPyConnection, which: str, parameters: list[str]) -> list[RunRow]:
    names = [column.name for column in dataclasses.fields(RunRow)]
    # A time with its zone would need pytz on its way into Python.
    columns = ", ".join(f"{name} AT TIME ZONE 'UTC'" if name in _TIMES else name for name in names)
    rows = connection.execute(f"SELECT {columns} FROM runs {which}", parameters).fetchall()
    return [RunRow(**_run_values(dict(zip(names, row, strict=True)))) for row in rows]


def _run_values(values: dict[str, Any]) -> dict[str, Any]:
    for name in _TIMES:
        values[name] = values[name] and values[name].replace(tzinfo=UTC)
    for name in _MAPPINGS:
        values[name] = json.loads(values[name] or "{}")
    return values


def _verdicts(connection: duckdb.DuckDBPyConnection, run_id: str) -> dict[str | None, VerdictRow]:
    rows = connection.execute(
        "SELECT attack, outcome, reasons FROM verdicts WHERE run_id = ?", [run_id]
    ).fetchall()
    return {attack: VerdictRow(outcome, list(reasons or [])) for attack, outcome, reasons in rows}


def _attacks(
    connection: duckdb.DuckDBPyConnection, run_id: str, verdicts: dict[str | None, VerdictRow]
) -> dict[str, AttackFigures]:
    scored = connection.execute(
        "SELECT DISTINCT attack FROM scores WHERE run_id = ? AND attack IS NOT NULL", [run_id]
    ).fetchall()
    metrics: dict[str, dict[str, Figure]] = {attack: {} for (attack,) in scored}
    for attack, metric, *figure in connection.execute(
        "SELECT attack, metric, value, low, high, n FROM metrics WHERE run_id = ? AND attack IS NOT NULL"
        " AND metric IS NOT NULL",
        [run_id],
    ).fetchall():
        metrics.setdefault(attack, {})[metric] = Figure(*(_finite(value) for value in figure))
    at_most = ", ".join(f"count(*) FILTER (p_value <= {level})" for level in LOW_P_VALUES)
    counts = {
        attack: (compared, dict(zip(LOW_P_VALUES, low, strict=True)))
        for attack, compared, *low in connection.execute(
            f"SELECT attack, count(*), {at_most} FROM scores"
            " WHERE run_id = ? AND p_value IS NOT NULL GROUP BY attack",
            [run_id],
        ).fetchall()
    }
    none = (0, dict.fromkeys(LOW_P_VALUES, 0))
    return {
        attack: _figures(metrics[attack], *counts.get(attack, none), verdicts.get(attack))
        for attack in sorted(metrics)
    }


def _figures(
    metrics: dict[str, Figure], compared: int, low_p_values: dict[str, int], verdict: VerdictRow | None
) -> AttackFigures:
    rates = {rate: f"tpr_at_fpr_{rate}" for rate in FALSE_POSITIVE_RATES}
    known = {"auc", "balanced_accuracy", *rates.values(), *COMPARED_FIGURES}
    value = {name: figure.value for name, figure in metrics.items()}
    return AttackFigures(
        auc=value.get("auc"),
        balanced_accuracy=value.get("balanced_accuracy"),
        tpr_at_fpr={rate: value.get(name) for rate, name in rates.items()},
        facts={name: fact for name, fact in sorted(value.items()) if name not in known and fact is not None},
        compared=compared,
        low_p_values=low_p_values,
        figures={name: figure for name, figure in metrics.items() if name in known},
        verdict=verdict,
    )


def _finite(value: Any) -> Any:
    """A value from the database; None in place of what is no number."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _some(run_ids: list[str]) -> str:
    more = ", ..." if len(run_ids) > _RUNS_NAMED else ""
    return ", ".join(run_ids[:_RUNS_NAMED]) + more
