"""Tasks of an array encode a share each of one run, in any order, and whoever resumes it finds all parts."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.crew.conftest import Audit
from tests.crew.test_processes import Dying
from tui_mia.exit_codes import ExitCode
from tui_mia.runs import RunDirectory, RunDirectoryError
from tui_mia.runs.opening import open_again, open_run
from tui_mia.runs.tasks import open_task, task_of, tasks_of
from tui_mia.spec import load_spec


def task(audit: Audit, index: int, environment: dict[str, str] | None = None) -> int:
    """Do one of four tasks; its exit code."""
    completed = audit.run("--task-index", index, "--task-count", 4, **(environment or {}))
    if completed.stdout:
        said = json.loads(completed.stdout)
        assert (said["task_index"], said["task_count"]) == (index, 4)
        assert said["run_id"] == audit.directory.run_id
    return completed.returncode


def test_four_tasks_of_which_one_is_killed_leave_what_one_encoder_does(
    crew_audit: Audit, by_one: dict[str, bytes], dying: Dying
) -> None:
    with ThreadPoolExecutor(2) as two_at_once:
        # Both want to make the run: it is one run all the same.
        codes = list(two_at_once.map(lambda index: task(crew_audit, index), (3, 1)))
    assert codes == [0, 0]
    # Of eleven shards in all the third of the candidates is the first of task 2.
    assert task(crew_audit, 2, dying("candidates 2", "task")) == ExitCode.FAILED
    assert task(crew_audit, 0) == 0
    resumed = crew_audit.run("resume", crew_audit.directory.run_id)
    assert resumed.returncode == 0, resumed.stderr
    assert crew_audit.left() == by_one
    assert len(tasks_of(crew_audit.directory)) == 4
    encoded = {index: len(list(_shards_of(crew_audit.directory, index))) for index in range(4)}
    assert encoded == {0: 3, 1: 3, 2: 0, 3: 2}


def _shards_of(directory: RunDirectory, index: int) -> list[str]:
    lines = (directory.parts / f"index-task-{index}.jsonl").read_text().splitlines()
    return [line for line in lines if '"shard"' in line]


def test_while_tasks_are_at_work_nobody_goes_on_with_their_run(crew_audit: Audit) -> None:
    spec = load_spec(crew_audit.spec, {"output.database": str(crew_audit.database)})
    first = open_task(spec, 0, 2)
    with first.claim() as claimed:
        assert claimed is not None
        with pytest.raises(RunDirectoryError, match=r"task 0 of 2 of run .* goes on already"):
            open_task(spec, 0, 2)
        with pytest.raises(RunDirectoryError, match=r"tasks of run .* are still encoding: 0 of 2; wait"):
            open_again(RunDirectory(first.path))
        with pytest.raises(RunDirectoryError, match="still encoding"):
            open_run(spec, new=False)
        assert open_task(spec, 1, 2).path == first.path
    assert open_run(spec, new=False).directory.path == first.path


def test_a_task_leaves_a_run_alone_that_has_a_worker(crew_audit: Audit) -> None:
    spec = load_spec(crew_audit.spec, {"output.database": str(crew_audit.database)})
    run = open_run(spec, new=True).directory
    with run.claim() as claimed:
        assert claimed is not None
        with pytest.raises(RunDirectoryError, match="goes on without tasks"):
            open_task(spec, 0, 2)


def test_what_a_task_is_writing_is_swept_by_nobody_but_the_run(crew_audit: Audit) -> None:
    spec = load_spec(crew_audit.spec, {"output.database": str(crew_audit.database)})
    first = open_task(spec, 0, 2)
    half = first.parts / "candidates-000000-000000.parquet.1234.tmp"
    half.write_bytes(b"PAR1")
    task_of(RunDirectory(first.path), 1, 2).sweep()
    assert half.exists()
    RunDirectory(first.path).sweep()
    assert not half.exists()


@pytest.mark.parametrize(
    "wrong",
    [
        ("--task-index", "4", "--task-count", "4"),
        ("--task-index", "0"),
        ("--task-count", "4"),
        ("--task-index", "0", "--task-count", "2", "--new"),
    ],
)
def test_tasks_that_are_none_are_refused_before_there_is_a_run(
    crew_audit: Audit, wrong: tuple[str, ...]
) -> None:
    completed = crew_audit.run(*wrong)
    assert completed.returncode == ExitCode.USAGE
    assert "--task-index" in completed.stderr or "--new" in completed.stderr
    assert not crew_audit.database.with_name("audits.duckdb.runs").exists()
