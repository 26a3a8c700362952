"""Tests of whether the scores can be trusted: what each found, what follows, and that in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from tui_mia.evidence.auc import Estimate, Placements, auc_estimate
from tui_mia.evidence.audited import Audited, Comparison, compare
from tui_mia.evidence.discovery import holm
from tui_mia.evidence.spread import effective_size
from tui_mia.evidence.verdict import LEVEL, Circumstances
from tui_mia.power import smallest_detectable_auc

# A false alarm about the audit itself costs a look, not a verdict.
DEFECT_LEVEL = 0.01

CheckOutcome: TypeAlias = Literal["ok", "note", "shift", "defect", "underpowered", "unstable"]


@dataclass(frozen=True)
class Check:
    """One test, of an attack or of the run (`attack` is None); `low` and `high` are its 95 % interval."""

    check: str
    attack: str | None
    value: float | None
    low: float | None
    high: float | None
    n: int | None
    outcome: CheckOutcome
    words: str


def checks_of_comparison(
    comparison: Comparison, run: Circumstances, reference: Mapping[str, Estimate]
) -> list[Check]:
    """How far this comparison can be trusted: its power, and what else tells the two sides apart.

    `reference` are the AUCs of the attacks on the reference model.
    """
    return [
        _power(comparison, run.smallest_auc),
        *_blind(run, comparison),
        *_reference(reference, comparison),
    ]


def checks_of_pools(audited: Audited) -> list[Check]:
    """What is amiss with the pools or the audit itself: the negative control, and near duplicates."""
    return [*_labels(audited), *_control(audited), *_duplicates(audited)]


def _power(comparison: Comparison, smallest_auc: float) -> Check:
    sides = len(comparison.positives), len(comparison.negatives)
    labelled = comparison.kind == "labelled"
    names = ("members", "non-members") if labelled else ("candidates", "known non-members")
    who = f"{sides[0]:,} {names[0]} against {sides[1]:,} {names[1]}"
    detectable = smallest_detectable_auc(*comparison.independent)
    enough = detectable is not None and detectable <= smallest_auc
    if detectable is None:
        words = f"{who} can't tell any AUC from chance."
    else:
        words = f"{who} tell an AUC of {detectable:.3f} from chance in 8 of 10 such audits, by one attack."
    if not enough:
        words += f" Too few for the smallest AUC worth finding, {smallest_auc:.2f}."
    return Check("power", None, detectable, None, None, sum(sides), "ok" if enough else "underpowered", words)


def _blind(run: Circumstances, comparison: Comparison) -> Iterable[Check]:
    for name, found in run.blind.items():
        shifted = name in run.shifted
        says = "they differ in more than membership" if shifted else "no more than chance"
        words = f"Without the model, {name} tells the two sides apart with an AUC of {_words(found)}: {says}."
        yield _check(f"blind_{name}", None, found, comparison.samples, "shift" if shifted else "ok", words)


def _reference(reference: Mapping[str, Estimate], comparison: Comparison) -> Iterable[Check]:
    p_values = holm(np.array([estimate.p_above(0.5) for estimate in reference.values()]))
    for (name, found), p_value in zip(reference.items(), p_values, strict=True):
        shifted = bool(p_value <= LEVEL)
        says = "the two sides differ for a model that saw neither" if shifted else "no more than chance"
        words = f"On the reference model, {name} has an AUC of {_words(found)}: {says}."
        yield _check("reference", name, found, comparison.samples, "shift" if shifted else "ok", words)


def _labels(audited: Audited) -> Iterable[Check]:
    """Labels of both kinds that are too few to be compared."""
    members, others = (int((audited.member == label).sum()) for label in (1, 0))
    comparison = compare(audited)
    if members and others and comparison is not None and comparison.kind == "group":
        words = (
            f"{members:,} candidates are labelled as members and {others:,} as non-members: too few to be"
            " compared. All candidates are compared with the known non-members instead."
        )
        yield _count("labels", members + others, len(audited.member), words)


def _control(audited: Audited) -> Iterable[Check]:
    """Known non-members against known non-members: whatever is found there, the audit itself put in."""
    known = audited.duplicates.get("nonmembers", np.empty(0, np.int64))
    # Near duplicates may stand in either half, so all of them together say how much they weigh.
    factor = len(known) / effective_size(known) if len(known) else 1.0
    estimates = {
        attack.attack: auc_estimate(
            Placements(attack.placements, 1 - attack.nonmember_placements), variance_factor=factor
        )
        for attack in audited.control
        if attack.placements is not None and attack.nonmember_placements is not None
    }
    two_sided = [2 * min(each.p_above(0.5), each.p_below(0.5)) for each in estimates.values()]
    p_values = holm(np.minimum(two_sided, 1.0))
    for (name, found), p_value in zip(estimates.items(), p_values, strict=True):
        defect = bool(p_value <= DEFECT_LEVEL)
        says = (
            "which is no chance. The pool or the attack has a defect; don't trust p-values of this attack"
            if defect
            else "no more than chance, as it must be"
        )
        words = f"One half of the known non-members against the other: AUC {_words(found)}, {says}."
        outcome: CheckOutcome = "defect" if defect else "ok"
        yield _check("negative_control", name, found, audited.nonmembers, outcome, words)


def _duplicates(audited: Audited) -> Iterable[Check]:
    """How many samples are like another in their own pool, in another, or with the other label."""
    for name, alike, all_clusters in (
        ("duplicates", "a near duplicate", audited.duplicates),
        ("captions", "the same caption", audited.same_captions),
    ):
        candidates = all_clusters["candidates"]
        for pool, clusters in all_clusters.items():
            _, inverse, counts = np.unique(clusters, return_inverse=True, return_counts=True)
            within = int((counts[inverse] > 1).sum())
            words = f"{within:,} of {len(clusters):,} samples of {pool} have {alike} in the same pool."
            yield _count(f"{name}_within_{pool}", within, len(clusters), words)
            if pool != "candidates":
                elsewhere = int(np.isin(candidates, clusters).sum())
                words = f"{elsewhere:,} of {len(candidates):,} candidates have {alike} in {pool}."
                yield _count(f"{name}_in_{pool}", elsewhere, len(candidates), words)
        members, others = candidates[audited.member == 1], candidates[audited.member == 0]
        if len(members) and len(others):
            both = np.intersect1d(members, others)
            across = int(np.isin(np.concatenate([members, others]), both).sum())
            words = f"{across:,} labelled candidates have {alike} with the other label."
            yield _count(f"{name}_across_labels", across, len(members) + len(others), words)


def _check(
    name: str, attack: str | None, found: Estimate, n: int, outcome: CheckOutcome, words: str
) -> Check:
    return Check(name, attack, found.value, found.low, found.high, n, outcome, words)


def _count(name: str, count: int, n: int, words: str) -> Check:
    return Check(name, None, count, None, None, n, "note" if count else "ok", words)


def _words(estimate: Estimate) -> str:
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"
