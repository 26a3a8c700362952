"""Several processes at one database at once: everybody waits for their turn, and nobody fails."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tui_mia.exit_codes import ExitCode
from tui_mia.runs import RunDirectory
from tui_mia.store import list_runs, query


def command(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tui_mia", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_runs_that_end_at_once_both_land_while_others_read(
    copied_run: RunDirectory, tui_mia: Any
) -> None:
    database = copied_run.database
    runs = [copied_run]
    for number in (1, 2):
        runs.append(RunDirectory(copied_run.path.with_name(f"{copied_run.run_id}{number}")))
        shutil.copytree(copied_run.path, runs[-1].path)
    assert tui_mia("ingest", runs[0].path).returncode == ExitCode.DONE
    at_once = [command("ingest", run.path) for run in runs[1:]]
    at_once += [command("query", "SELECT run_id FROM runs", "--json", "--db", database) for _ in range(2)]
    for process in at_once:
        printed, said = process.communicate(timeout=60)
        assert process.returncode == ExitCode.DONE, said
        if printed:
            assert {"run_id": copied_run.run_id} in json.loads(printed)
    assert {overview.run.run_id for overview in list_runs(database)} == {run.run_id for run in runs}
    with query(database, "SELECT DISTINCT count(*) FROM scores GROUP BY run_id") as counts:
        assert len(list(counts)) == 1


HOLD = "import sys, duckdb; c = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.readline()"


def test_a_database_that_stays_locked_is_exit_3_with_the_run_kept_and_the_command_to_finish(
    copied_run: RunDirectory, tui_mia: Any
) -> None:
    assert tui_mia("ingest", copied_run.path).returncode == ExitCode.DONE
    copied_run.landed_path.unlink()
    database = copied_run.database
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(database)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    impatient = (
        "import sys; from tui_mia.store import connect; connect.WAIT_SECONDS = 0.5; "
        "from tui_mia.cli import main; main()"
    )
    locked = subprocess.run(
        [sys.executable, "-c", impatient, "ingest", str(copied_run.path)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert locked.returncode == ExitCode.LOCKED
    assert f"{database} is held by process {holder.pid}" in locked.stderr
    assert locked.stderr.endswith(f"then run `tui-mia ingest {copied_run.path}`.\n")
    holder.communicate("\n")
    assert tui_mia("ingest", copied_run.path).returncode == ExitCode.DONE
    assert Path(copied_run.landed_path).exists()
