"""From all that an audit knows to its figures, its checks and its verdict.

Everything here follows from what is stored of a run, so that `tui-mia verify`
can do it again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tui_mia.evidence.adjusted import Adjusted, adjusted_auc
from tui_mia.evidence.auc import Estimate, Placements, auc_difference, auc_estimate, placements
from tui_mia.evidence.audited import Audited, Comparison, compare
from tui_mia.evidence.blind import VARIANCE_FACTOR
from tui_mia.evidence.checks import Check, checks_of_comparison, checks_of_pools
from tui_mia.evidence.discovery import holm, q_values
from tui_mia.evidence.group import group_evidence
from tui_mia.evidence.operating import operating_points
from tui_mia.evidence.roc import FPR_POINTS, figures
from tui_mia.evidence.verdict import LEVEL, AttackCase, Circumstances, Verdict, no_comparison, verdicts
from tui_mia.scored import CALIBRATED, AttackScores

# Beyond this the two sides hardly overlap, and what is left in common is not what was asked about.
LARGEST_ADJUSTABLE_AUC = 0.9
ALL_BLIND = "all"


@dataclass(frozen=True)
class Metric:
    """A figure of an attack, with the ends of its 95 % interval where it has one, from n samples."""

    attack: str
    metric: str
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int | None = None


@dataclass(frozen=True)
class Judgement:
    """What the evidence says; the verdict of the run comes first."""

    metrics: Sequence[Metric]
    checks: Sequence[Check]
    verdicts: Sequence[Verdict]


def judge(
    audited: Audited,
    smallest_auc: float,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Judgement:
    """Figures, checks and verdicts of everything that was scored.

    `on_progress` hears how much is done: of what is true of all attacks, of each of them, of the checks.
    """
    comparison = compare(audited)
    if comparison is None or not audited.attacks:
        return Judgement([], checks_of_pools(audited), [no_comparison(bool(audited.attacks))])
    parts = len(audited.attacks) + 2
    blind = {
        name: placements(comparison.is_positive, comparison.scores(scored))
        for name, scored in audited.blind.items()
    }
    run = _circumstances(audited, comparison, blind, smallest_auc)
    propensity = comparison.scores(audited.blind[ALL_BLIND]) if run.adjustable else None
    on_progress(1, parts)
    cases: list[AttackCase] = []
    metrics: list[Metric] = []
    for done, attack in enumerate(audited.attacks, start=2):
        found = comparison.of_attack(attack)
        factor = _variance_factor(attack.attack, comparison, audited)
        adjusted = None if propensity is None else _adjusted(attack, comparison, propensity, factor)
        beside = audited.reference.get(attack.attack)
        reference = None if beside is None else comparison.of_attack(beside)
        case = _case(attack.attack, found, comparison, blind, adjusted, reference, factor, run.has_reference)
        cases.append(case)
        metrics += _of_case(case, run, comparison)
        metrics += _of_comparison(attack, found, comparison, audited)
        metrics += _without_duplicates(attack, comparison)
        on_progress(done, parts)
    on_reference = {
        name: auc_estimate(comparison.of_attack(scored), comparison.clusters)
        for name, scored in audited.reference.items()
    }
    checks = [*checks_of_comparison(comparison, run, on_reference), *checks_of_pools(audited)]
    on_progress(parts, parts)
    return Judgement(metrics, checks, verdicts(cases, run))


def _circumstances(
    audited: Audited, comparison: Comparison, blind: Mapping[str, Placements], smallest_auc: float
) -> Circumstances:
    estimates = {
        name: auc_estimate(found, comparison.clusters, variance_factor=VARIANCE_FACTOR)
        for name, found in blind.items()
    }
    p_values = holm(np.array([estimate.p_above(0.5) for estimate in estimates.values()]))
    shifted = [name for name, p_value in zip(estimates, p_values, strict=True) if p_value <= LEVEL]
    highest = max((estimate.value for estimate in estimates.values()), default=0.5)
    return Circumstances(
        blind=estimates,
        shifted=shifted,
        adjustable=ALL_BLIND in estimates and highest < LARGEST_ADJUSTABLE_AUC,
        has_reference=bool(audited.reference),
        smallest_auc=smallest_auc,
    )


def _adjusted(
    attack: AttackScores, comparison: Comparison, propensity: NDArray[np.float64], factor: float
) -> Estimate | None:
    found: Adjusted = adjusted_auc(
        comparison.is_positive,
        comparison.scores(attack),
        propensity,
        comparison.clusters_in_line,
        variance_factor=factor,
    )
    return found.estimate


def _variance_factor(attack: str, comparison: Comparison, audited: Audited) -> float:
    """Above 1 where an attack was fitted to the candidates that are compared as a group.

    Like a blind baseline, it was then trained to tell one half of them from the
    known non-members, and scores the other half.
    """
    fitted = comparison.kind == "group" and attack in audited.fitted_to_candidates
    return VARIANCE_FACTOR if fitted else 1.0


def _case(
    name: str,
    found: Placements,
    comparison: Comparison,
    blind: Mapping[str, Placements],
    adjusted: Estimate | None,
    reference: Placements | None,
    factor: float,
    has_reference: bool,
) -> AttackCase:
    clusters = comparison.clusters
    return AttackCase(
        attack=name,
        auc=auc_estimate(found, clusters, variance_factor=factor),
        above_blind={
            other: auc_difference(found, theirs, clusters, variance_factors=(factor, VARIANCE_FACTOR))
            for other, theirs in blind.items()
        },
        adjusted=adjusted,
        above_reference=None
        if reference is None
        else auc_difference(found, reference, clusters, variance_factors=(factor, factor)),
        calibrated=has_reference and name in CALIBRATED.values(),
    )


def _of_case(case: AttackCase, run: Circumstances, comparison: Comparison) -> list[Metric]:
    """The AUC and what it is compared with."""
    found = {
        "auc" if comparison.kind == "labelled" else "group_auc": case.auc,
        "auc_adjusted": case.adjusted,
        "auc_above_reference": case.above_reference,
    }
    if run.best_blind is not None:
        found["auc_above_blind"] = case.above_blind[run.best_blind]
    return [
        _metric(case.attack, name, estimate, comparison.samples)
        for name, estimate in found.items()
        if estimate is not None
    ]


def _of_comparison(
    attack: AttackScores, found: Placements, comparison: Comparison, audited: Audited
) -> Iterable[Metric]:
    """The figures that only one kind of comparison has."""
    if comparison.kind == "labelled":
        yield from _labelled(attack, comparison, audited.nonmembers)
        return
    assert attack.p_values is not None
    p_values = attack.p_values
    group = group_evidence(
        found,
        p_values,
        q_values(p_values),
        audited.nonmembers,
        comparison.clusters,
        _variance_factor(attack.attack, comparison, audited),
    )
    n = len(comparison.positives)
    yield Metric(attack.attack, "group_p_value", group.p_value, n=n)
    yield Metric(attack.attack, "member_share", None, group.member_share_low, None, n)
    for rate, count in group.survivors.items():
        yield Metric(attack.attack, f"survivors_fdr_{rate:g}", count, n=n)


def _labelled(attack: AttackScores, comparison: Comparison, nonmembers: int) -> Iterable[Metric]:
    """Figures of members against non-members: the ROC, and the thresholds that known non-members set."""
    member = comparison.is_positive
    independent = comparison.independent
    found = figures(member, comparison.scores(attack), independent)
    assert found is not None
    n = len(member)
    yield Metric(attack.attack, "balanced_accuracy", found.balanced_accuracy, n=n)
    for point in FPR_POINTS:
        low, high = found.tpr_intervals[point] or (None, None)
        yield Metric(attack.attack, f"tpr_at_fpr_{point:g}", found.tpr_at_fpr[point], low, high, n)
    if attack.p_values is None:
        return
    of_both = attack.p_values[np.concatenate([comparison.positives, comparison.negatives])]
    for point, at in operating_points(member, of_both, FPR_POINTS, nonmembers, independent).items():
        if at is not None:
            yield Metric(
                attack.attack,
                f"tpr_at_p_{point:g}",
                at.tpr,
                at.tpr_low,
                at.tpr_high,
                len(comparison.positives),
            )
            yield Metric(
                attack.attack,
                f"fpr_at_p_{point:g}",
                at.fpr,
                at.fpr_low,
                at.fpr_high,
                len(comparison.negatives),
            )


def _without_duplicates(attack: AttackScores, comparison: Comparison) -> Iterable[Metric]:
    """The AUC without any sample that has a near duplicate among those compared."""
    alone = comparison.without_duplicates() if comparison.clusters is not None else None
    if alone is not None:
        estimate = auc_estimate(alone.of_attack(attack))
        yield _metric(attack.attack, "auc_without_duplicates", estimate, alone.samples)


def _metric(attack: str, name: str, found: Estimate, n: int) -> Metric:
    return Metric(attack, name, found.value, found.low, found.high, n)
