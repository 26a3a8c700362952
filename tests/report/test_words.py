from __future__ import annotations

from typing import Any

import pytest

from tests.report.conftest import StoreRun
from tui_mia.display.check_groups import check_groups, is_amiss
from tui_mia.report import gather
from tui_mia.report.figure_tables import figure_tables
from tui_mia.report.limits import limits
from tui_mia.report.meaning import headline
from tui_mia.store import CheckRow


def check(name: str, outcome: str = "ok", attack: str | None = None) -> CheckRow:
    return CheckRow(name, attack, 0.5, 0.4, 0.6, 10, outcome, f"words of {name}")


def test_the_checks_that_matter_most_come_first_within_and_between_groups() -> None:
    groups = check_groups(
        [
            check("blind_all"),
            check("blind_form", "shift"),
            check("power", "underpowered"),
            check("negative_control", attack="csa"),
            check("negative_control", "defect", "wsa"),
            check("duplicates_within_candidates", "note"),
            check("captions_within_candidates"),
            check("stability_seed"),
            check("something_new", "odd"),
        ]
    )
    assert [group.title for group in groups] == [
        "Negative control",
        "Blind baselines",
        "Power",
        "Other checks",
        "Near duplicates",
        "Stability",
    ]
    assert [found.check for found in groups[1].checks] == ["blind_form", "blind_all"]
    assert groups[0].outcome == "defect"


def test_an_outcome_that_nobody_knows_is_not_taken_for_harmless() -> None:
    assert is_amiss(check("x", "odd"))
    assert not is_amiss(check("x", "note"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "No reference model was given"),
        ({"reference": True}, "The reference model is taken at its word"),
        ({}, "Known non-members come from recent.tar"),
        ({"labelled": False}, "of the same kind as the candidates"),
        ({"nonmembers": 0}, "Without known non-members there are no p-values"),
        ({}, "resolve false positive rates down to 0.5"),
        ({}, "no p-value below 0.048"),
        ({}, "There are near duplicates"),
        ({"checks": []}, "No blind baseline could be tried"),
        ({"skipped": {"wsa": "no pool"}}, "Not all attacks ran (wsa)"),
        ({}, "2 pairs could not be used"),
        ({"checks": [{"check": "blind_all", "outcome": "shift", "words": ""}]}, "(all together)"),
        ({"checks": [{"check": "stability_order", "outcome": "unstable", "words": ""}]}, "shares a batch"),
        (
            {"checks": [{"check": "negative_control", "attack": "csa", "outcome": "defect", "words": ""}]},
            "The negative control failed for csa",
        ),
        (
            {"checks": [{"check": "reference", "attack": "csa", "outcome": "shift", "words": ""}]},
            "finds a difference too (csa)",
        ),
    ],
)
def test_limits_are_chosen_by_what_the_run_had(
    store_run: StoreRun, changes: dict[str, Any], words: str
) -> None:
    assert words in " ".join(limits(gather(store_run(**changes), "run-a")))


def test_a_limit_that_does_not_apply_is_not_named(store_run: StoreRun) -> None:
    said = " ".join(limits(gather(store_run(reference=True, checks=[]), "run-a")))
    for words in ("No reference", "near duplicates", "negative control", "shares a batch", "Too few samples"):
        assert words not in said


def test_a_leak_of_a_group_is_put_in_other_words(store_run: StoreRun) -> None:
    assert headline(gather(store_run(labelled=False), "run-a")).means.startswith("As a group, the candidates")


def test_a_verdict_of_a_later_version_is_shown_without_an_explanation(store_run: StoreRun) -> None:
    said = headline(gather(store_run(outcome="puzzling"), "run-a"))
    assert (said.outcome, said.tone, said.means) == ("puzzling", "open", "")


def test_columns_without_a_figure_are_left_out(store_run: StoreRun) -> None:
    titles = [table.columns for table in figure_tables(gather(store_run(), "run-a"))]
    assert titles == [
        ["AUC", "adjusted AUC", "above the best blind baseline", "balanced accuracy", "verdict"],
        ["TPR at 10 % FPR", "TPR at 1 % FPR", "TPR at 0.1 % FPR"],
        ["TPR at p ≤ 0.1", "FPR at p ≤ 0.1"],
    ]


def test_a_rate_below_the_resolution_is_a_dash(store_run: StoreRun) -> None:
    rates = figure_tables(gather(store_run(), "run-a"))[1].rows["csa"]
    assert [cell.figure for cell in rates] == ["0.300", "-", "-"]
