"""What an audit looks at besides the scores of its attacks: what else could explain them.

Looks without any model (near duplicates, blind baselines), the attacks' own
controls, and whether another order, batch or seed gives the same answer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tui_mia.attacks import Attack, AttackPools, Outcome, make_stability_attacks, run_attacks
from tui_mia.encoder import EncodedPool, Reencoded
from tui_mia.evidence import (
    Appearances,
    Audited,
    Check,
    SideScores,
    blind_scores,
    compare,
    drawn,
    near_duplicates,
    order_stability,
    seed_stability,
)
from tui_mia.scored import DRAWN_OF_EACH, KNOWN_NONMEMBERS, PSEUDO_MEMBERS, AttackScores
from tui_mia.spec import AuditSpec
from tui_mia.tables import AuditPool

OnProgress: TypeAlias = Callable[[int, int], None]

# Fewer have no order to speak of.
FEWEST_RANKED = 10
# About how much of the time for looks goes into captions, and with the search for pictures that are alike.
CAPTIONS_SHARE, DUPLICATES_SHARE = 0.03, 0.05


def part_of(on_progress: OnProgress, begin: float, end: float) -> OnProgress:
    """Hears of a part of some work, and tells of the whole: this is from `begin` to `end` of it, 0 to 1."""
    steps = 10_000
    return lambda done, total: on_progress(round(steps * (begin + (end - begin) * done / total)), steps)


@dataclass(frozen=True)
class _Looks:
    """What n samples of two pools look like, read from their parts: rows of the first, then of the other."""

    pools: tuple[EncodedPool, EncodedPool]
    rows: tuple[NDArray[np.int64], NDArray[np.int64]]

    def __len__(self) -> int:
        return sum(map(len, self.rows))

    def take(self, rows: NDArray[np.int64]) -> Appearances:
        of_first = rows < len(self.rows[0])
        first = self.pools[0].appearances(self.rows[0][rows[of_first]])
        other = self.pools[1].appearances(self.rows[1][rows[~of_first] - len(self.rows[0])])
        both = Appearances(
            [*first.captions, *other.captions],
            np.concatenate([first.form, other.form]),
            np.concatenate([first.statistics, other.statistics]),
        )
        places = np.concatenate([np.flatnonzero(of_first), np.flatnonzero(~of_first)])
        return both.take(np.argsort(places))

    def blocks(self, most: int) -> Iterator[NDArray[np.int64]]:
        """As they lie in the parts."""
        by_part = np.arange(len(self))
        if self.pools[0] is self.pools[1]:
            by_part = np.argsort(np.concatenate(self.rows), kind="stable")
        for start in range(0, len(by_part), most):
            yield by_part[start : start + most]


def unscored(pools: Mapping[str, AuditPool], outcome: Outcome, control: Outcome) -> Audited:
    """What is compared with the attacks' scores, and the labels; every sample alone of its kind."""
    ends = np.cumsum([0, *(len(pool.kept) for pool in pools.values())])
    alone = {name: np.arange(start, end) for name, start, end in zip(pools, ends[:-1], ends[1:], strict=True)}
    return Audited(
        attacks=[],
        member=_labels(pools["candidates"]),
        duplicates=alone,
        same_captions=alone,
        blind={},
        reference={attack.attack: attack for attack in outcome.reference},
        control=control.scores,
    )


def with_looks(
    audited: Audited,
    pools: Mapping[str, AuditPool],
    seed: int,
    on_progress: OnProgress = lambda done, total: None,
) -> Audited:
    """The same with what follows from looks alone: near duplicates, and then the blind baselines."""
    kept = {name: pool.kept.rows for name, pool in pools.items()}
    alike = near_duplicates(
        np.concatenate([pool.encoded.perceptual_hashes(kept[name]) for name, pool in pools.items()]),
        _captions(pools, kept, part_of(on_progress, 0.0, CAPTIONS_SHARE)),
        on_progress=part_of(on_progress, CAPTIONS_SHARE, DUPLICATES_SHARE),
    )
    ends = np.cumsum([len(rows) for rows in kept.values()])[:-1]
    found = replace(
        audited,
        duplicates=dict(zip(pools, np.split(alike.images, ends), strict=True)),
        same_captions=dict(zip(pools, np.split(alike.captions, ends), strict=True)),
    )
    return replace(found, blind=_blind(found, pools, seed, part_of(on_progress, DUPLICATES_SHARE, 1.0)))


