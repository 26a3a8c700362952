"""The command as a user has it: in a process of its own, with the real model."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tui_mia.exit_codes import ExitCode

TuiMia = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def checked(finished_run: Any, tui_mia: TuiMia) -> dict[str, Any]:
    """The check of an audit, as JSON, in a database that has no run of it yet."""
    database = finished_run.database.with_name("none.duckdb")
    completed = tui_mia("check", finished_run.spec_path, "--db", database, "--json")
    assert completed.returncode == ExitCode.DONE, completed.stderr
    assert not database.exists()
    document: dict[str, Any] = json.loads(completed.stdout)
    return document


def test_the_counts_are_those_of_the_run(checked: dict[str, Any], finished_run: Any) -> None:
    kept = {name: pool["kept"] for name, pool in checked["pools"].items()}
    assert kept == finished_run.document["samples"]
    assert checked["can_run"]
    assert checked["complete"]
    assert checked["device"] == "cpu"


def test_the_estimates_are_near_what_the_run_took(checked: dict[str, Any], finished_run: Any) -> None:
    directory = finished_run.directory
    memory = max(getattr(event, "memory_bytes", None) or 0 for event in directory.events())
    assert memory / 2 < checked["memory"]["worker_bytes"] < memory * 2
    files = [*directory.parts.iterdir(), *directory.tables.iterdir()]
    # Small files are mostly headers.
    assert checked["disk_bytes"] < 3 * sum(path.stat().st_size for path in files) + 2**22
    assert checked["time"]["source"] == "measured"
    assert checked["time"]["encode_seconds"] > 0
    assert checked["time"]["rest_seconds"] > 0
    assert checked["time"]["total_seconds"] > checked["time"]["encode_seconds"]
    assert checked["work"] == {"pairs": 230, "images": 230 * 3, "captions": 230}


def test_the_model_is_described_and_its_weights_are_tried(checked: dict[str, Any]) -> None:
    model = checked["models"]["model"]
    assert (model["problem"], model["unknown"], model["loaded"]) == (None, None, True)
    assert (model["dimension"], model["image_size"], model["context_length"]) == (64, 64, 32)
    # Three layers of width 128 over 65 tokens: 12 width^2 multiplications a token and layer, and a few more.
    assert 2 * 3 * 65 * 12 * 128**2 < model["image_flops"] < 1.3 * 2 * 3 * 65 * 12 * 128**2
    assert model["activation_bytes"] > 32 * 3 * 64 * 64 * 4


def test_an_earlier_run_says_how_long_it_takes(finished_run: Any, tui_mia: TuiMia) -> None:
    completed = tui_mia("check", finished_run.spec_path, "--db", finished_run.database)
    assert completed.returncode == ExitCode.DONE, completed.stderr
    assert "going by an earlier run" in " ".join(completed.stdout.split())
    assert completed.stdout.splitlines()[-1].startswith("This audit can run (")
    assert max(map(len, completed.stdout.splitlines())) <= 80
    assert "\x1b" not in completed.stdout


def test_what_an_earlier_run_has_encoded_costs_nothing_and_its_rest_is_that_of_its_attacks_alone(
    finished_run: Any, tui_mia: TuiMia
) -> None:
    def time_of(*options: str) -> dict[str, Any]:
        completed = tui_mia(
            "check", finished_run.spec_path, "--db", finished_run.database, "--json", *options
        )
        assert completed.returncode == ExitCode.DONE, completed.stderr
        time: dict[str, Any] = json.loads(completed.stdout)["time"]
        assert time["source"] == "earlier runs"
        return time

    seconds = finished_run.document["seconds"]
    same = time_of()
    assert (same["reused"], same["encode_seconds"], same["rest_is_earlier"]) == (230, 0, True)
    rest = sum(seconds[phase] for phase in ("repeat", "sort", "attack", "check", "judge"))
    assert same["rest_seconds"] == pytest.approx(rest)
    other = time_of("--set", "attacks.aea.seed=1")
    assert (other["reused"], other["rest_is_earlier"]) == (0, False)
    assert other["encode_seconds"] == pytest.approx(seconds["encode"])


def test_names_that_open_clip_does_not_know_are_told_with_close_ones(
    small_audit: Path, tui_mia: TuiMia
) -> None:
    wrong = ("--model", "ViT-B-23", "--pretrained", "laion2b_s34b_b79k")
    reference = ("--reference", "ViT-B-32", "--reference-pretrained", "laion3b")
    completed = tui_mia("check", small_audit, *wrong, *reference, "--json")
    assert completed.returncode == ExitCode.USAGE
    document = json.loads(completed.stdout)
    problems = {each["section"]: each["words"] for each in document["findings"] if each["level"] == "problem"}
    assert "did you mean ViT-B-32" in problems["model"]
    assert "ViT-B-32 has no tag 'laion3b'" in problems["reference"]
    assert document["pools"]["candidates"]["kept"] == 70


def test_a_spec_that_is_wrong_is_told_as_by_run(tmp_path: Path, tui_mia: TuiMia) -> None:
    spec = tmp_path / "audit.toml"
    spec.write_text('[model]\narchitekture = "ViT-B-32"\n')
    checked, run = tui_mia("check", spec), tui_mia("run", spec)
    assert (checked.returncode, checked.stderr, checked.stdout) == (run.returncode, run.stderr, "")
    assert checked.returncode == ExitCode.USAGE


def test_weights_that_do_not_fit_are_found_before_a_run(
    small_audit: Path, world: Path, tui_mia: TuiMia
) -> None:
    weights = world / "models" / "target" / "open_clip_model.safetensors"
    completed = tui_mia("check", small_audit, "--model", "RN50", "--pretrained", weights)
    assert completed.returncode == ExitCode.USAGE
    assert "weights are not of this architecture" in " ".join(completed.stdout.split())
    assert completed.stdout.splitlines()[-1].startswith("This audit can't run (1 problem")


def test_control_c_ends_it_and_leaves_no_process(small_audit: Path) -> None:
    command = [sys.executable, "-m", "tui_mia", "check", str(small_audit)]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # As in a terminal: tests that run in the background are started with it ignored, and hand that on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stderr is not None
    assert re.match(r"(read|model) ", process.stderr.readline())
    children = psutil.Process(process.pid).children()
    assert len(children) == 1
    os.kill(process.pid, signal.SIGINT)
    printed, complaints = process.communicate(timeout=20)
    assert process.returncode == ExitCode.INTERRUPTED, complaints
    assert printed == ""
    assert "Traceback" not in complaints
    gone, alive = psutil.wait_procs(children, timeout=5)
    assert not alive
    assert len(gone) == 1
