"""The main job: pools, encode, sort, attack, check, judge.

Pairs are read from their files; every image is decoded once and encoded once a
view; pools are told apart by content; every attack reads the same similarities
and embeddings, fitted out of fold; what else could explain the scores is
scored as well; and what is judged is read back from the tables of the run
directory, where anyone can judge it again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count

from tui_mia.attacks import (
    Attack,
    AttackError,
    AttackPools,
    Reference,
    control_rows,
    make_attacks,
    negative_control,
    run_attacks,
)
from tui_mia.checking import (
    OnProgress,
    drawing,
    encoded_again,
    fitted_to_samples,
    lighter,
    not_compared,
    other_seed,
    unscored,
    with_looks,
)
from tui_mia.crew import About, CrewError, open_encoders
from tui_mia.encoder import (
    EncodedPool,
    ModelError,
    Schedule,
    SeenBy,
    other_models,
    other_ways,
    part_paths,
    read_indexes,
    read_rejects,
)
from tui_mia.evidence import Check, judge
from tui_mia.pools import PoolError, PoolName, Shard, keep_apart, plan_shards
from tui_mia.runs import Loaded, Note, ReferenceLoaded, RunDirectory, Skipped
from tui_mia.runs.reporter import Reporter
from tui_mia.runs.tasks import TaskDirectory
from tui_mia.scored import FITTED_TO_CANDIDATES
from tui_mia.spec import AuditSpec
from tui_mia.stored import read_audited
from tui_mia.tables import (
    AuditPool,
    write_baselines,
    write_duplicates,
    write_judgement,
    write_samples,
    write_scores,
)

# About how much of the checks is done after the negative control, and after the looks; by whether there are
# attacks that draw, which are fitted again for the one and once more after the other. Writing comes between.
CHECK_PARTS = {True: (0.25, 0.65), False: (0.05, 0.97)}
WRITING = 0.02


class AuditError(Exception):
    """The audit can't come to its end; the message says why and what to do."""


AUDIT_ERRORS = (AuditError, AttackError, CrewError, ModelError, PoolError)


def run_audit(spec: AuditSpec, directory: RunDirectory, report: Reporter) -> None:
    """Carry out an audit in its run directory; what an earlier attempt finished is not done again.

    Raises:
        AUDIT_ERRORS: with what to change. The scores of attacks that worked are
            saved even when another attack failed.
    """
    with report.phase("plan"):
        attacks = make_attacks(spec.attacks)
        shards = _plan(spec)
    about, again = _encode(spec, directory, report, shards)
    score_and_judge(spec, directory, report, attacks, about, again)


def score_and_judge(
    spec: AuditSpec,
    directory: RunDirectory,
    report: Reporter,
    attacks: Sequence[Attack],
    about: About,
    again: Sequence[Check],
) -> None:
    """All that follows the encoding; `again` is what was found when some of it was done once more.

    Raises:
        AUDIT_ERRORS: as `run_audit`.
    """
    logit_scale = about.target.logit_scale
    with report.phase("sort"):
        pools = _pools(spec, directory, report)
        write_samples(directory.tables, list(pools.values()))
        _require_samples(pools)
    seen = _seen_by("target", pools)
    beside = None
    if about.reference is not None:
        beside = Reference(_seen_by("reference", pools), about.reference.logit_scale)
    with report.phase("attack"):
        outcome = run_attacks(attacks, seen, logit_scale, spec.run.seed, _on_progress(report), beside)
        write_scores(directory.tables, pools, outcome.scores)
        facts = {attack.attack: attack.facts for attack in outcome.scores}
        # The others are read back for the judgement, and nothing needs them until then.
        outcome = replace(outcome, scores=drawing(spec, outcome.scores))
    with report.phase("check"):
        end_of_control, end_of_looks = CHECK_PARTS[bool(outcome.scores)]
        control = negative_control(
            lighter(spec, attacks),
            seen,
            logit_scale,
            spec.run.seed,
            _on_progress(report, 0.0, end_of_control),
            beside,
        )
        audited = with_looks(
            unscored(pools, outcome, control),
            pools,
            spec.run.seed,
            _on_progress(report, end_of_control, end_of_looks),
        )
        halves = None if seen.nonmembers is None else control_rows(seen.nonmembers)
        write_baselines(directory.tables, pools, audited, halves)
        write_duplicates(directory.tables, pools, audited)
        checks = [
            *again,
            *other_seed(
                spec, seen, logit_scale, outcome.scores, _on_progress(report, end_of_looks + WRITING, 1.0)
            ),
            *fitted_to_samples(audited, facts),
            *not_compared(facts, outcome, control),
        ]
        report.progress(1.0)
    del seen, beside, audited, control
    with report.phase("judge"):
        fitted = [attack for attack, of_attack in facts.items() if FITTED_TO_CANDIDATES in of_attack]
        stored = read_audited(directory.tables, fitted)
        judgement = judge(stored, spec.evidence.smallest_auc, _on_progress(report))
        write_judgement(directory.tables, judgement, checks, facts)
        report.progress(1.0)
    for attack, reason in {**outcome.skipped, **outcome.failed}.items():
        report.tell(Skipped(attack, reason.removeprefix(f"{attack}: ")))
    if outcome.failed:
        raise AuditError("\n".join(outcome.failed.values()))


