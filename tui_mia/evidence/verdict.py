"""What follows from the figures: the rules of docs/verdict.md, and the words for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from tui_mia.evidence.auc import Estimate
from tui_mia.evidence.discovery import holm

# One-sided, for each of the tests that a leak has to pass.
LEVEL = 0.025

Outcome: TypeAlias = Literal[
    "leak",
    "no evidence",
    "inconclusive: distribution shift",
    "inconclusive: underpowered",
    "inconclusive: no comparison set",
]


# What the run is said to be when its attacks differ: the first of these that any of them is.
PRECEDENCE: Sequence[Outcome] = (
    "leak",
    "inconclusive: distribution shift",
    "inconclusive: underpowered",
    "no evidence",
)


@dataclass(frozen=True)
class AttackCase:
    """What speaks for and against one attack's figure.

    `above_blind` is the attack's AUC minus that of each blind baseline, paired;
    `adjusted` the AUC within strata of equal blind propensity, None where there is
    nothing to adjust for or no overlap; `above_reference` the AUC minus that of the
    same attack on the reference model, None without one. `calibrated`: the score
    has the reference's subtracted already.
    """

    attack: str
    auc: Estimate
    above_blind: Mapping[str, Estimate]
    adjusted: Estimate | None
    above_reference: Estimate | None
    calibrated: bool


@dataclass(frozen=True)
class Circumstances:
    """What is true of the run as a whole.

    `blind` are the AUCs of the blind baselines, `shifted` those of them that tell
    the two sides apart, `adjustable` whether the sides overlap enough to adjust.
    """

    blind: Mapping[str, Estimate]
    shifted: Sequence[str]
    adjustable: bool
    has_reference: bool
    smallest_auc: float

    @property
    def best_blind(self) -> str | None:
        """The baseline with the highest AUC."""
        return max(self.blind, key=lambda name: self.blind[name].value, default=None)


@dataclass(frozen=True)
class Verdict:
    """One outcome and why, in sentences; `attack` is None for the run as a whole."""

    attack: str | None
    outcome: Outcome
    reasons: Sequence[str]


@dataclass(frozen=True)
class _Test:
    """One comparison that a leak must pass: its one-sided p-value, and what to say of it."""

    p_value: float
    passed: str
    failed: str


def verdicts(cases: Sequence[AttackCase], run: Circumstances) -> list[Verdict]:
    """The verdict of the run, then that of each attack, in their order.

    A leak must pass every test that applies, so its p-value is the largest of
    them; over the attacks these are corrected after Holm, and so are those of
    the raw figures.
    """
    tests = [_tests(case, run) for case in cases]
    raw = holm(np.array([of_case[0].p_value for of_case in tests]))
    leak = holm(
        np.array([_leak_p_value(case, of_case, run) for case, of_case in zip(cases, tests, strict=True)])
    )
    outcomes = [
        _outcome(case, bool(raw_p <= LEVEL), bool(leak_p <= LEVEL), run)
        for case, raw_p, leak_p in zip(cases, raw, leak, strict=True)
    ]
    of_attacks = [
        Verdict(case.attack, outcome, _reasons(case, outcome, of_case, run))
        for case, outcome, of_case in zip(cases, outcomes, tests, strict=True)
    ]
    return [_of_run(cases, of_attacks, leak.tolist(), run), *of_attacks]


def no_comparison(attacks_ran: bool = True) -> Verdict:
    """The verdict where there is nothing to compare the candidates with, or nothing was scored."""
    if not attacks_ran:
        return Verdict(
            None, "inconclusive: no comparison set", ["No attack could run, so nothing was scored."]
        )
    return Verdict(
        None,
        "inconclusive: no comparison set",
        [
            "There is nothing to compare the candidates with: no labels of both kinds, no known non-members.",
            "Add pairs that the model can't have seen as [pools.nonmembers].",
        ],
    )


def _outcome(case: AttackCase, above_chance: bool, leak: bool, run: Circumstances) -> Outcome:
    if leak:
        return "leak"
    if above_chance:
        return "inconclusive: distribution shift"
    if _masked(case, run):
        return "inconclusive: distribution shift"
    # A score that is the same for all has measured nothing.
    if case.auc.high < run.smallest_auc and case.auc.standard_error > 0:
        return "no evidence"
    return "inconclusive: underpowered"


def _leak_p_value(case: AttackCase, tests: Sequence[_Test], run: Circumstances) -> float:
    """The largest of the tests' p-values; 1 where one that is needed could not be made."""
    if _shift_not_answered(case, run) or _lacks_reference(case, run):
        return 1.0
    return max(test.p_value for test in tests)


def _masked(case: AttackCase, run: Circumstances) -> bool:
    """Whether shift may hide an effect: it is taken out, and the figure could be one worth finding."""
    return bool(run.shifted) and case.adjusted is not None and case.adjusted.high >= run.smallest_auc


def _shift_not_answered(case: AttackCase, run: Circumstances) -> bool:
    return _beyond_adjusting(case, run) and not _has_reference(case)


def _reference_decides(case: AttackCase, run: Circumstances) -> bool:
    """A classifier of two very different collections beats any attack, whether there is a leak or not."""
    return _beyond_adjusting(case, run) and _has_reference(case)


def _beyond_adjusting(case: AttackCase, run: Circumstances) -> bool:
    return bool(run.shifted) and case.adjusted is None


