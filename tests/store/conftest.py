"""Small runs as they lie in a run directory, and databases made from them."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tui_mia.runs.tables import TABLES
from tui_mia.store import RunRow, ingest

Rows = list[dict[str, Any]]

POOLS = {"candidates": 6, "nonmembers": 4, "general": 2}


def standard_rows() -> dict[str, Rows]:
    """Twelve samples in three pools, two attacks (one with p-values), three views and three rejects."""
    samples: Rows = []
    similarities: Rows = []
    scores: Rows = []
    for pool, size in POOLS.items():
        for number in range(size):
            sample_id = f"{pool}-{number}"
            member = number % 2 == 0 if pool == "candidates" else None
            cosine = 0.2 + 0.01 * number + (0.1 if member else 0.0)
            samples.append(
                {
                    "sample_id": sample_id,
                    "pool": pool,
                    "key": f"{number:05}",
                    "source": f"{pool}.tar",
                    "caption": f"a photo of {number} things",
                    "member": member,
                    "width": 64,
                    "height": 48,
                    "metadata": "{}",
                }
            )
            similarities += [
                {"sample_id": sample_id, "view": view, "cosine": cosine - 0.01 * view} for view in range(3)
            ]
            if pool != "general":
                scores += [
                    {
                        "sample_id": sample_id,
                        "attack": "csa",
                        "score": cosine,
                        "p_value": 0.04,
                        "q_value": 0.05,
                    },
                    {"sample_id": sample_id, "attack": "aea", "score": 3 * cosine},
                ]
    rates = {"tpr_at_fpr_0.1": 0.5, "tpr_at_fpr_0.01": 0.25, "tpr_at_fpr_0.001": None}
    metrics: Rows = [
        {"attack": attack, "metric": metric, "value": value, "low": None, "high": None, "n": 6}
        for attack in ("csa", "aea")
        for metric, value in {"auc": 0.75, "balanced_accuracy": 0.7, "lambda": 1.5, **rates}.items()
    ]
    pools: Rows = [
        {"pool": pool, "source": f"{pool}.tar", "fingerprint": "f", "samples": size, "rejects": 1}
        for pool, size in POOLS.items()
    ]
    rejects: Rows = [
        {"pool": pool, "source": f"{pool}.tar", "key": key, "reason": reason}
        for pool, key, reason in [
            ("candidates", "00007", "not an image"),
            ("candidates", "00008", "not an image"),
            ("general", "00002", "no caption"),
        ]
    ]
    return {
        "pools": pools,
        "samples": samples,
        "similarities": similarities,
        "scores": scores,
        "metrics": metrics,
        "rejects": rejects,
    }


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "audits.duckdb"


def numbered(rows: dict[str, Rows]) -> dict[str, Rows]:
    """The rows with the numbers of their samples, in the order of the samples."""
    numbers = {sample["sample_id"]: number for number, sample in enumerate(rows.get("samples", []))}
    return {
        table: [{**row, "number": numbers.get(row["sample_id"])} for row in table_rows]
        if "number" in TABLES[table].names
        else table_rows
        for table, table_rows in rows.items()
    }


def write_rows(folder: Path, **rows: Rows) -> Path:
    folder.mkdir(parents=True)
    for table, table_rows in numbered(rows).items():
        pq.write_table(pa.Table.from_pylist(table_rows, schema=TABLES[table]), folder / f"{table}.parquet")
    return folder


def run_row(run_id: str = "run-a", day: int = 0, **columns: Any) -> RunRow:
    created = datetime(2026, 1, 1, 12, tzinfo=UTC) + timedelta(days=day)
    return RunRow(**{"run_id": run_id, "status": "done", "created_at": created, **columns})


@pytest.fixture
def write_tables(tmp_path: Path) -> Callable[..., Path]:
    """Write rows as the Parquet tables of a run directory, and return its folder `tables`."""
    return lambda directory="run", **rows: write_rows(tmp_path / directory / "tables", **rows)


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """The tables of the standard run."""
    return write_rows(tmp_path / "run" / "tables", **standard_rows())


@pytest.fixture
def make_run() -> Callable[..., RunRow]:
    """A row of `runs`; a later `day` makes a newer run."""
    return run_row


@pytest.fixture(scope="session")
def finished_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    tables = write_rows(folder / "tables", **standard_rows())
    ingest(folder / "audits.duckdb", run_row(seconds={"encode": 2.5}, run_directory="/runs/a"), tables)
    return folder / "audits.duckdb"


@pytest.fixture
def one_run(finished_database: Path, database: Path) -> Path:
    """A database with the standard run as `run-a`."""
    return Path(shutil.copy(finished_database, database))


HOLD_THE_FILE = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "reader")
print("held", flush=True)
sys.stdin.readline()
connection.close()
print("free", flush=True)
"""


@pytest.fixture
def hold() -> Iterator[Callable[[Path, str], Popen[str]]]:
    """Let another process hold a database as its `reader` or `writer`, until it gets a line."""
    children = []

    def start(database: Path, role: str) -> Popen[str]:
        command = [sys.executable, "-c", HOLD_THE_FILE, str(database), role]
        child = Popen(command, stdin=PIPE, stdout=PIPE, text=True)
        children.append(child)
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        return child

    yield start
    for child in children:
        child.communicate("\n" if child.poll() is None else None)
