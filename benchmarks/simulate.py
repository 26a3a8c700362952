"""Simulates the figures of the evidence: how often do intervals cover, and tests raise a false alarm?

    python benchmarks/simulate.py            1,000 draws of everything, some minutes
    python benchmarks/simulate.py --short    40 draws, in seconds

Every case has its own seed, fixed here, so that a case gives the same whatever
runs beside it. Exits 1 if a share is outside of what is wanted; fewer draws
than 1,000 may be off by three standard errors more.
"""

from __future__ import annotations

import argparse
import math
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from tui_mia.attacks import Attack, AttackPools, make_attacks, run_attacks
from tui_mia.attacks.placing import RawScores, calibrated, finish
from tui_mia.embedded import Block
from tui_mia.evidence import Appearances, Audited, SideScores, blind_scores, judge
from tui_mia.evidence.adjusted import adjusted_auc
from tui_mia.evidence.auc import Placements, auc_difference, auc_estimate, placements
from tui_mia.evidence.group import member_share_low
from tui_mia.evidence.roc import figures
from tui_mia.power import power_at
from tui_mia.scored import CALIBRATED, FITTED_TO_CANDIDATES, AttackScores
from tui_mia.spec import AttacksSpec, CsaSpec, WsaSpec

SEED = 4
FULL, SHORT = 1000, 40
COVERS = (0.92, 0.98)
# What is known to be missed, written down in docs/verdict.md.
COVERS_UNEQUAL = (0.83, 0.98)
# One-sided at 2.5 %, with two standard errors of 1,000 draws.
FALSE_ALARM = (0.0, 0.035)

# Whole audits are slow; of 200 without a leak, 10 may be found to have one, nominally 5.
FULL_AUDITS, SHORT_AUDITS = 200, 4
RARELY, MOSTLY = (0.0, 0.05), (0.8, 1.0)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Row:
    """How often something came out in `draws` of a case, and how often it should."""

    experiment: str
    case: str
    draws: int
    share: float
    wanted: tuple[float, float]
    full: int = FULL

    @property
    def holds(self) -> bool:
        slack = 0.0 if self.draws >= self.full else 3 * math.sqrt(0.25 * 0.2 / self.draws)
        return self.wanted[0] - slack <= self.share <= self.wanted[1] + slack

    def __str__(self) -> str:
        low, high = self.wanted
        mark = "" if self.holds else " **outside**"
        return f"| {self.experiment} | {self.case} | {self.share:.3f}{mark} | {low:.3f} to {high:.3f} |"


def auc_interval(draws: int) -> Iterator[Row]:
    """95 % intervals of the AUC."""
    for n in (15, 100, 1000):
        for auc in (0.5, 0.65, 0.8, 0.95):
            for levels in ("continuous", "five levels"):

                def covers(
                    rng: np.random.Generator, n: int = n, auc: float = auc, levels: str = levels
                ) -> bool:
                    positive, scores, shift = binormal(rng, n, auc)
                    cuts = five_levels(shift)
                    if levels == "five levels":
                        found = auc_estimate(placements(positive, np.digitize(scores, cuts).astype(float)))
                        return found.low <= auc_of_levels(shift, cuts) <= found.high
                    found = auc_estimate(placements(positive, scores))
                    return found.low <= auc <= found.high

                yield row("AUC interval covers", f"n {n}, AUC {auc}, {levels}", draws, covers, COVERS)


def unequal(draws: int) -> Iterator[Row]:
    """95 % intervals where one side is small and the other is not: weaker where nearly all are told apart."""
    for small in (10, 15, 20):
        for auc, wanted in ((0.8, COVERS), (0.95, COVERS_UNEQUAL)):
            for sizes in ((small, 500), (500, small)):

                def covers(
                    rng: np.random.Generator, sizes: tuple[int, int] = sizes, auc: float = auc
                ) -> bool:
                    positive, scores, _ = binormal(rng, sizes[0], auc, sizes[1])
                    found = auc_estimate(placements(positive, scores))
                    return found.low <= auc <= found.high

                case = f"{sizes[0]} and {sizes[1]}, AUC {auc}"
                yield row("AUC interval covers, unequal sides", case, draws, covers, wanted)