def _lacks_reference(case: AttackCase, run: Circumstances) -> bool:
    """Whether this attack alone could not be held against the reference."""
    return run.has_reference and not _has_reference(case)


def _has_reference(case: AttackCase) -> bool:
    return case.above_reference is not None or case.calibrated


def _tests(case: AttackCase, run: Circumstances) -> list[_Test]:
    """The tests that apply, the raw figure first."""
    tests = [
        _Test(
            case.auc.p_above(0.5),
            f"AUC {_with_interval(case.auc)}, above chance.",
            f"AUC {_with_interval(case.auc)}, not above chance.",
        )
    ]
    if case.above_blind and not _reference_decides(case, run):
        # Above every one of them: the one that is hardest to beat decides.
        name = max(case.above_blind, key=lambda name: case.above_blind[name].p_above(0.0))
        blind = f"the blind baseline {name}, which never saw the model (AUC {run.blind[name].value:.3f})"
        by = _with_interval(case.above_blind[name], signed=True)
        tests.append(
            _Test(
                case.above_blind[name].p_above(0.0),
                f"Above {blind}, by {by}.",
                f"Not above {blind}: difference {by}.",
            )
        )
    if case.adjusted is not None and run.shifted:
        figure = _with_interval(case.adjusted)
        tests.append(
            _Test(
                case.adjusted.p_above(0.5),
                f"Among samples that the blind baselines take for alike, AUC {figure}.",
                f"Among samples that the blind baselines take for alike, AUC {figure}: not above chance.",
            )
        )
    if case.above_reference is not None:
        by = _with_interval(case.above_reference, signed=True)
        tests.append(
            _Test(
                case.above_reference.p_above(0.0),
                f"Above the same attack on the reference model, by {by}.",
                f"Not above the same attack on the reference model, which saw no candidate: difference {by}.",
            )
        )
    return tests


def _reasons(case: AttackCase, outcome: Outcome, tests: Sequence[_Test], run: Circumstances) -> list[str]:
    raw = tests[0].passed if tests[0].p_value <= LEVEL else tests[0].failed
    if outcome == "no evidence":
        return [
            f"AUC {_with_interval(case.auc)}: even its upper bound is below {run.smallest_auc:.2f},"
            " the smallest AUC worth finding here."
        ]
    if outcome == "inconclusive: underpowered":
        return [
            f"AUC {_with_interval(case.auc)}: too few samples to tell chance from an AUC of"
            f" {run.smallest_auc:.2f}."
        ]
    if outcome == "leak":
        return [test.passed for test in tests] + _caveats(case, run)
    failed = [test.failed for test in tests[1:] if test.p_value > LEVEL]
    if _lacks_reference(case, run):
        failed.append("It could not be held against the reference model, on which it failed.")
    if _masked(case, run) and tests[0].p_value > LEVEL and case.adjusted is not None:
        return [
            raw,
            f"The two sides differ without the model ({', '.join(run.shifted)}), and adjusted for that the"
            f" AUC is {_with_interval(case.adjusted)}: an effect may be hidden.",
        ]
    if failed and not run.shifted:
        failed.append("No shift was found, but what was compared is too close to rule it out.")
    if _shift_not_answered(case, run):
        failed.append(
            f"The two sides differ without the model ({', '.join(run.shifted)}), too far for the figure to be"
            " adjusted, and there is no [reference] model to compare with."
        )
    # Each passed on its own, none would after the correction.
    return [raw, *(failed or ["Too close to call after the correction for the number of attacks (Holm)."])]


def _caveats(case: AttackCase, run: Circumstances) -> list[str]:
    if _reference_decides(case, run):
        best = run.best_blind or ""
        return [
            f"Without the model, {best} has an AUC of {run.blind[best].value:.3f}: too much to adjust for."
            " The comparison with the reference decides, as far as the reference sees that difference as"
            " the target does."
        ]
    if _has_reference(case):
        return []
    return [
        "There is no reference model for this attack, so a difference between the two sides that the blind"
        " baselines can't see is not excluded."
    ]


def _of_run(
    cases: Sequence[AttackCase], of_attacks: Sequence[Verdict], leak: Sequence[float], run: Circumstances
) -> Verdict:
    """A leak of one attack is a leak; then shift; no evidence only if no attack leaves room for any."""
    outcome = min((verdict.outcome for verdict in of_attacks), key=PRECEDENCE.index)
    chosen = [number for number, verdict in enumerate(of_attacks) if verdict.outcome == outcome]
    # What is said of the run is said of the attack that speaks loudest.
    loudest = min(chosen, key=lambda number: (leak[number], -cases[number].auc.value))
    names = ", ".join(of_attacks[number].attack or "" for number in chosen)
    reasons = list(of_attacks[loudest].reasons)
    reasons[0] = f"{of_attacks[loudest].attack}: {reasons[0]}"
    if len(chosen) > 1:
        reasons.append(f"{len(chosen)} of {len(cases)} attacks say so: {names}.")
    elif len(cases) > 1:
        reasons.append(f"1 of {len(cases)} attacks says so.")
    return Verdict(None, outcome, reasons)


def _with_interval(estimate: Estimate, signed: bool = False) -> str:
    form = "+.3f" if signed else ".3f"
    return f"{estimate.value:{form}} ({estimate.low:{form}} to {estimate.high:{form}})"
