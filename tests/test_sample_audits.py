"""Audits of the sample world by the real commands: a leak is found, and where there is none, none is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tui_mia.demo import sample_world
from tui_mia.store import query

ATTACKS = {"csa", "aea", "aea_standardised", "aea_mean", "wsa", "wsa_rich", "loss"}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("audits") / "audits.duckdb"


def tui_mia(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tui_mia", *arguments, "--json"]
    ran = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    document: dict[str, Any] = json.loads(ran.stdout)
    return document


@pytest.fixture(scope="module")
def target(database: Path) -> dict[str, Any]:
    return tui_mia("demo", "--db", str(database))


@pytest.fixture(scope="module")
def control(database: Path) -> dict[str, Any]:
    return tui_mia("demo", "--model", "control", "--db", str(database))


@pytest.fixture(scope="module")
def shifted_control(database: Path) -> dict[str, Any]:
    world = sample_world()
    keys = f"pools.candidates.keys={world / 'shifted' / 'candidates.txt'}"
    model = f"local-dir:{world / 'models' / 'control'}"
    spec = str(world / "audit.toml")
    return tui_mia("run", spec, "--model", model, "--set", keys, "--attacks", "csa", "--db", str(database))


def scores(database: Path, run_id: str, attack: str) -> tuple[np.ndarray[Any, Any], ...]:
    """Label, score and p-value of every candidate."""
    sql = (
        "SELECT member, score, p_value FROM scores JOIN samples USING (run_id, sample_id) "
        "WHERE run_id = ? AND attack = ? AND pool = 'candidates' ORDER BY sample_id"
    )
    with query(database, sql, [run_id, attack]) as rows:
        return tuple(np.array(column) for column in zip(*rows, strict=True))


def auc(member: np.ndarray[Any, Any], score: np.ndarray[Any, Any]) -> float:
    members, nonmembers = score[member][:, None], score[~member][None, :]
    return float(np.mean((members > nonmembers) + 0.5 * (members == nonmembers)))


def test_the_demo_finds_that_the_target_was_trained_on_the_members(target: dict[str, Any]) -> None:
    assert target["status"] == "done"
    assert target["samples"] == {"candidates": 1400, "general": 600, "nonmembers": 300}
    assert target["attacks"].keys() == ATTACKS
    for attack in ("csa", "aea_mean", "wsa", "wsa_rich", "loss"):
        assert target["attacks"][attack]["auc"] > 0.9, attack


def test_some_attack_finds_more_members_at_a_low_false_positive_rate_than_the_similarity_does(
    target: dict[str, Any],
) -> None:
    at_one_percent = {name: found["tpr_at_fpr"]["0.01"] for name, found in target["attacks"].items()}
    assert max(at_one_percent["loss"], at_one_percent["wsa_rich"]) > 1.25 * at_one_percent["csa"]


def test_a_rate_that_the_set_is_too_small_for_is_null(target: dict[str, Any]) -> None:
    assert {found["tpr_at_fpr"]["0.001"] for found in target["attacks"].values()} == {None}


def test_figures_follow_from_the_stored_scores(target: dict[str, Any], database: Path) -> None:
    for attack, found in target["attacks"].items():
        member, score, _ = scores(database, target["run_id"], attack)
        assert found["auc"] == pytest.approx(auc(member, score), abs=1e-9)


def test_a_model_that_saw_no_candidate_gives_every_attack_no_more_than_noise(control: dict[str, Any]) -> None:
    # One standard deviation of the AUC of 400 against 1,000 samples without signal is 0.017.
    assert control["attacks"].keys() == ATTACKS
    for attack, found in control["attacks"].items():
        assert abs(found["auc"] - 0.5) < 3.5 * 0.017, attack


@pytest.mark.parametrize("model", ["target", "control"])
@pytest.mark.parametrize("attack", sorted(ATTACKS))
def test_p_values_of_nonmembers_are_on_the_safe_side(
    model: str, attack: str, database: Path, request: pytest.FixtureRequest
) -> None:
    run = request.getfixturevalue(model)
    member, _, p_value = scores(database, run["run_id"], attack)
    for level in (0.05, 0.1, 0.2):
        # 300 known non-members place the level with this deviation, 1,000 candidates measure it with that.
        deviation = np.sqrt(level * (1 - level) * (1 / 300 + 1 / 1000))
        assert np.mean(p_value[~member] <= level) < level + 3 * deviation


def test_shifted_pools_look_like_a_leak_even_to_a_model_that_saw_neither(
    shifted_control: dict[str, Any], database: Path
) -> None:
    member, score, _ = scores(database, shifted_control["run_id"], "csa")
    draw = np.random.default_rng(0)
    members, nonmembers = np.flatnonzero(member), np.flatnonzero(~member)
    resampled = []
    for _ in range(500):
        rows = np.concatenate([draw.choice(members, len(members)), draw.choice(nonmembers, len(nonmembers))])
        resampled.append(auc(member[rows], score[rows]))
    assert np.quantile(resampled, 0.025) > 0.5
