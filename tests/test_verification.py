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


# Each is of a row of its own, and says how the difference is named.
CHANGES = {
    "UPDATE metrics SET value = 0.9 WHERE metric = 'auc' AND attack = 'csa'": ("metrics", "csa auc", "value"),
    "UPDATE verdicts SET outcome = 'no evidence' WHERE attack IS NULL": ("verdicts", "run", "outcome"),
    "UPDATE checks SET words = 'all is well' WHERE \"check\" = 'power'": ("checks", "power", "words"),
    "UPDATE scores SET q_value = 0.0001 WHERE q_value > 0.5 AND attack = 'csa'": ("scores", "csa", "q_value"),
    "INSERT INTO verdicts SELECT run_id, 'evil', 'leak', [] FROM runs": ("verdicts", "evil", None),
    "DELETE FROM metrics WHERE metric = 'auc' AND attack = 'aea'": ("metrics", "aea auc", None),
}


@pytest.fixture(scope="module")
def differences_of_all_changes(
    finished_run: Any, tmp_path_factory: pytest.TempPathFactory, tui_mia: TuiMia
) -> list[tuple[str, str, str | None]]:
    """The differences after all of the changes together: one verification tells of every one."""
    database = tmp_path_factory.mktemp("changed") / "audits.duckdb"
    shutil.copy(finished_run.database, database)
    for sql in CHANGES:
        change(database, sql)
    return differences(tui_mia("verify", "latest", "--db", database, "--json"))


def differences(completed: subprocess.CompletedProcess[str]) -> list[tuple[str, str, str | None]]:
    """Table, row and column of each difference that a verification found."""
    assert completed.returncode == 1, completed.stderr
    document = json.loads(completed.stdout)
    return [(each["table"], each["row"], each["column"]) for each in document["differences"]]


@pytest.mark.parametrize("sql", CHANGES)
def test_a_figure_that_does_not_follow_is_named(
    sql: str, differences_of_all_changes: list[tuple[str, str, str | None]]
) -> None:
    assert CHANGES[sql] in differences_of_all_changes


def test_no_figure_that_follows_is_named(
    differences_of_all_changes: list[tuple[str, str, str | None]],
) -> None:
    assert sorted(differences_of_all_changes, key=str) == sorted(CHANGES.values(), key=str)


def test_a_figure_without_any_scores_does_not_follow(copied: Path, tui_mia: TuiMia) -> None:
    change(copied, "DELETE FROM scores")
    found = differences(tui_mia("verify", "latest", "--db", copied, "--json"))
    assert ("verdicts", None) in {(table, column) for table, _, column in found}


def test_a_changed_score_shows_in_every_figure_that_follows_from_it(copied: Path, tui_mia: TuiMia) -> None:
    change(copied, "UPDATE scores SET score = -score WHERE attack = 'csa'")
    completed = tui_mia("verify", "latest", "--db", copied)
    assert completed.returncode == 1
    assert "differs metrics.csa auc.value" in completed.stdout
    assert "does not follow" in completed.stderr


def test_a_run_with_an_attack_that_is_no_longer_installed_is_verified(copied: Path, tui_mia: TuiMia) -> None:
    change(copied, "UPDATE runs SET spec = spec || chr(10) || '[attacks.gone]' || chr(10) || 'depth = 3'")
    completed = tui_mia("verify", "latest", "--db", copied)
    assert completed.returncode == 0, completed.stderr


def test_a_run_that_is_not_there_is_named(copied: Path, tui_mia: TuiMia) -> None:
    completed = tui_mia("verify", "no-such-run", "--db", copied)
    assert completed.returncode == 1
    assert "no-such-run" in completed.stderr
