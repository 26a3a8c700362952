"""What an audit looks at besides the scores of its attacks: what else could explain them.

Looks without any model (near duplicates, blind baselines), the attacks' own
controls, and whether another order, batch or seed gives the same answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tui_mia.attacks import Attack, AttackPools, Outcome, make_stability_attacks, run_attacks
from tui_mia.encoder import PoolAppearances, Reencoded
from tui_mia.evidence import (
    Appearances,
    Audited,
    Check,
    SideScores,
    blind_scores,
    compare,
    near_duplicates,
    order_stability,
    seed_stability,
)
from tui_mia.scored import AttackScores
from tui_mia.spec import AuditSpec
from tui_mia.tables import AuditPool

# Fewer have no order to speak of.
FEWEST_RANKED = 10


def scored(pools: Mapping[str, AuditPool], outcome: Outcome, control: Outcome) -> Audited:
    """What the attacks say, and the labels; every sample alone of its kind."""
    ends = np.cumsum([0, *(len(pool.kept) for pool in pools.values())])
    alone = {name: np.arange(start, end) for name, start, end in zip(pools, ends[:-1], ends[1:], strict=True)}
    return Audited(
        attacks=outcome.scores,
        member=_labels(pools["candidates"]),
        duplicates=alone,
        same_captions=alone,
        blind={},
        reference={attack.attack: attack for attack in outcome.reference},
        control=control.scores,
    )


def with_looks(audited: Audited, pools: Mapping[str, AuditPool], seed: int) -> Audited:
    """The same with what follows from looks alone: near duplicates, and then the blind baselines."""
    looks = {name: pool.encoded.appearances(pool.kept.rows) for name, pool in pools.items()}
    alike = near_duplicates(
        np.concatenate([of_pool.perceptual_hashes for of_pool in looks.values()]),
        [caption for of_pool in looks.values() for caption in of_pool.captions],
    )
    ends = np.cumsum([len(of_pool.captions) for of_pool in looks.values()])[:-1]
    found = replace(
        audited,
        duplicates=dict(zip(looks, np.split(alike.images, ends), strict=True)),
        same_captions=dict(zip(looks, np.split(alike.captions, ends), strict=True)),
    )
    return replace(found, blind=_blind(found, looks, seed))


def encoded_again(again: Reencoded) -> Iterable[Check]:
    """Whether the model sees the same in another order and batch."""
    if len(again.sample_ids) >= FEWEST_RANKED:
        yield order_stability(again.stored.similarities, again.again.similarities)


def lighter(spec: AuditSpec, attacks: Sequence[Attack]) -> list[Attack]:
    """The same attacks, those that average over several draws with one of them: enough for a control."""
    light = {attack.name: attack for attack in make_stability_attacks(spec.attacks)}
    return [light.get(attack.name, attack) for attack in attacks]


def other_seed(
    spec: AuditSpec, pools: AttackPools, logit_scale: float, scores: Sequence[AttackScores]
) -> Iterable[Check]:
    """The attacks that draw, with another draw."""
    before = {attack.attack: attack for attack in scores}
    attacks = [attack for attack in make_stability_attacks(spec.attacks) if attack.name in before]
    if len(pools.candidates) < FEWEST_RANKED:
        return
    for again in run_attacks(attacks, pools, logit_scale, spec.run.seed + 1).scores:
        yield seed_stability(before[again.attack], again)


def not_compared(outcome: Outcome, control: Outcome) -> Iterable[Check]:
    """Attacks that ran, but not on the reference or not in the negative control."""
    ran = {attack.attack for attack in outcome.scores}
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


def _blind(audited: Audited, looks: Mapping[str, PoolAppearances], seed: int) -> dict[str, SideScores]:
    """The blind baselines of the two sides that will be compared; nothing where nothing will."""
    comparison = compare(audited)
    if comparison is None:
        return {}
    other = "candidates" if comparison.kind == "labelled" else "nonmembers"
    sides = [(looks["candidates"], comparison.positives), (looks[other], comparison.negatives)]
    scores = blind_scores(
        comparison.is_positive,
        Appearances(
            [side.captions[row] for side, rows in sides for row in rows.tolist()],
            np.concatenate([side.form[rows] for side, rows in sides]),
            np.concatenate([side.statistics[rows] for side, rows in sides]),
        ),
        np.concatenate(comparison.duplicates),
        seed,
    )
    counts = len(audited.member), audited.nonmembers
    return {name: comparison.to_sides(of_name, *counts) for name, of_name in scores.items()}
