"""One run that is killed three times on its way; `kill_runs.py` does the same at random moments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.reliability.killing import (
    Audit,
    Command,
    Kill,
    KillAt,
    KillBeforeRename,
    differences,
    finished_parts,
    gone_on_with,
    killed,
)
from tui_mia.runs import RunDirectory


def test_a_run_that_is_killed_three_times_ends_as_one_that_nobody_disturbed(
    small_audit: Path, tmp_path: Path, finished_run: Any
) -> None:
    folder = tmp_path / "killed"
    folder.mkdir()
    audit = Audit(small_audit, folder / "audits.duckdb")
    attempts: list[tuple[Command, Kill]] = [
        ("run", KillAt("both", "encode", 0.3)),
        # With its parts and three tables in their place.
        ("resume", KillBeforeRename("worker", 2 * 3 + 3)),
        ("run", KillAt("front end", "landing", 0.0)),
    ]
    for command, kill in attempts:
        parts = finished_parts(audit)
        assert killed(audit, command, kill)
        assert finished_parts(audit).items() >= parts.items()
    gone_on_with(audit, "resume")
    assert differences(audit, Audit(finished_run.spec_path, finished_run.database)) == []


def test_what_a_kill_leaves_unfinished_is_swept_away_by_the_next_worker(finished_run: Any) -> None:
    directory: RunDirectory = finished_run.directory
    for folder in (directory.parts, directory.tables):
        (folder / "half.parquet.tmp").write_bytes(b"PAR1")
    kept = sorted(directory.path.rglob("*.parquet"))
    directory.sweep()
    assert list(directory.path.rglob("*.tmp")) == []
    assert sorted(directory.path.rglob("*.parquet")) == kept
