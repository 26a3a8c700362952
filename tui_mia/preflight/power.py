"""What the audit could show with this many samples, and what it would need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from tui_mia.pools import PoolName
from tui_mia.power import FEWEST, power_at, samples_needed, smallest_detectable_auc
from tui_mia.preflight.counts import PoolCount
from tui_mia.preflight.finding import Finding
from tui_mia.preflight.limits import FEWEST_FALSE_POSITIVES, FPR_POINTS, SMALLEST_CLASS
from tui_mia.spec import AuditSpec

Kind: TypeAlias = Literal["labelled", "group"]
SIDES: Mapping[Kind, tuple[str, str]] = {
    "labelled": ("members", "non-members"),
    "group": ("candidates", "known non-members"),
}
# With fewer, no candidate can have a p-value below 0.01.
FEWEST_FOR_P_VALUES = 99


@dataclass(frozen=True)
class Power:
    """The comparison that the audit will make, and what it can tell.

    `detectable_auc` is told from chance in 8 of 10 audits, None where none is;
    `needed` how many of each side the smallest AUC worth finding takes, None where no
    number does; `resolved` whether each false positive rate expects enough false
    positives.
    """

    kind: Kind
    positives: int
    negatives: int
    smallest_auc: float
    detectable_auc: float | None
    power_at_smallest: float
    needed: tuple[int, int] | None
    resolved: Mapping[float, bool]


def estimate_power(spec: AuditSpec, counts: Mapping[PoolName, PoolCount]) -> Power | None:
    """Members against non-members where enough are labelled, else candidates against known non-members."""
    candidates = counts["candidates"]
    known = counts["nonmembers"].kept if "nonmembers" in counts else 0
    labelled = min(candidates.members, candidates.nonmembers)
    kind: Kind = "labelled" if labelled >= FEWEST or (labelled and not known) else "group"
    sides = (candidates.members, candidates.nonmembers) if kind == "labelled" else (candidates.kept, known)
    if not all(sides):
        return None
    smallest = spec.evidence.smallest_auc
    return Power(
        kind,
        *sides,
        smallest,
        smallest_detectable_auc(*sides),
        power_at(smallest, *sides),
        samples_needed(smallest, sides[1] / sides[0]),
        {point: round(point * sides[1], 6) >= FEWEST_FALSE_POSITIVES for point in FPR_POINTS},
    )


def of_power(power: Power | None) -> Iterator[Finding]:
    """What the audit could tell from chance."""
    if power is None:
        yield Finding(
            "power",
            "warning",
            "there is no comparison set: no labels of both kinds and no known non-members. The audit will"
            " give scores, and no verdict on them.",
        )
        return
    positive, negative = SIDES[power.kind]
    who = f"{power.positives:,} {positive} against {power.negatives:,} {negative}"
    if power.detectable_auc is None:
        words = f"{who} can't tell any AUC from chance"
    else:
        words = f"{who} tell an AUC of {power.detectable_auc:.3f} from chance in 8 of 10 audits"
    if power.detectable_auc is not None and power.detectable_auc <= power.smallest_auc:
        yield Finding("power", "ok", f"{words}; {power.smallest_auc:.2f} is the smallest worth finding.")
    else:
        yield Finding("power", "warning", f"{words}: {_too_few(power)}")
    if power.kind == "labelled":
        yield from _resolution(power)


def _too_few(power: Power) -> str:
    positive, negative = SIDES[power.kind]
    words = f"too few for the smallest AUC worth finding, {power.smallest_auc:.2f}"
    chance = f", which they would show in {power.power_at_smallest:.0%} of audits"
    if power.needed is None:
        return f"{words}{chance}."
    return (
        f"{words}{chance}; about {power.needed[0]:,} {positive} and {power.needed[1]:,} {negative} would do."
    )


def _resolution(power: Power) -> Iterator[Finding]:
    below = [point for point, resolved in power.resolved.items() if not resolved]
    if not below:
        return
    needed = round(FEWEST_FALSE_POSITIVES / min(below))
    points = " and ".join(f"{point * 100:g} %" for point in below)
    yield Finding(
        "power",
        "warning",
        f"no true positive rate at {points} false positives: fewer than {FEWEST_FALSE_POSITIVES} are"
        f" expected; {needed:,} non-members would do.",
    )


def of_evidence(spec: AuditSpec, counts: Mapping[PoolName, PoolCount]) -> Iterator[Finding]:
    """What a trustworthy verdict lacks."""
    candidates, known = counts["candidates"], counts.get("nonmembers")
    if spec.reference is None:
        yield Finding(
            "evidence",
            "warning",
            "no [reference] model: a difference between the two sides that only an encoder sees can't be"
            " excluded.",
        )
    if candidates.kept and bool(candidates.members) != bool(candidates.nonmembers):
        label = "members" if candidates.members else "non-members"
        yield Finding(
            "evidence", "warning", f"all labelled candidates are {label}: there are no figures by label."
        )
    if known is None:
        skipped = [name for name in ("wsa", "loss") if name in spec.attacks.requested()]
        without = f", and {' and '.join(skipped)} will be skipped" if skipped else ""
        yield Finding("evidence", "warning", f"no [pools.nonmembers]: no p-values{without}.")
    elif known.kept < FEWEST_FOR_P_VALUES:
        lowest = f"no p-value can be below {1 / (known.kept + 1):.2g}"
        yield Finding("evidence", "warning", f"{known.kept:,} known non-members: {lowest}.")
    if known is not None and "general" not in counts and spec.attacks.wsa is not None:
        yield Finding(
            "evidence",
            "warning",
            "no [pools.general]: wsa takes its pseudo-members from one half of the candidates for the other.",
        )


def of_attacks(spec: AuditSpec, counts: Mapping[PoolName, PoolCount]) -> Iterator[Finding]:
    """Attacks that can't be fitted to these pools, which ends a run as failed."""
    known = counts.get("nonmembers")
    if known is None or not known.kept or spec.attacks.wsa is None:
        return
    if known.smallest_complement < SMALLEST_CLASS:
        yield Finding(
            "attacks",
            "problem",
            f"wsa: {known.smallest_complement} known non-members outside a fold are too few to learn from;"
            f" give at least {SMALLEST_CLASS * 2} in [pools.nonmembers], or leave wsa out with --attacks.",
        )