def _captions(
    pools: Mapping[str, AuditPool], kept: Mapping[str, NDArray[np.int64]], on_progress: OnProgress
) -> Iterator[str]:
    """The captions of the samples that stay, pool by pool; of one part in memory."""
    done, total = 0, sum(map(len, kept.values()))
    for name, pool in pools.items():
        for captions in pool.encoded.captions(kept[name]):
            yield from captions
            done += len(captions)
            on_progress(done, total)


def encoded_again(again: Reencoded) -> Iterable[Check]:
    """Whether the model sees the same in another order and batch."""
    if len(again.sample_ids) >= FEWEST_RANKED:
        yield order_stability(again.stored.similarities, again.again.similarities)


def lighter(spec: AuditSpec, attacks: Sequence[Attack]) -> list[Attack]:
    """The same attacks, those that average over several draws with one of them: enough for a control."""
    light = {attack.name: attack for attack in make_stability_attacks(spec.attacks)}
    return [light.get(attack.name, attack) for attack in attacks]


def drawing(spec: AuditSpec, attacks: Sequence[AttackScores]) -> list[AttackScores]:
    """Those whose scores depend on a draw."""
    draws = {attack.name for attack in make_stability_attacks(spec.attacks)}
    return [attack for attack in attacks if attack.attack in draws]


def other_seed(
    spec: AuditSpec,
    pools: AttackPools,
    logit_scale: float,
    scores: Sequence[AttackScores],
    on_progress: OnProgress = lambda done, total: None,
) -> Iterable[Check]:
    """The attacks that draw, with another draw."""
    before = {attack.attack: attack for attack in scores}
    attacks = [attack for attack in make_stability_attacks(spec.attacks) if attack.name in before]
    if not attacks or len(pools.candidates) < FEWEST_RANKED:
        return
    for again in run_attacks(attacks, pools, logit_scale, spec.run.seed + 1, on_progress).scores:
        yield seed_stability(before[again.attack], again)


def fitted_to_samples(audited: Audited, facts: Mapping[str, Mapping[str, float]]) -> Iterable[Check]:
    """What was fitted to a drawn sample of the pairs, since all of them are too many to hold."""
    comparison = compare(audited)
    if comparison is not None and audited.blind:
        of_each = len(comparison.positives), len(comparison.negatives)
        if (fitted := drawn(*of_each)) < sum(of_each):
            words = (
                f"The blind baselines were fitted to {fitted:,} of {sum(of_each):,} samples, drawn by a hash"
                " of what is seen of them; all were scored."
            )
            yield Check("sampled_blind", None, fitted, None, None, sum(of_each), "note", words)
    for attack, of_fits in facts.items():
        if DRAWN_OF_EACH in of_fits:
            fitted, found, known = (
                round(of_fits[fact]) for fact in (DRAWN_OF_EACH, PSEUDO_MEMBERS, KNOWN_NONMEMBERS)
            )
            words = (
                f"Each classifier was fitted to {fitted:,} of {found:,} pseudo-members and as many of"
                f" {known:,} known non-members outside its fold, drawn by content and seed; all samples were"
                " scored."
            )
            yield Check("sampled_fit", attack, fitted, None, None, found, "note", words)


def not_compared(ran: Collection[str], outcome: Outcome, control: Outcome) -> Iterable[Check]:
    """Attacks that ran, but not on the reference or not in the negative control."""
    for check, failed in (("reference_failed", outcome.reference_failed), ("control_failed", control.failed)):
        for attack, why in failed.items():
            if attack in ran:
                yield Check(check, attack, None, None, None, None, "note", why)


def _labels(candidates: AuditPool) -> NDArray[np.int8]:
    labels = pa.chunked_array(
        [
            pq.read_table(path, columns=["member"])["member"].combine_chunks()
            for path in candidates.encoded.paths
        ]
    ).filter(pa.array(candidates.overlap.keep))
    member: NDArray[np.int8] = labels.cast(pa.int8()).fill_null(-1).to_numpy()
    return member


def _blind(
    audited: Audited, pools: Mapping[str, AuditPool], seed: int, on_progress: OnProgress
) -> dict[str, SideScores]:
    """The blind baselines of the two sides that will be compared; nothing where nothing will."""
    comparison = compare(audited)
    if comparison is None:
        return {}
    candidates = pools["candidates"]
    other = candidates if comparison.kind == "labelled" else pools["nonmembers"]
    scores = blind_scores(
        comparison.is_positive,
        _Looks(
            (candidates.encoded, other.encoded),
            (candidates.kept.rows[comparison.positives], other.kept.rows[comparison.negatives]),
        ),
        np.concatenate(comparison.duplicates),
        seed,
        on_progress,
    )
    counts = len(audited.member), audited.nonmembers
    return {name: comparison.to_sides(of_name, *counts) for name, of_name in scores.items()}
