"""`tui-mia verify`: what is stored leads to what is stored, and a changed number is found out."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

TuiMia = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def copied(finished_run: Any, tmp_path: Path) -> Path:
    database = tmp_path / "audits.duckdb"
    shutil.copy(finished_run.database, database)
    return database


def change(database: Path, sql: str) -> None:
    with duckdb.connect(database) as connection:
        connection.execute(sql)


def test_what_was_just_audited_is_verified(copied: Path, tui_mia: TuiMia) -> None:
    completed = tui_mia("verify", "latest", "--db", copied)
    assert completed.returncode == 0, completed.stderr
    assert "none with a difference" in completed.stdout


@pytest.mark.parametrize(
    ("sql", "table", "column"),
    [
        (
            "UPDATE metrics SET value = 0.9 WHERE metric = 'auc' AND attack = 'csa'",
            "metrics",
            "value",
        ),
        ("UPDATE verdicts SET outcome = 'no evidence' WHERE attack IS NULL", "verdicts", "outcome"),
        ("UPDATE checks SET words = 'all is well' WHERE \"check\" = 'power'", "checks", "words"),
        ("UPDATE scores SET q_value = 0.0001 WHERE q_value > 0.5", "scores", "q_value"),
        (
            "INSERT INTO verdicts SELECT run_id, 'evil', 'leak', [] FROM runs",
            "verdicts",
            None,
        ),
        ("DELETE FROM scores", "verdicts", None),
        ("DELETE FROM metrics WHERE metric = 'auc' AND attack = 'csa'", "metrics", None),
    ],
)
def test_a_figure_that_does_not_follow_is_named_and_fails(
    sql: str, table: str, column: str | None, copied: Path, tui_mia: TuiMia
) -> None:
    change(copied, sql)
    completed = tui_mia("verify", "latest", "--db", copied, "--json")
    assert completed.returncode == 1
    document = json.loads(completed.stdout)
    assert (table, column) in {(each["table"], each["column"]) for each in document["differences"]}


def test_a_changed_score_shows_in_every_figure_that_follows_from_it(copied: Path, tui_mia: TuiMia) -> None:
    change(copied, "UPDATE scores SET score = -score WHERE attack = 'csa'")
    completed = tui_mia("verify", "latest", "--db", copied)
    assert completed.returncode == 1
    assert "differs metrics.csa auc.value" in completed.stdout
    assert "does not follow" in completed.stderr


def test_a_run_that_is_not_there_is_named(copied: Path, tui_mia: TuiMia) -> None:
    completed = tui_mia("verify", "no-such-run", "--db", copied)
    assert completed.returncode == 1
    assert "no-such-run" in completed.stderr
