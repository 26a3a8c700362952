"""Every command says the same of a run, whether its scores are in a table or in Parquet files."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tui_mia.store import RunRow, delete_run, ingest

TuiMia = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def both(finished_run: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The database of a real run, and the same converted."""
    folders = [tmp_path_factory.mktemp(name) for name in ("table", "parquet")]
    table, parquet = (
        Path(shutil.copy(finished_run.database, folder / "audits.duckdb")) for folder in folders
    )
    ingest(parquet, RunRow(run_id="no run", status="done"), folders[1], layout="parquet")
    delete_run(parquet, "no run")
    assert len(list(folders[1].rglob("*.parquet"))) == 2
    return table, parquet


@pytest.mark.parametrize(
    "command",
    [
        ("runs", "--json"),
        ("show", "latest"),
        ("query", "SELECT * FROM sample_scores ORDER BY number", "--json"),
        ("query", "SELECT attack, count(*), min(score), max(q_value) FROM scores GROUP BY ALL ORDER BY ALL"),
        ("query", "SELECT view, count(*), max(cosine) FROM similarities GROUP BY ALL ORDER BY ALL"),
        ("verify", "latest", "--json"),
    ],
    ids=lambda command: " ".join(command)[:30],
)
def test_a_command_says_the_same_of_both_layouts(
    both: tuple[Path, Path], tui_mia: TuiMia, command: tuple[str, ...]
) -> None:
    table, parquet = (tui_mia(*command, "--db", database) for database in both)
    assert table.returncode == parquet.returncode == 0, parquet.stderr
    assert parquet.stdout.replace(str(both[1]), str(both[0])) == table.stdout
    assert table.stdout


def test_reports_are_the_same_of_both_layouts(both: tuple[Path, Path], tui_mia: TuiMia) -> None:
    texts = []
    for database in both:
        output = database.with_name("report.html")
        completed = tui_mia("report", "latest", output, "--db", database)
        assert completed.returncode == 0, completed.stderr
        text = output.read_text().replace(str(database.parent), "")
        texts.append(re.sub(r"\d\d:\d\d:\d\d UTC</dd>", "", text))  # when it was written
    assert texts[0] == texts[1]


def test_a_run_is_exported_and_deleted(both: tuple[Path, Path], tui_mia: TuiMia, tmp_path: Path) -> None:
    lines = []
    for number, database in enumerate(both):
        output = tmp_path / f"{number}.csv"
        completed = tui_mia("export", "latest", output, "--table", "scores", "--db", database)
        assert completed.returncode == 0, completed.stderr
        lines.append(sorted(output.read_text().splitlines()))
    assert lines[0] == lines[1]
    copied = tmp_path / "copied"
    shutil.copytree(both[1].parent, copied)
    completed = tui_mia("delete", "latest", "--yes", "--db", copied / "audits.duckdb")
    assert completed.returncode == 0, completed.stderr
    assert not list(copied.rglob("*.parquet"))


def test_a_run_lands_in_the_layout_that_its_spec_asks_for(
    finished_run: Any, tui_mia: TuiMia, tmp_path: Path
) -> None:
    (original,) = finished_run.database.with_name("audits.duckdb.runs").glob("*/")
    directory = tmp_path / "audits.duckdb.runs" / original.name
    shutil.copytree(original, directory)
    spec = directory / "spec.toml"
    spec.write_text(spec.read_text().replace('layout = "table"', 'layout = "parquet"'))
    database = tmp_path / "other.duckdb"
    completed = tui_mia("ingest", directory, "--db", database)
    assert completed.returncode == 0, completed.stderr
    assert len(list((tmp_path / "other.duckdb.data").rglob("*.parquet"))) == 2
    assert tui_mia("verify", "latest", "--db", database).returncode == 0