def auc_test(draws: int) -> Iterator[Row]:
    """The one-sided test of an AUC above 0.5 where there is nothing."""
    for n in (15, 50, 400):

        def alarm(rng: np.random.Generator, n: int = n) -> bool:
            positive, scores, _ = binormal(rng, n, 0.5)
            return auc_estimate(placements(positive, scores)).p_above(0.5) <= 0.025

        yield row("AUC test, false alarms", f"n {n}", draws, alarm, FALSE_ALARM)


def difference(draws: int) -> Iterator[Row]:
    """The paired difference of two correlated scores: its interval, and its test where they are equal."""
    for n in (15, 100, 1000):
        for first, second in ((0.5, 0.5), (0.65, 0.65), (0.8, 0.65), (0.95, 0.8)):

            def estimate(
                rng: np.random.Generator, n: int = n, first: float = first, second: float = second
            ) -> tuple[float, float, float]:
                both = pair(rng, n, first, second)
                found = auc_difference(*both)
                return found.low, found.high, found.p_above(0.0)

            def covers(
                rng: np.random.Generator,
                truth: float = first - second,
                estimate: Callable[[np.random.Generator], tuple[float, float, float]] = estimate,
            ) -> bool:
                low, high, _ = estimate(rng)
                return low <= truth <= high

            def alarm(
                rng: np.random.Generator,
                estimate: Callable[[np.random.Generator], tuple[float, float, float]] = estimate,
            ) -> bool:
                return estimate(rng)[2] <= 0.025

            case = f"n {n}, AUC {first} and {second}"
            yield row("paired difference covers", case, draws, covers, COVERS)
            if first == second:
                yield row("paired difference, false alarms", case, draws, alarm, FALSE_ALARM)


def clustered(draws: int) -> Iterator[Row]:
    """Every sample three times: intervals that know it, and such that don't."""
    for n in (15, 100):
        for auc in (0.5, 0.8):
            for known in (True, False):

                def covers(
                    rng: np.random.Generator, n: int = n, auc: float = auc, known: bool = known
                ) -> bool:
                    positive, scores, _ = binormal(rng, n, auc)
                    found = placements(np.repeat(positive, 3), np.repeat(scores, 3))
                    groups = np.repeat(np.arange(2 * n), 3)
                    clusters = (groups[: 3 * n], groups[3 * n :]) if known else None
                    estimate = auc_estimate(found, clusters)
                    return estimate.low <= auc <= estimate.high

                name = "clusters of three, known" if known else "clusters of three, unknown"
                wanted = COVERS if known else (0.0, 0.9)
                yield row(name, f"{n} clusters, AUC {auc}", draws, covers, wanted)


def tpr(draws: int) -> Iterator[Row]:
    """95 % intervals of the true positive rate at a false positive rate."""
    n = 1000
    for point in (0.1, 0.01):
        for auc in (0.5, 0.65, 0.8, 0.95):
            truth = float(norm.sf(norm.isf(point) - math.sqrt(2) * norm.ppf(auc)))

            def covers(
                rng: np.random.Generator, point: float = point, auc: float = auc, truth: float = truth
            ) -> bool:
                positive, scores, _ = binormal(rng, n, auc)
                found = figures(positive, scores)
                interval = None if found is None else found.tpr_intervals[point]
                return interval is not None and interval[0] <= truth <= interval[1]

            yield row("TPR interval covers", f"n {n}, FPR {point}, AUC {auc}", draws, covers, COVERS)


def share(draws: int) -> Iterator[Row]:
    """The lower bound of the share of members, from cross-conformal p-values."""
    for candidates, nonmembers in ((100, 100), (1000, 300)):
        for members in (0.0, 0.1, 0.3):
            for strength in (1.5, 4.0):
                if not members and strength > 2:
                    continue

                def holds(
                    rng: np.random.Generator,
                    sizes: tuple[int, int] = (candidates, nonmembers),
                    members: float = members,
                    strength: float = strength,
                ) -> bool:
                    found = rng.random(sizes[0]) < members
                    p_values = cross_conformal(rng, np.where(found, strength, 0.0), sizes[1])
                    return member_share_low(p_values, *sizes) <= members

                case = f"{candidates} candidates, {nonmembers} non-members, share {members}, {strength} sd"
                yield row("share of members at least the bound", case, draws, holds, (0.95, 1.0))


