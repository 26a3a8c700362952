"""Several encoder processes on one machine leave what one does, whoever of them dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from tests.crew.conftest import Audit
from tui_mia.exit_codes import ExitCode
from tui_mia.runs import Note, Progress, RunState

TWO = ("--set", 'run.devices=["cpu", "cpu"]')
Dying = Callable[..., dict[str, str]]
DEADLINE_SECONDS = 120.0


def notes(audit: Audit) -> list[str]:
    return [event.message for event in audit.directory.events() if isinstance(event, Note)]


def test_two_processes_of_which_one_is_killed_leave_what_one_does(
    crew_audit: Audit, by_one: dict[str, bytes], dying: Dying
) -> None:
    completed = crew_audit.run(*TWO, **dying("candidates 2", once=True))
    assert completed.returncode == 0, completed.stderr
    assert crew_audit.left() == by_one
    (killed,) = (note for note in notes(crew_audit) if "SIGKILL" in note)
    assert killed.endswith("(as the system does where memory runs out); it is started again")
    told = [event for event in crew_audit.directory.events() if isinstance(event, Progress) and event.devices]
    last = told[-1]
    assert [device.device for device in last.devices] == ["cpu-1", "cpu-2"]
    assert any(device.memory_bytes and device.per_second for device in last.devices)
    assert last.samples == 5 * 14 + 3 * 24 + 3 * 24
    assert sorted(path.name for path in crew_audit.directory.parts.glob("index*")) == [
        "index-cpu-1.jsonl",
        "index-cpu-2.jsonl",
    ]


def test_a_shard_that_kills_whoever_takes_it_is_named_and_the_rest_is_kept(
    crew_audit: Audit, by_one: dict[str, bytes], dying: Dying
) -> None:
    completed = crew_audit.run(*TWO, **dying("nonmembers 1"))
    assert completed.returncode == ExitCode.FAILED
    assert (
        "nonmembers 1 (nonmembers-1.tar): the process that encodes was killed by SIGKILL" in completed.stderr
    )
    assert "shards that could not be encoded: 1; all others are" in completed.stderr
    kept = crew_audit.left()
    assert {name for name in by_one if name not in kept and "00000" in name} == {
        "nonmembers-000001-000000.parquet",
        "rejects-nonmembers-000001-000000.parquet",
    }
    resumed = crew_audit.run("resume", crew_audit.directory.run_id)
    assert resumed.returncode == 0, resumed.stderr
    assert crew_audit.left() == by_one
    scores = pq.read_table(crew_audit.directory.tables / "scores.parquet", columns=["attack", "number"])
    assert scores.group_by(["attack", "number"]).aggregate([]).num_rows == scores.num_rows


def test_encoders_end_with_the_worker_that_is_killed_and_the_run_goes_on(
    crew_audit: Audit, by_one: dict[str, bytes]
) -> None:
    command = [sys.executable, "-m", "tui_mia", "run", str(crew_audit.spec), *TWO]
    front_end = subprocess.Popen(
        [*command, "--db", str(crew_audit.database), "--quiet"], stderr=subprocess.DEVNULL
    )
    encoders: list[psutil.Process] = []
    until = time.monotonic() + DEADLINE_SECONDS
    while len(encoders) < 2:
        assert time.monotonic() < until
        time.sleep(0.02)
        children = psutil.Process(front_end.pid).children(recursive=True)
        encoders = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
    worker = crew_audit.directory.worker()
    assert worker is not None
    os.kill(worker, signal.SIGKILL)
    _, alive = psutil.wait_procs(encoders, timeout=DEADLINE_SECONDS)
    assert not alive
    assert front_end.wait(DEADLINE_SECONDS) == ExitCode.FAILED
    completed = crew_audit.run(*TWO)
    assert completed.returncode == 0, completed.stderr
    assert crew_audit.left() == by_one


def test_another_number_of_threads_changes_the_last_digits_at_most(
    crew_audit: Audit, by_one: dict[str, bytes], tmp_path: Path
) -> None:
    completed = crew_audit.run("--set", "run.threads=2")
    assert completed.returncode == 0, completed.stderr
    (tmp_path / "one.parquet").write_bytes(by_one["similarities.parquet"])
    one = pq.read_table(tmp_path / "one.parquet")
    two = pq.read_table(crew_audit.directory.tables / "similarities.parquet")
    assert one["sample_id"].equals(two["sample_id"])
    assert two["cosine"].to_numpy() == pytest.approx(one["cosine"].to_numpy(), abs=1e-6)


def test_a_model_that_no_encoder_can_load_ends_the_run_with_its_words(
    crew_audit: Audit, tmp_path: Path
) -> None:
    (tmp_path / "weights.pt").write_bytes(b"PK no weights")
    completed = crew_audit.run(
        *TWO, "--model", "ViT-B-32", "--pretrained", tmp_path / "weights.pt", "--attacks", "csa"
    )
    assert completed.returncode == ExitCode.FAILED
    finished = RunState.of(crew_audit.directory.events()).finished
    assert finished is not None
    assert finished.error is not None
    assert "weights.pt: " in finished.error
    assert "no encoder is left" not in finished.error
