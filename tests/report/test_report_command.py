from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.conftest import FinishedRun
from tests.report.conftest import StoreRun

TuiMia = Callable[..., subprocess.CompletedProcess[str]]


def test_the_command_writes_a_file_and_says_which(
    store_run: StoreRun, tmp_path: Path, tui_mia: TuiMia
) -> None:
    completed = tui_mia("report", "latest", "--db", store_run(), cwd=tmp_path)
    assert completed.returncode == 0, completed.stderr
    assert completed.stdout == ""
    assert completed.stderr == "wrote run-a.html\n"
    assert (tmp_path / "run-a.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    again = tui_mia("report", "latest", "--db", tmp_path / "audits.duckdb", cwd=tmp_path)
    assert again.returncode == 1
    assert "--force" in again.stderr


def test_a_dash_is_stdout_in_the_format_asked_for(store_run: StoreRun, tui_mia: TuiMia) -> None:
    database = store_run()
    as_json = tui_mia("report", "run-a", "-", "--format", "json", "--db", database, "--samples", 3)
    assert len(json.loads(as_json.stdout)["exposed"]) == 3
    assert as_json.stderr == ""
    assert tui_mia("report", "run-a", "-", "--db", database).stdout.startswith("<!DOCTYPE html>")


def test_a_name_that_says_no_format_is_refused(store_run: StoreRun, tmp_path: Path, tui_mia: TuiMia) -> None:
    completed = tui_mia("report", "run-a", tmp_path / "a.pdf", "--db", store_run())
    assert completed.returncode == 1
    assert ".html, .md or .json" in completed.stderr
    assert not (tmp_path / "a.pdf").exists()


def test_a_real_run_has_a_report_with_its_pictures(
    finished_run: FinishedRun, tmp_path: Path, tui_mia: TuiMia
) -> None:
    output = tmp_path / "real.html"
    completed = tui_mia("report", finished_run.run_id, output, "--db", finished_run.database)
    assert completed.returncode == 0, completed.stderr
    document = output.read_text(encoding="utf-8")
    assert document.count("data:image/jpeg;base64,") == 12
    assert "No picture" not in document