def adjusted(draws: int) -> Iterator[Row]:
    """The AUC adjusted for a shift that the propensity captures, where nothing else is there."""
    for n in (15, 100, 1000):
        for blind in (0.5, 0.69, 0.855):

            def covers(rng: np.random.Generator, n: int = n, blind: float = blind) -> bool:
                positive, scores, propensity = shifted(rng, n, blind, 0.0)
                found = adjusted_auc(positive, scores, propensity).estimate
                return found is not None and found.low <= 0.5 <= found.high

            # Where few are alike the interval is one that holds for any scores, and wide.
            wanted = (COVERS[0], 1.0) if n == 15 else COVERS
            yield row("adjusted AUC covers 0.5", f"n {n}, blind AUC {blind}", draws, covers, wanted)


def power(draws: int) -> Iterator[Row]:
    """How often an AUC is found to be above 0.5, against the planner's word."""
    for positives, negatives, auc in ((50, 50, 0.65), (400, 400, 0.56), (30, 300, 0.65), (300, 30, 0.65)):

        def found(
            rng: np.random.Generator,
            sizes: tuple[int, int] = (positives, negatives),
            auc: float = auc,
        ) -> bool:
            positive, scores, _ = binormal(rng, sizes[0], auc, sizes[1])
            return auc_estimate(placements(positive, scores)).p_above(0.5) <= 0.025

        expected = power_at(auc, positives, negatives)
        case = f"{positives} and {negatives}, AUC {auc}"
        yield row("power as planned", case, draws, found, (expected - 0.06, expected + 0.06))


def verdicts(draws: int) -> Iterator[Row]:
    """Whole audits of synthetic pairs, blind baselines trained and all: how often is the verdict a leak?

    `visible` shift is in the images' form, which blind baselines see; `hidden` shift
    moves the similarity of any model and nothing else. In deviations, as the signal.
    """
    audits = {FULL: FULL_AUDITS, SHORT: SHORT_AUDITS}[draws]
    for case, options, wanted in (
        ("no signal, 200 a side", {"side": 200}, RARELY),
        ("no signal, 30 a side", {"side": 30}, RARELY),
        ("visible shift 0.5", {"side": 200, "visible": 0.5}, RARELY),
        ("visible shift 1", {"side": 200, "visible": 1.0}, RARELY),
        ("visible shift 3", {"side": 200, "visible": 3.0}, RARELY),
        ("visible shift 3, reference", {"side": 200, "visible": 3.0, "reference": 1.0}, RARELY),
        ("hidden shift 0.5, reference", {"side": 200, "hidden": 0.5, "reference": 1.0}, RARELY),
        ("hidden shift 1, reference", {"side": 200, "hidden": 1.0, "reference": 1.0}, RARELY),
        (
            "hidden shift 1, the target spreads twice as wide",
            {"side": 200, "hidden": 1.0, "reference": 1.0, "width": 2.0},
            RARELY,
        ),
        ("AUC 0.65, 400 a side, matched", {"side": 400, "signal": _shift(0.65)}, MOSTLY),
        (
            "AUC 0.65, 400 a side, matched, reference",
            {"side": 400, "signal": _shift(0.65), "reference": 1.0},
            MOSTLY,
        ),
    ):

        def leak(rng: np.random.Generator, options: Mapping[str, float] = options) -> bool:
            return judge(synthetic_audit(rng, **options), 0.6).verdicts[0].outcome == "leak"

        yield row("verdict is leak", case, audits, leak, wanted, FULL_AUDITS)


def group(draws: int) -> Iterator[Row]:
    """Candidates without labels and without signal; what is fitted is fitted to the candidates themselves."""
    audits = {FULL: FULL_AUDITS, SHORT: SHORT_AUDITS}[draws]
    attacks = make_attacks(AttacksSpec(csa=CsaSpec(), wsa=WsaSpec(seeds=1)))
    for name in ("csa", "wsa"):
        tried = [attack for attack in attacks if attack.name == name]

        def alarm(rng: np.random.Generator, tried: Sequence[Attack] = tried) -> bool:
            pools = AttackPools(drawn_pool(rng, 600), drawn_pool(rng, 200), None, None)
            (found,) = run_attacks(tried, pools, 50.0, 0).scores
            everyone = {"candidates": np.arange(600), "nonmembers": np.arange(600, 800)}
            audited = Audited(
                attacks=[found],
                member=np.full(600, -1, np.int8),
                duplicates=everyone,
                same_captions=everyone,
                blind={},
                reference={},
                control=[],
                fitted_to_candidates=[found.attack] if FITTED_TO_CANDIDATES in found.facts else [],
            )
            return judge(audited, 0.6).verdicts[0].outcome == "leak"

        yield row(
            "group, verdict is leak",
            f"no signal, 600 against 200, {name}",
            audits,
            alarm,
            RARELY,
            FULL_AUDITS,
        )


