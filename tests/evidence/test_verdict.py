"""The rules of docs/verdict.md, one by one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tui_mia.evidence.auc import Estimate
from tui_mia.evidence.laws import Student
from tui_mia.evidence.verdict import AttackCase, Circumstances, Verdict, verdicts


def estimate(value: float, error: float = 0.01) -> Estimate:
    law = Student(value, error, 1000)
    return Estimate(value, error, *law.bounds(0.95), law)


MATCHED = Circumstances(
    blind={"captions": estimate(0.5), "all": estimate(0.51)},
    shifted=[],
    adjustable=True,
    has_reference=False,
    smallest_auc=0.6,
)
SHIFTED = replace(
    MATCHED, blind={"captions": estimate(0.7), "all": estimate(0.75)}, shifted=["captions", "all"]
)
BEYOND = replace(SHIFTED, blind={"captions": estimate(0.7), "all": estimate(0.95)}, adjustable=False)

ABOVE = AttackCase(
    attack="csa",
    auc=estimate(0.8),
    above_blind={"captions": estimate(0.3), "all": estimate(0.29)},
    adjusted=estimate(0.8),
    above_reference=None,
    calibrated=False,
)
CHANCE = AttackCase("aea", estimate(0.5), {"all": estimate(0.0)}, estimate(0.5), None, calibrated=False)


def of_run(*cases: AttackCase, run: Circumstances = MATCHED) -> Verdict:
    return verdicts(cases, run)[0]


def of_attack(case: AttackCase, run: Circumstances = MATCHED) -> Verdict:
    return verdicts([case], run)[1]


def test_an_attack_above_chance_and_above_all_that_is_blind_is_a_leak() -> None:
    assert of_attack(ABOVE).outcome == "leak"
    assert of_run(ABOVE).outcome == "leak"


def test_without_a_reference_a_leak_says_what_it_does_not_exclude() -> None:
    assert "not excluded" in of_attack(ABOVE).reasons[-1]
    with_reference = replace(ABOVE, above_reference=estimate(0.3))
    assert not any("not excluded" in reason for reason in of_attack(with_reference).reasons)


@pytest.mark.parametrize("blind", ["captions", "all"])
def test_no_leak_unless_above_every_blind_baseline(blind: str) -> None:
    not_above = replace(ABOVE, above_blind={**ABOVE.above_blind, blind: estimate(0.01)})
    found = of_attack(not_above)
    assert found.outcome == "inconclusive: distribution shift"
    assert any(blind in reason for reason in found.reasons)


def test_with_shift_the_adjusted_figure_must_be_above_chance_too() -> None:
    assert of_attack(ABOVE, SHIFTED).outcome == "leak"
    explained = replace(ABOVE, adjusted=estimate(0.51))
    assert of_attack(explained, SHIFTED).outcome == "inconclusive: distribution shift"
    assert of_attack(explained, MATCHED).outcome == "leak"


def test_shift_that_nothing_answers_is_never_a_leak() -> None:
    raw = replace(ABOVE, adjusted=None, auc=estimate(0.99))
    found = of_attack(raw, BEYOND)
    assert found.outcome == "inconclusive: distribution shift"
    assert any("[reference]" in reason for reason in found.reasons)


def test_a_reference_answers_shift_that_is_beyond_adjusting() -> None:
    raw = replace(ABOVE, adjusted=None)
    assert of_attack(replace(raw, above_reference=estimate(0.2)), BEYOND).outcome == "leak"
    shared = replace(raw, above_reference=estimate(0.005))
    assert of_attack(shared, BEYOND).outcome == "inconclusive: distribution shift"
    assert of_attack(replace(raw, calibrated=True), BEYOND).outcome == "leak"


def test_beyond_adjusting_the_reference_decides_also_where_a_classifier_beats_the_attack() -> None:
    beaten = replace(ABOVE, adjusted=None, above_blind={"all": estimate(-0.1)})
    found = of_attack(replace(beaten, above_reference=estimate(0.2)), BEYOND)
    assert found.outcome == "leak"
    assert "the reference decides" in found.reasons[-1]
    assert of_attack(beaten, BEYOND).outcome == "inconclusive: distribution shift"


def test_no_evidence_only_where_the_upper_bound_is_below_the_smallest_auc() -> None:
    assert of_attack(CHANCE).outcome == "no evidence"
    wide = replace(CHANCE, auc=estimate(0.5, error=0.06))
    assert of_attack(wide).outcome == "inconclusive: underpowered"
    assert of_attack(wide, replace(MATCHED, smallest_auc=0.7)).outcome == "no evidence"


def test_chance_on_shifted_pools_is_no_evidence() -> None:
    assert of_attack(CHANCE, BEYOND).outcome == "no evidence"


def test_the_run_is_the_first_that_any_attack_is() -> None:
    shifted = replace(ABOVE, attack="wsa", above_blind={"all": estimate(-0.1)})
    wide = replace(CHANCE, attack="loss", auc=estimate(0.5, error=0.06))
    assert of_run(CHANCE, wide, shifted, ABOVE).outcome == "leak"
    assert of_run(CHANCE, wide, shifted).outcome == "inconclusive: distribution shift"
    assert of_run(CHANCE, wide).outcome == "inconclusive: underpowered"
    assert of_run(CHANCE, CHANCE).outcome == "no evidence"


def test_the_reasons_of_the_run_name_the_attack_that_decides() -> None:
    assert of_run(CHANCE, ABOVE).reasons[0].startswith("csa: AUC 0.800")


def test_the_more_attacks_the_harder_it_is_for_the_luckiest() -> None:
    lucky = replace(CHANCE, auc=estimate(0.522), above_blind={"all": estimate(0.022)})
    assert of_attack(lucky).outcome == "leak"
    assert of_run(lucky, *[CHANCE] * 9).outcome == "no evidence"


def test_verdicts_of_attacks_keep_their_order_and_names() -> None:
    found = verdicts([CHANCE, ABOVE], MATCHED)
    assert [verdict.attack for verdict in found] == [None, "aea", "csa"]


def test_an_attack_that_failed_on_the_reference_is_no_leak() -> None:
    found = of_attack(ABOVE, replace(MATCHED, has_reference=True))
    assert found.outcome == "inconclusive: distribution shift"
    assert any("on which it failed" in reason for reason in found.reasons)


def test_an_effect_that_shift_may_hide_is_not_no_evidence() -> None:
    hidden = replace(CHANCE, adjusted=estimate(0.62))
    assert of_attack(hidden, SHIFTED).outcome == "inconclusive: distribution shift"
    assert of_attack(hidden, MATCHED).outcome == "no evidence"


def test_a_score_that_is_the_same_for_all_has_measured_nothing() -> None:
    constant = replace(CHANCE, auc=replace(CHANCE.auc, standard_error=0.0))
    assert of_attack(constant).outcome == "inconclusive: underpowered"
