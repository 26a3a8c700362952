from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tui_mia.store import (
    AttackFigures,
    RejectReason,
    RunNotFound,
    RunRow,
    delete_run,
    find_run,
    ingest,
    list_runs,
    summarise,
)

MakeRun = Callable[..., RunRow]
WriteTables = Callable[..., Path]


def test_runs_are_listed_newest_first_with_samples_and_auc(
    one_run: Path, tmp_path: Path, make_run: MakeRun
) -> None:
    nothing = tmp_path / "nothing"
    ingest(one_run, make_run("run-c", day=2, status="failed", error="no memory"), nothing)
    ingest(one_run, make_run("run-b", day=1, status="cancelled"), nothing)
    ingest(one_run, make_run("run-z", created_at=None), nothing)
    newest, second, first, undated = list_runs(one_run)
    assert [o.run.run_id for o in (newest, second, first, undated)] == ["run-c", "run-b", "run-a", "run-z"]
    assert (newest.run.error, newest.samples, newest.auc) == ("no memory", {}, {})
    assert first.samples == {"candidates": 6, "general": 2, "nonmembers": 4}
    assert first.auc == {"aea": 0.75, "csa": 0.75}


def test_a_run_is_found_by_its_id_the_start_of_it_or_as_the_latest(
    database: Path, tmp_path: Path, make_run: MakeRun
) -> None:
    for day, run_id in enumerate(["2026-a1", "2026-a2", "2026-b", "2026-b-again", "old%"]):
        ingest(database, make_run(run_id, day=-day), tmp_path)
    assert find_run(database, "2026-a2") == "2026-a2"
    assert find_run(database, "2026-b-") == "2026-b-again"
    assert find_run(database, "2026-b") == "2026-b"
    assert find_run(database, "old") == "old%"
    assert find_run(database, "latest") == "2026-a1"


def test_a_start_that_fits_several_runs_lists_them(database: Path, tmp_path: Path, make_run: MakeRun) -> None:
    for day in range(7):
        ingest(database, make_run(f"run-{day}", day=day), tmp_path)
    with pytest.raises(RunNotFound, match=r"'run' fits 7 runs .*: run-6, run-5, run-4, run-3, run-2, \.\.\."):
        find_run(database, "run")


@pytest.mark.parametrize("reference", ["", "%", "run_a", "RUN-A"])
def test_a_run_that_is_not_there_is_answered_with_those_that_are(one_run: Path, reference: str) -> None:
    with pytest.raises(RunNotFound, match="Newest first: run-a"):
        find_run(one_run, reference)


def test_a_misspelt_run_is_answered_with_the_nearest(one_run: Path) -> None:
    with pytest.raises(RunNotFound, match=r"Did you mean run-a\?"):
        find_run(one_run, "rum-a")


def test_a_database_without_runs_says_so(one_run: Path, tmp_path: Path, make_run: MakeRun) -> None:
    delete_run(one_run, "run-a")
    assert list_runs(one_run) == []
    with pytest.raises(RunNotFound, match=r"no run in .* yet"):
        find_run(one_run, "latest")


def test_a_summary_has_the_figures_of_the_run(one_run: Path) -> None:
    summary = summarise(one_run, "run-a")
    assert summary.samples == {"candidates": 6, "general": 2, "nonmembers": 4}
    assert summary.rejects == 3
    assert summary.reject_reasons == [
        RejectReason("candidates", "not an image", 2),
        RejectReason("general", "no caption", 1),
    ]
    figures = AttackFigures(0.75, 0.7, {"0.1": 0.5, "0.01": 0.25, "0.001": None}, {"lambda": 1.5})
    without_p_values = {
        attack: replace(found, compared=0, low_p_values={"0.05": 0, "0.01": 0}, figures={})
        for attack, found in summary.attacks.items()
    }
    assert without_p_values == {"aea": figures, "csa": figures}


def test_a_summary_counts_low_p_values(database: Path, write_tables: WriteTables, make_run: MakeRun) -> None:
    p_values = [0.005, 0.01, 0.03, 0.05, 0.9, None]
    scores = [
        {"sample_id": str(n), "attack": "csa", "score": 0.0, "p_value": p} for n, p in enumerate(p_values)
    ]
    ingest(database, make_run(), write_tables(scores=scores))
    found = summarise(database, "run-a").attacks["csa"]
    assert (found.compared, found.low_p_values) == (5, {"0.05": 4, "0.01": 2})


def test_a_summary_of_a_run_that_is_not_there_is_an_error(one_run: Path) -> None:
    with pytest.raises(RunNotFound, match="'run-x'"):
        summarise(one_run, "run-x")


def test_at_most_ten_reject_reasons_are_told_and_all_are_counted(
    database: Path, write_tables: WriteTables, make_run: MakeRun
) -> None:
    rejects = [{"pool": "general", "reason": f"reason {n}"} for n in range(15) for _ in range(n + 1)]
    ingest(database, make_run(), write_tables(rejects=rejects))
    summary = summarise(database, "run-a")
    assert summary.rejects == 120
    assert [reason.count for reason in summary.reject_reasons] == list(range(15, 5, -1))


def test_an_attack_without_figures_is_in_the_summary(
    database: Path, write_tables: WriteTables, make_run: MakeRun
) -> None:
    scores = [{"sample_id": "s", "attack": "csa", "score": 0.5}]
    metrics = [
        {"attack": "wsa", "metric": "auc", "value": math.nan},
        {"attack": "wsa", "metric": "tpr_at_fpr_0.1", "value": math.inf},
        {"attack": "wsa", "metric": "pseudo_members", "value": 12.0},
    ]
    ingest(database, make_run(), write_tables(scores=scores, metrics=metrics))
    found = summarise(database, "run-a").attacks
    assert found["csa"] == AttackFigures()
    assert (found["wsa"].auc, found["wsa"].tpr_at_fpr["0.1"]) == (None, None)
    assert found["wsa"].facts == {"pseudo_members": 12.0}
    assert list_runs(database)[0].auc == {}


def test_the_json_document_of_a_run(one_run: Path) -> None:
    document = summarise(one_run, "run-a").document()
    figures: dict[str, object] = {
        "auc": 0.75,
        "interval": None,
        "adjusted_auc": None,
        "adjusted_interval": None,
        "balanced_accuracy": 0.7,
        "tpr_at_fpr": {"0.1": 0.5, "0.01": 0.25, "0.001": None},
        "tpr_intervals": {"0.1": None, "0.01": None, "0.001": None},
        "figures": {},
        "verdict": None,
        "reasons": [],
    }
    assert document == {
        "run_id": "run-a",
        "status": "done",
        "database": str(one_run),
        "run_directory": "/runs/a",
        "samples": {"candidates": 6, "general": 2, "nonmembers": 4},
        "rejects": 3,
        "seconds": {"encode": 2.5},
        "verdict": None,
        "blind": {},
        "checks": [],
        "attacks": {
            "aea": {**figures, "facts": {"lambda": 1.5}},
            "csa": {**figures, "facts": {"lambda": 1.5}},
        },
        "skipped": {},
        "error": None,
    }
    assert json.loads(json.dumps(document, allow_nan=False)) == document