@dataclass(frozen=True)
class DrawnPool:
    """Pairs of random embeddings whose similarities spread like those of a model."""

    keys: NDArray[np.uint64]
    block: Block

    @property
    def image_keys(self) -> NDArray[np.uint64]:
        return self.keys

    @property
    def similarities(self) -> NDArray[np.float32]:
        return self.block.similarities

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, rows: NDArray[np.int64]) -> Block:
        return Block(self.block.similarities[rows], self.block.image[rows], self.block.text[rows])


def drawn_pool(rng: np.random.Generator, size: int, dimension: int = 16) -> DrawnPool:
    """`size` pairs in `dimension` dimensions, with three views."""
    text, other = (unit(rng.normal(size=(size, dimension))) for _ in range(2))
    across = unit(other - (other * text).sum(axis=1, keepdims=True) * text)
    cosine = np.clip(0.3 + 0.1 * rng.normal(size=(size, 1)), -0.95, 0.95)
    image = cosine * text + np.sqrt(1 - cosine**2) * across
    similarities = np.hstack([cosine, cosine - 0.05 * rng.random(size=(size, 3))])
    keys = rng.integers(0, 2**63, size).astype(np.uint64)
    return DrawnPool(keys, Block(*(each.astype(np.float32) for each in (similarities, image, text))))


def unit(vectors: Floats) -> Floats:
    lengths: Floats = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / lengths


EXPERIMENTS: Mapping[str, Callable[[int], Iterator[Row]]] = {
    experiment.__name__: experiment
    for experiment in (
        *(auc_interval, unequal, auc_test, difference, clustered, tpr, share, adjusted, power),
        *(group, verdicts),
    )
}


def row(
    experiment: str,
    case: str,
    draws: int,
    happens: Callable[[np.random.Generator], bool],
    wanted: tuple[float, float],
    full: int = FULL,
) -> Row:
    """How often something happens, with the seed of the case."""
    rng = np.random.default_rng([SEED, zlib.crc32(f"{experiment}: {case}".encode())])
    return Row(experiment, case, draws, sum(happens(rng) for _ in range(draws)) / draws, wanted, full)


def synthetic_audit(
    rng: np.random.Generator,
    side: int,
    signal: float = 0.0,
    visible: float = 0.0,
    hidden: float = 0.0,
    reference: float | None = None,
    width: float = 1.0,
) -> Audited:
    """An audit of `side` members and as many non-members by three attacks that share most of their noise.

    `reference` is how strongly the reference model sees a shift, 1 as the target
    does; `width` how much wider the target spreads its scores. With a reference
    there is the calibrated attack as well.
    """
    member = np.repeat([True, False], side)
    seen = rng.normal(visible * member)
    nuisance = (seen - rng.normal(size=2 * side)) / math.sqrt(2) + hidden * member

    def score(of_signal: float, of_nuisance: float) -> Floats:
        shared = rng.normal(size=2 * side)
        noise: Floats = of_signal * member + 0.5 * of_nuisance * nuisance + math.sqrt(0.75) * shared
        return noise

    csa = score(signal, 1.0)
    attacks = {name: csa + 0.3 * rng.normal(size=2 * side) for name in ("aea", "wsa")} | {"csa": csa}
    beside = {} if reference is None else {name: score(0.0, reference) for name in attacks}
    scores = [_scores(name, found) for name, found in attacks.items()]
    if beside:
        nobody_known = np.zeros(2 * side, np.int64), np.empty((1, 0))
        ours, theirs = (
            RawScores("csa", nobody_known[0], found[None], nobody_known[1], {})
            for found in (width * csa, beside["csa"])
        )
        scores.append(finish(calibrated(ours, theirs, CALIBRATED["csa"], None), None))
    words = rng.integers(0, 60, (2 * side, 4))
    form = np.column_stack([seen, rng.normal(size=(2 * side, 5))]).astype(np.float32)
    looks = Appearances(
        captions=[" ".join(f"w{word}" for word in caption) for caption in words],
        form=form,
        statistics=rng.normal(size=(2 * side, 8)).astype(np.float32),
    )
    alone = {"candidates": np.arange(2 * side)}
    nobody = np.empty(0)
    blind = blind_scores(member, looks, alone["candidates"], seed=0)
    return Audited(
        attacks=scores,
        member=member.astype(np.int8),
        duplicates=alone,
        same_captions=alone,
        blind={name: SideScores(found, nobody) for name, found in blind.items()},
        reference={name: _scores(name, found) for name, found in beside.items()},
        control=[],
    )


