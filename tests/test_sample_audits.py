"""Audits of the sample world by the real commands: a leak is found, and where there is none, none is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest

from tui_mia.demo import sample_world
from tui_mia.store import query

Audit: TypeAlias = Callable[..., dict[str, Any]]

SHIFTED = ("--set", f"pools.candidates.keys={sample_world() / 'shifted' / 'candidates.txt'}")
# The plain similarity looks at no general pair: a few are enough, and are quick.
QUICK = ("--attacks", "csa", "--set", "pools.general.limit=50")
# Tests run side by side: two threads for each on as many cores only wait for one another.
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}
ATTACKS = {"csa", "aea", "aea_standardised", "aea_mean", "wsa", "wsa_rich", "loss"}


def sample_model(name: str) -> str:
    return f"local-dir:{sample_world() / 'models' / name}"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("audits") / "audits.duckdb"


def tui_mia(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tui_mia", *arguments, "--json"]
    ran = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=ONE_THREAD)
    document: dict[str, Any] = json.loads(ran.stdout)
    return document


@pytest.fixture(scope="module")
def target(database: Path) -> dict[str, Any]:
    return tui_mia("demo", "--db", str(database))


@pytest.fixture(scope="module")
def control(database: Path) -> dict[str, Any]:
    return tui_mia("demo", "--model", "control", "--db", str(database))


@pytest.fixture(scope="module")
def audit(database: Path) -> Audit:
    """Audits the sample world by the plain similarity, which is quick, with options over its spec."""
    spec = str(sample_world() / "audit.toml")
    return lambda *options: tui_mia("run", spec, *QUICK, "--db", str(database), *options)


@pytest.fixture(scope="module")
def shifted_control(audit: Audit) -> dict[str, Any]:
    return audit("--model", sample_model("control"), *SHIFTED)


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


def test_a_model_that_was_trained_on_the_members_is_a_leak(target: dict[str, Any]) -> None:
    assert target["verdict"]["outcome"] == "leak"
    assert {found["verdict"] for found in target["attacks"].values()} == {"leak"}
    assert "not excluded" in " ".join(target["verdict"]["reasons"])
    low, high = target["attacks"]["csa"]["interval"]
    assert low < target["attacks"]["csa"]["auc"] < high
    assert target["blind"].keys() == {
        "caption_ngrams",
        "caption_form",
        "image_form",
        "image_statistics",
        "all",
    }
    assert all(found["interval"][0] < 0.5 for found in target["blind"].values())


def test_a_model_that_saw_no_candidate_is_no_evidence(control: dict[str, Any]) -> None:
    assert control["verdict"]["outcome"] == "no evidence"
    assert {found["verdict"] for found in control["attacks"].values()} == {"no evidence"}


def test_the_negative_control_of_the_sample_world_finds_no_defect(
    target: dict[str, Any], control: dict[str, Any]
) -> None:
    for document in (target, control):
        found = [check for check in document["checks"] if check["check"] == "negative_control"]
        assert {check["attack"] for check in found} == ATTACKS
        assert {check["outcome"] for check in found} == {"ok"}
        assert [check["outcome"] for check in document["checks"] if "stability" in check["check"]] == [
            "ok"
        ] * 3


def test_shifted_pools_are_seen_to_be_shifted(shifted_control: dict[str, Any]) -> None:
    assert shifted_control["verdict"]["outcome"] == "inconclusive: distribution shift"
    assert shifted_control["blind"]["caption_ngrams"]["auc"] > 0.9


def test_on_shifted_pools_a_leak_is_found_with_a_reference_and_never_by_the_raw_figure(audit: Audit) -> None:
    alone = audit(*SHIFTED)
    assert alone["attacks"]["csa"]["auc"] > 0.95
    assert alone["verdict"]["outcome"] == "inconclusive: distribution shift"
    beside = audit(*SHIFTED, "--reference", sample_model("reference"))
    assert beside["verdict"]["outcome"] == "leak"
    assert beside["attacks"]["csa"]["figures"]["auc_above_reference"]["low"] > 0.1
    assert beside["attacks"]["csa_calibrated"]["verdict"] == "leak"


def test_a_reference_that_saw_as_little_as_the_model_shows_no_leak_on_shifted_pools(audit: Audit) -> None:
    document = audit("--model", sample_model("control"), "--reference", sample_model("reference"), *SHIFTED)
    assert document["verdict"]["outcome"] == "inconclusive: distribution shift"
    assert document["attacks"]["csa_calibrated"]["verdict"] != "leak"


def test_thirty_samples_are_too_few(audit: Audit) -> None:
    document = audit("--model", sample_model("control"), "--set", "pools.candidates.limit=30")
    assert document["verdict"]["outcome"] == "inconclusive: underpowered"


def test_candidates_alone_have_nothing_to_be_compared_with(database: Path) -> None:
    candidates = str(sample_world() / "candidates.tar")
    document = tui_mia(
        *("run", "--model", sample_model("target"), "--candidates", candidates, "--attacks", "csa"),
        *("--set", "pools.candidates.member=unknown", "--set", "pools.candidates.limit=100"),
        *("--db", str(database)),
    )
    assert document["verdict"]["outcome"] == "inconclusive: no comparison set"
    assert document["attacks"]["csa"]["auc"] is None


def test_candidates_without_labels_are_judged_as_a_group(audit: Audit) -> None:
    document = audit("--set", "pools.candidates.member=unknown")
    assert document["verdict"]["outcome"] == "leak"
    figures = document["attacks"]["csa"]["figures"]
    # 400 of 1,400 candidates are members.
    assert 0.05 < figures["member_share"]["low"] <= 400 / 1400
    assert figures["survivors_fdr_0.1"]["value"] >= figures["survivors_fdr_0.05"]["value"]


def test_every_figure_follows_from_what_is_stored(target: dict[str, Any], database: Path) -> None:
    found = tui_mia("verify", target["run_id"], "--db", str(database))
    assert found["differences"] == []
    assert found["compared"] > 100
    assert "stability_order" in found["not_recomputed"]


def test_a_leak_fails_a_pipeline_that_asks_for_it(tmp_path: Path) -> None:
    few = ("--set", "pools.candidates.limit=200")
    command = ["run", str(sample_world() / "audit.toml"), *QUICK, *few, "--quiet", "--fail-on", "leak"]
    ran = subprocess.run(
        [sys.executable, "-m", "tui_mia", *command],
        cwd=tmp_path,
        env=ONE_THREAD,
        check=False,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 4
    assert "--fail-on leak" in ran.stderr