def encode_task(spec: AuditSpec, directory: TaskDirectory, report: Reporter) -> None:
    """Encode the share of one task of an array; the rest of the audit is for whoever resumes the run.

    Raises:
        AUDIT_ERRORS: with what to change.
    """
    with report.phase("plan"):
        make_attacks(spec.attacks)
        shards = _share(_plan(spec), spec, directory)
    _encode(spec, directory, report, shards)


def _plan(spec: AuditSpec) -> dict[PoolName, list[Shard]]:
    return {pool: plan_shards(pool, pool_spec) for pool, pool_spec in spec.pool_specs().items()}


def _share(
    shards: Mapping[PoolName, Sequence[Shard]], spec: AuditSpec, task: TaskDirectory
) -> dict[PoolName, list[Shard]]:
    """Every `count`-th of all shards; a pool with a limit is the share of one task, as it has one encoder."""
    pools, place, share = spec.pool_specs(), count(), dict[PoolName, list[Shard]]()
    for pool, of_pool in shards.items():
        if pools[pool].limit is not None:
            is_ours = next(place) % task.count == task.index
            share[pool] = list(of_pool) if is_ours else []
        else:
            share[pool] = [shard for shard in of_pool if next(place) % task.count == task.index]
    return share


def _encode(
    spec: AuditSpec, directory: RunDirectory, report: Reporter, shards: Mapping[PoolName, Sequence[Shard]]
) -> tuple[About, list[Check]]:
    """Encode shards; what the models are, and whether they see the same once more."""
    with report.phase("load"):
        encoders = open_encoders(spec, directory, report)
        about = encoders.about
        _tell_loaded(about, report)
    with encoders.at_work():
        with report.phase("encode"):
            _require_the_same_models(about.encoding, directory, report)
            schedule = Schedule(shards, spec.pool_specs(), report.progress, report.shard)
            encoders.encode(schedule)
            if told := encoders.reuse.summary():
                report.tell(Note(told))
            _require_all_shards(schedule, directory)
        if isinstance(directory, TaskDirectory):
            return about, []
        with report.phase("repeat"):
            return about, list(encoded_again(encoders.repeat(shards["candidates"])))


def _tell_loaded(about: About, report: Reporter) -> None:
    seen = about.target.fingerprint
    report.tell(
        Loaded(about.device, about.target.number_format, seen.weights, seen.preprocess, seen.tokenizer)
    )
    if about.reference is not None:
        beside = about.reference.fingerprint
        report.tell(
            ReferenceLoaded(
                about.reference.number_format, beside.weights, beside.preprocess, beside.tokenizer
            )
        )


def _require_the_same_models(now: Mapping[str, object], directory: RunDirectory, report: Reporter) -> None:
    """Pools that are seen by two models would differ whether anyone was trained on them or not."""
    ways: dict[str, None] = {}
    for begun in (run.encoding for run in read_indexes(directory.parts)):
        if others := other_models(begun, now):
            raise AuditError(
                f"the models are not those that this run began with ({', '.join(others)}); "
                f"start afresh with tui-mia run --new"
            )
        ways |= dict.fromkeys(other_ways(begun, now))
    if ways:
        report.tell(
            Note(f"goes on with another {', '.join(ways)}: the last digits of scores may differ", "warning")
        )


def _require_all_shards(schedule: Schedule, directory: RunDirectory) -> None:
    if schedule.failed:
        reasons = "\n".join(f"{shard}: {why}" for shard, why in schedule.failed.items())
        raise AuditError(
            f"shards that could not be encoded: {len(schedule.failed)}; all others are, and once that is "
            f"mended, tui-mia resume {directory.run_id} goes on\n{reasons}"
        )


def _pools(spec: AuditSpec, directory: RunDirectory, report: Reporter) -> dict[str, AuditPool]:
    """The encoded pools, told apart by content."""
    encoded = {name: EncodedPool(part_paths(directory.parts, name)) for name in spec.pool_specs()}
    overlaps = keep_apart({name: pool.sample_ids for name, pool in encoded.items()})
    for pool, overlap in overlaps.items():
        for reason, pairs in Counter(overlap.reasons.values()).most_common():
            report.tell(Note(f"{pool}: {pairs} left out: {reason}", "warning"))
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


def _seen_by(model: SeenBy, pools: Mapping[str, AuditPool]) -> AttackPools:
    """The samples that stay as a model sees them, the same rows for each model."""
    kept = {name: pool.kept_by(model) for name, pool in pools.items()}
    candidates, *others = (kept.get(name) for name in ("candidates", "nonmembers", "general", "bank"))
    assert candidates is not None
    return AttackPools(candidates, *others)


def _require_samples(pools: Mapping[str, AuditPool]) -> None:
    for pool in pools.values():
        if not pool.overlap.keep.any():
            reasons = [*pool.rejects["reason"].to_pylist(), *pool.overlap.reasons.values()]
            most = Counter(reasons).most_common(1)
            rejected = f"all {len(reasons)} entries were rejected, most often: " if most else ""
            why = f"{rejected}{most[0][0]}" if most else "it is empty"
            raise AuditError(f"pools.{pool.name}: nothing usable; {why}")


def _on_progress(report: Reporter, begin: float = 0.0, end: float = 1.0) -> OnProgress:
    """Tells how much is done of a phase, of which this is the part from `begin` to `end`."""
    return lambda done, total: report.progress(begin + (end - begin) * done / total)