def _scores(attack: str, scores: Floats) -> AttackScores:
    return AttackScores(attack, scores, None, None, None, None, {})


def _shift(auc: float) -> float:
    """How far apart two normals of deviation 1 are that have this AUC."""
    return math.sqrt(2) * float(norm.ppf(auc))


def binormal(
    rng: np.random.Generator, positives: int, auc: float, negatives: int | None = None
) -> tuple[NDArray[np.bool_], Floats, float]:
    """Labels and normal scores with this AUC, and how far apart the two sides are."""
    shift = math.sqrt(2) * float(norm.ppf(auc))
    positive = np.repeat([True, False], [positives, positives if negatives is None else negatives])
    return positive, rng.normal(shift * positive), shift


def five_levels(shift: float) -> Floats:
    """Thresholds that cut two normal sides into five levels."""
    return np.array([-1.0, -0.33, 0.33, 1.0]) + shift / 2


def auc_of_levels(shift: float, cuts: Floats) -> float:
    """The true AUC of the cut scores, ties half."""
    above, below = (np.diff([0, *norm.cdf(cuts - mean), 1]) for mean in (shift, 0.0))
    return float(above @ (np.cumsum(below) - below / 2))


def pair(rng: np.random.Generator, n: int, first: float, second: float) -> tuple[Placements, Placements]:
    """Two scores of the same samples, correlated by 0.5 within each side."""
    positive = np.repeat([True, False], n)
    common = rng.normal(size=2 * n)
    found = []
    for auc in (first, second):
        noise = math.sqrt(0.5) * (common + rng.normal(size=2 * n))
        found.append(placements(positive, noise + math.sqrt(2) * norm.ppf(auc) * positive))
    return found[0], found[1]


def cross_conformal(rng: np.random.Generator, means: Floats, nonmembers: int, folds: int = 5) -> Floats:
    """p-values of candidates with these means, over folds whose fits differ a little."""
    own = rng.normal(means)
    known = rng.normal(size=nonmembers)
    fold = rng.integers(folds, size=nonmembers)
    higher = np.zeros(len(means))
    for number in range(folds):
        scores = own + rng.normal(0, 0.1, len(means))
        inside = np.sort(known[fold == number] + rng.normal(0, 0.1, int((fold == number).sum())))
        higher += len(inside) - np.searchsorted(inside, scores, side="left")
    return (1 + higher) / (nonmembers + 1)


def shifted(
    rng: np.random.Generator, n: int, blind: float, signal: float
) -> tuple[NDArray[np.bool_], Floats, Floats]:
    """Labels, scores and propensity: the propensity tells the sides apart, and the score follows it."""
    positive, propensity, _ = binormal(rng, n, blind)
    return (
        positive,
        0.63 * propensity + rng.normal(0, math.sqrt(1 - 0.63**2), 2 * n) + signal * positive,
        propensity,
    )


def adjustment_table() -> str:
    """What is left of the raw AUC once it is adjusted, with and without a true signal of 0.3 sd; n 20,000."""
    lines = ["| true signal | blind AUC | raw AUC | adjusted AUC |", "|---|---|---|---|"]
    for signal in (0.0, 0.3):
        for blind in (0.5, 0.69, 0.855):
            positive, scores, propensity = shifted(np.random.default_rng(SEED), 20_000, blind, signal)
            found = adjusted_auc(positive, scores, propensity).estimate
            assert found is not None
            raw = placements(positive, scores).auc
            lines.append(f"| {signal} sd | {blind} | {raw:.3f} | {found.value:.3f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help=f"{SHORT} draws instead of {FULL}")
    parser.add_argument("--only", choices=EXPERIMENTS, help="one experiment")
    options = parser.parse_args()
    print("| what | case | share of draws | wanted |\n|---|---|---|---|")
    held = True
    for name, experiment in EXPERIMENTS.items():
        if options.only in (None, name):
            for found in experiment(SHORT if options.short else FULL):
                print(found, flush=True)
                held &= found.holds
    if options.only in (None, "adjusted"):
        print(f"\n{adjustment_table()}")
    sys.exit(not held)


if __name__ == "__main__":
    main()
