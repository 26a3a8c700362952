"""The main job: pools, encode, sort, attack, judge, save.

Pairs are read from their files; every image is decoded once and encoded once a
view; pools are told apart by content; every attack reads the same similarities
and embeddings, fitted out of fold; where labels are known, the scores are
measured against them; and all of it is written to the run directory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from tui_mia.attacks import AttackError, AttackPools, AttackScores, make_attacks, run_attacks
from tui_mia.embedded import Subset
from tui_mia.encoder import (
    EncodedPool,
    ModelError,
    TargetModel,
    device_identity,
    encode_pools,
    load_target,
    part_paths,
    read_rejects,
)
from tui_mia.evidence import Figures, figures
from tui_mia.pools import PoolError, keep_apart, plan_shards
from tui_mia.runs import Loaded, Note, RunDirectory, Skipped
from tui_mia.runs.device_lock import device_lock
from tui_mia.runs.reporter import Reporter
from tui_mia.spec import AuditSpec
from tui_mia.tables import AuditPool, write_metrics, write_samples, write_scores

BATCH_SIZE = {"cpu": 32, "cuda": 256}


class AuditError(Exception):
    """The audit can't come to its end; the message says why and what to do."""


AUDIT_ERRORS = (AuditError, AttackError, ModelError, PoolError)


def run_audit(spec: AuditSpec, directory: RunDirectory, report: Reporter) -> None:
    """Carry out an audit in its run directory; what an earlier attempt finished is not done again.

    Raises:
        AUDIT_ERRORS: with what to change. The scores of attacks that worked are
            saved even when another attack failed.
    """
    with report.phase("plan"):
        attacks = make_attacks(spec.attacks)
        shards = {pool: plan_shards(pool, pool_spec) for pool, pool_spec in spec.pool_specs().items()}
    with report.phase("load"):
        model = _load(spec, report)
    device = str(model.device)
    lock = device_lock(device, device_identity(model.device), lambda message: report.tell(Note(message)))
    with lock, report.phase("encode"):
        batch_size = spec.run.batch_size or BATCH_SIZE[model.device.type]
        encode_pools(spec, shards, model, batch_size, directory.parts, report.progress)
    with report.phase("sort"):
        pools = _pools(spec, directory, report)
        write_samples(directory.tables, list(pools.values()))
        _require_samples(pools)
    with report.phase("attack"):
        outcome = run_attacks(
            attacks,
            AttackPools(
                candidates=pools["candidates"].kept,
                nonmembers=_kept(pools, "nonmembers"),
                general=_kept(pools, "general"),
                bank=_kept(pools, "bank"),
            ),
            model.logit_scale,
            spec.run.seed,
            lambda done, total: report.progress(done / total),
        )
    with report.phase("judge"):
        found = _judge(pools["candidates"], outcome.scores)
    with report.phase("save"):
        write_scores(directory.tables, pools, outcome.scores)
        write_metrics(directory.tables, outcome.scores, found)
    for attack, reason in {**outcome.skipped, **outcome.failed}.items():
        report.tell(Skipped(attack, reason.removeprefix(f"{attack}: ")))
    if outcome.failed:
        raise AuditError("\n".join(outcome.failed.values()))


def _load(spec: AuditSpec, report: Reporter) -> TargetModel:
    model = load_target(spec.model)
    report.device = str(model.device)
    if model.device.type == "cuda":
        report.device_memory = lambda: int(torch.cuda.max_memory_allocated(model.device))
    report.tell(
        Loaded(
            str(model.device),
            model.number_format,
            model.fingerprint.weights,
            model.fingerprint.preprocess,
            model.fingerprint.tokenizer,
        )
    )
    return model


def _pools(spec: AuditSpec, directory: RunDirectory, report: Reporter) -> dict[str, AuditPool]:
    """The encoded pools, told apart by content."""
    encoded = {name: EncodedPool(part_paths(directory.parts, name)) for name in spec.pool_specs()}
    overlaps = keep_apart({name: pool.sample_ids for name, pool in encoded.items()})
    for pool, overlap in overlaps.items():
        for reason, count in Counter(overlap.reasons.values()).most_common():
            report.tell(Note(f"{pool}: {count} left out: {reason}", "warning"))
    return {
        name: AuditPool(
            name=name,
            source=", ".join(pool_spec.source),
            encoded=encoded[name],
            overlap=overlaps[name],
            rejects=read_rejects(directory.parts, name),
        )
        for name, pool_spec in spec.pool_specs().items()
    }


def _kept(pools: Mapping[str, AuditPool], name: str) -> Subset | None:
    return pools[name].kept if name in pools else None


def _require_samples(pools: Mapping[str, AuditPool]) -> None:
    for pool in pools.values():
        if not pool.overlap.keep.any():
            reasons = [*pool.rejects["reason"].to_pylist(), *pool.overlap.reasons.values()]
            most = Counter(reasons).most_common(1)
            rejected = f"all {len(reasons)} entries were rejected, most often: " if most else ""
            why = f"{rejected}{most[0][0]}" if most else "it is empty"
            raise AuditError(f"pools.{pool.name}: nothing usable; {why}")


def _judge(candidates: AuditPool, scores: list[AttackScores]) -> Mapping[str, Figures | None]:
    """The figures of each attack over the labelled candidates; the only place that reads a label."""
    labels = pa.chunked_array(
        [
            pq.read_table(path, columns=["member"])["member"].combine_chunks()
            for path in candidates.encoded.paths
        ]
    ).filter(pa.array(candidates.overlap.keep))
    known = labels.is_valid().to_numpy()
    member = labels.drop_null().to_numpy().astype(np.bool_)
    return {attack.attack: figures(member, attack.candidates[known]) for attack in scores}
