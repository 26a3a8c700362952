"""Files that can't grow, as on a full disk: what is said, and that nothing is lost.

A limit of the size of files stands in for the disk: `fill_disks.py` does the same with real ones.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tui_mia.exit_codes import ExitCode
from tui_mia.runs import RunDirectory
from tui_mia.runs.directory import runs_folder
from tui_mia.store import list_runs, query


def files_up_to(size: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def test_a_run_without_space_says_how_much_and_where_and_goes_on_when_there_is_some(
    small_audit: Path, tmp_path: Path, finished_run: Any, tui_mia: Any
) -> None:
    database = tmp_path / "audits.duckdb"
    # Less than a part, and more than what the run says of itself.
    full = tui_mia("run", small_audit, "--db", database, "--quiet", preexec_fn=files_up_to(60_000))
    (folder,) = runs_folder(database).iterdir()
    directory = RunDirectory.open(folder)
    assert full.returncode == ExitCode.FAILED
    reason = f"run {folder.name} failed: {folder}: a file may not be that large (see `ulimit -f`): "
    assert full.stderr.startswith(f"tui-mia: {reason}")
    assert " free, about 4." in full.stderr
    assert full.stderr.endswith(f"`tui-mia resume {folder.name}` goes on with what it had encoded\n")
    assert list(directory.path.rglob("*.tmp")) == []
    assert not database.exists()

    done = tui_mia("run", small_audit, "--db", database)
    assert done.returncode == ExitCode.DONE, done.stderr
    assert f"resuming run {folder.name} of the same spec" in done.stderr
    for table in ("samples", "similarities", "scores", "metrics"):
        ours, theirs = (run.tables / f"{table}.parquet" for run in (directory, finished_run.directory))
        assert ours.read_bytes() == theirs.read_bytes()
    assert [overview.run.status for overview in list_runs(database)] == ["done"]


def ingested(directory: RunDirectory, size: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tui_mia", "ingest", str(directory.path)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, preexec_fn=files_up_to(size)
    )


def test_a_database_that_can_not_grow_keeps_what_it_had(copied_run: RunDirectory, tui_mia: Any) -> None:
    database = copied_run.database
    for size in (100_000, 1_000_000, 2_000_000):  # it can't be made, filled, or written to its end
        full = ingested(copied_run, size)
        assert full.returncode == ExitCode.FAILED
        assert full.stderr.startswith(f"tui-mia: {database.parent}: a file may not be that large")
        assert f"needed for {database.name}, which is as it was" in full.stderr
        assert full.stderr.endswith(f"then run `tui-mia ingest {copied_run.path}`.\n")
        assert not database.exists() or list_runs(database) == []
    assert tui_mia("ingest", copied_run.path).returncode == ExitCode.DONE

    before = rows(database)
    ingested(copied_run, database.stat().st_size)
    assert rows(database) == before
    assert tui_mia("ingest", copied_run.path).returncode == ExitCode.DONE
    assert rows(database) == before
    left = {path.name for path in database.parent.iterdir()}
    assert left == {database.name, runs_folder(database).name}


def rows(database: Path) -> list[tuple[Any, ...]]:
    with query(database, "FROM sample_scores ORDER BY ALL") as result:
        return list(result)
