"""How much there is to encode, and what that takes: time, memory, disk. Estimates, said to be such."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import psutil

from tui_mia.costs import ModelCost
from tui_mia.doctor import measured_flops
from tui_mia.pools import PoolName
from tui_mia.preflight.counts import PoolCount
from tui_mia.preflight.earlier import EarlierRuns
from tui_mia.preflight.finding import Finding, Level
from tui_mia.preflight.limits import (
    BANK_SIZE,
    BLIND_DRAWN,
    BLOCK,
    FEWEST_REPEATED,
    FOLDS,
    LARGEST_CLASS,
    MOST_REPEATED,
    REPEATED_ONE_IN,
    SCORES,
)
from tui_mia.preflight.model import Costs, Device, batch_size, flops
from tui_mia.preflight.reading import PoolRead, SourceRead
from tui_mia.spec import AuditSpec

Source: TypeAlias = Literal["earlier runs", "measured", "doctor", "assumed"]

# What a GPU is assumed to do where nothing is known of it, by precision.
ASSUMED_FLOPS = {"exact": 10e12, "fast": 50e12}
# What a GPU is assumed to reach of its own rate of large products with a small model, such as ViT-B-32.
EXPECTED_SHARE = 0.45
# Until a GPU can be used; assumed.
CUDA_SECONDS = 4.0
# Of what the worker takes for its imports, the front end takes so much, at both ends of a run.
FRONT_END_SHARE = 0.25
# torch, open_clip and what they load, before any model.
WORKER_BYTES = 1100 * 2**20
# Of each sample in memory: its id, two keys and a place.
SAMPLE_BYTES = 80
# Of a score: for a candidate it, its p-value and its placement; for a known non-member its place too.
CANDIDATE_BYTES, NONMEMBER_BYTES = 24, 48
# Of a calibrated attack, while it is made: a candidate's score by each fold, of both models.
CALIBRATED_BYTES = 8 * FOLDS * 2
# Of each sample that is compared: blind scores, clusters and ranks, and what is sorted to find them.
COMPARED_BYTES = 300
# n-grams of a caption's character, and what one takes; of these, the most that exist at once.
NGRAMS_A_CHARACTER, NGRAM_BYTES, NGRAM_COPIES = 3.2, 12, 3.4
# The tables of the run directory, and their copy in the database, a score and sample.
SCORE_BYTES = 60
_GB = 2**30


@dataclass(frozen=True)
class Workload:
    """Pairs to encode; images of the plain view and of all views, and captions, for one model."""

    pairs: int
    images: int
    captions: int


@dataclass(frozen=True)
class TimeEstimate:
    """Seconds until the encoding, of it, and of all that follows, None where that is not known.

    `source` says where the encoding's are from, `runs` of how many earlier runs, and
    `rest_is_earlier` whether what follows is from those too. `reused` are the entries that an
    earlier run has encoded. `gpu_flops` is the rate that a GPU is expected to reach.
    """

    start_seconds: float
    encode_seconds: float
    source: Source
    rest_seconds: float | None = None
    runs: int = 0
    rest_is_earlier: bool = False
    reused: int = 0
    gpu_flops: float | None = None

    @property
    def total_seconds(self) -> float:
        """Of the whole run, as far as it is known."""
        return self.start_seconds + self.encode_seconds + (self.rest_seconds or 0.0)


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes on the device, of weights and of a batch, and of the worker in the machine's memory."""

    weights_bytes: int
    batch_bytes: int
    worker_bytes: int


def workload(spec: AuditSpec, pools: Mapping[PoolName, PoolRead]) -> Workload:
    """What is to be encoded by each model, scaled up where not all was read."""

    def total(what: Callable[[SourceRead], int]) -> int:
        return round(sum(pool.scale * sum(map(what, pool.sources)) for pool in pools.values()))

    pairs = total(lambda source: source.pairs)
    plain = total(lambda source: source.images_to_encode)
    captions = total(lambda source: source.captions_to_encode)
    return Workload(pairs, plain + spec.views * pairs, captions)


def total_flops(work: Workload, costs: Costs) -> float | None:
    """Operations of all encoding by all models; None where a model could not be counted."""
    each = [
        work.images * cost.image_flops + work.captions * cost.caption_flops
        for cost in costs.models.values()
        if cost.image_flops is not None and cost.caption_flops is not None
    ]
    return float(sum(each)) if each and len(each) == len(costs.models) else None


def reference_share(costs: Costs) -> float:
    """What an image costs the reference, 1 being what it costs the model."""
    model, reference = costs.models.get("model"), costs.models.get("reference")
    if model is None or reference is None or not model.image_flops or not reference.image_flops:
        return 1.0
    return reference.image_flops / model.image_flops


def estimate_time(
    spec: AuditSpec,
    work: Workload,
    costs: Costs,
    device: Device,
    earlier: EarlierRuns | None,
    candidates: int,
    after: float | None,
) -> TimeEstimate | None:
    """From earlier runs where there are any, else from what was timed, else from an assumption.

    `candidates` are those that stay; `after` are the seconds of attacks and evidence, as
    they were timed in miniature.
    """
    until = costs.load_seconds + costs.start_seconds + (CUDA_SECONDS if device.kind == "cuda" else 0.0)
    found = _encoding(spec, work, costs, device, earlier)
    if found is None:
        return None
    encode, source, gpu_flops = found
    repeated = min(max(candidates // REPEATED_ONE_IN, FEWEST_REPEATED), MOST_REPEATED, candidates)
    rest = None if after is None else after + encode * repeated / max(work.pairs, 1)
    if earlier is not None:
        until = earlier.seconds_until
        if earlier.seconds_after is not None:
            rest = earlier.seconds_after * work.pairs
    return TimeEstimate(
        start_seconds=until + FRONT_END_SHARE * costs.start_seconds,
        encode_seconds=encode * (1 - min(costs.entries_encoded / max(work.pairs, 1), 1.0)),
        source=source,
        rest_seconds=rest,
        runs=earlier.runs if earlier is not None else 0,
        rest_is_earlier=earlier is not None and earlier.seconds_after is not None,
        reused=costs.entries_encoded,
        gpu_flops=gpu_flops,
    )


def _encoding(
    spec: AuditSpec, work: Workload, costs: Costs, device: Device, earlier: EarlierRuns | None
) -> tuple[float, Source, float | None] | None:
    """Seconds of all encoding, were nothing reused; where they are from; and the rate expected of a GPU."""
    if earlier is not None:
        models = 1 + (reference_share(costs) if spec.reference is not None else 0.0)
        return earlier.seconds_a_view * work.pairs * (1 + spec.views) * models, "earlier runs", None
    if device.kind == "cpu":
        a_pair = costs.encode_seconds_a_pair
        return None if a_pair is None else (a_pair * work.pairs, "measured", None)
    total = total_flops(work, costs)
    if total is None:
        return None
    # The slower of the two: images are decoded while the GPU works.
    decoding = (costs.decode_seconds_a_pair or 0.0) * work.pairs
    number_format = "fp16" if spec.model.precision == "fast" else "fp32"
    measured = measured_flops(device.gpu.name, number_format) if device.gpu is not None else None
    if measured is None:
        rate = ASSUMED_FLOPS[spec.model.precision]
        return max(total / rate / device.count, decoding), "assumed", rate
    rate = measured * EXPECTED_SHARE
    return max(total / rate / device.count, decoding), "doctor", rate


def of_time(
    spec: AuditSpec, work: Workload, costs: Costs, estimate: TimeEstimate | None
) -> Iterator[Finding]:
    """What there is to do, and how long it will take."""
    models = "by each of two models" if spec.reference is not None else "by the model"
    views = f"1 + {spec.views} views" if spec.views else "one view"
    total = total_flops(work, costs)
    operations = f": {flops(total)}" if total is not None else ""
    yield Finding(
        "time",
        "ok",
        f"{work.pairs:,} pairs: {work.images:,} images ({views}) and {work.captions:,} captions to encode"
        f" {models}{operations}.",
    )
    if costs.entries_encoded:
        reused = f"{costs.entries_encoded:,} pairs have been encoded by an earlier run and are taken over"
        yield Finding("time", "ok", f"{reused}: they cost nothing.")
    if estimate is None:
        yield Finding("time", "warning", "how long that takes can't be said here.")
        return
    parts = f"{duration(estimate.start_seconds)} to start, {duration(estimate.encode_seconds)} of encoding"
    rest = estimate.rest_seconds
    if rest is None:
        words = f"about {parts}; attacks and evidence come on top"
    else:
        whole = duration(estimate.total_seconds)
        words = f"about {whole} in all: {parts}, {duration(rest)} of attacks and evidence"
    yield Finding("time", "ok", f"{words}. {_where_from(costs, estimate)}")


def _where_from(costs: Costs, estimate: TimeEstimate) -> str:
    decoding = costs.decode_seconds_a_pair
    rate = flops(estimate.gpu_flops or 0.0)
    decodes = f"; this CPU decodes {1 / decoding:,.0f} images a second" if decoding else ""
    match estimate.source:
        case "earlier runs":
            of = "an earlier run" if estimate.runs == 1 else f"{estimate.runs} earlier runs"
            timed = (
                "" if estimate.rest_is_earlier else ", but for what follows the encoding, timed in miniature"
            )
            return f"That is going by {of} of this architecture on such a device{timed}."
        case "measured":
            follows = ", and what follows the encoding in miniature" if costs.after is not None else ""
            return f"Timed with {costs.pairs_timed} pairs on this CPU{follows}."
        case "doctor":
            return (
                f"That is if the GPU does {rate} a second, {EXPECTED_SHARE:.0%} of what"
                f" tui-mia doctor measured on it; the share is an assumption{decodes}."
            )
        case "assumed":
            return (
                f"That is if the GPU does {rate} a second, which is an assumption; run"
                f" tui-mia doctor for a measured figure{decodes}."
            )


def estimate_memory(
    spec: AuditSpec,
    pools: Mapping[PoolName, PoolRead],
    counts: Mapping[PoolName, PoolCount],
    costs: Costs,
    device: Device,
) -> MemoryEstimate | None:
    """What the weights, a batch, and attacks and evidence take; None where nothing is known of the models."""
    models = list(costs.models.values())
    if not models or any(cost.parameters is None for cost in models):
        return None
    half = 2 if spec.model.precision == "fast" and device.kind == "cuda" else 1
    weights = sum(4 * (cost.parameters or 0) for cost in models) // half
    # One model works after the other.
    batch = max(cost.activation_bytes or 0 for cost in models) // half
    pixels = 3 * 4 * max(cost.image_size or 0 for cost in models) ** 2
    decoded = 4 * batch_size(spec, device) * pixels * len(models)
    after = _after_bytes(spec, pools, counts, costs)
    on_cpu = weights + batch if device.kind == "cpu" else 0
    return MemoryEstimate(weights, batch, WORKER_BYTES + on_cpu + max(decoded, after))


def _after_bytes(
    spec: AuditSpec,
    pools: Mapping[PoolName, PoolRead],
    counts: Mapping[PoolName, PoolCount],
    costs: Costs,
) -> int:
    """What follows the encoding: all that is held of each sample, and the largest of what comes in turn."""
    models = len(costs.models)
    samples = sum(count.kept for count in counts.values())
    candidates, nonmembers = _kept(counts, "candidates"), _kept(counts, "nonmembers")
    held = models * samples * (SAMPLE_BYTES + 4 * (1 + spec.views))
    scores = models * sum(SCORES.get(name, 1) for name in spec.attacks.requested())
    placed = scores * (CANDIDATE_BYTES * candidates + NONMEMBER_BYTES * nonmembers)
    if models > 1:
        calibrated = sum(getattr(spec.attacks, name) is not None for name in ("csa", "loss"))
        placed += models * calibrated * CALIBRATED_BYTES * candidates
    dimension = max(cost.dimension or 0 for cost in costs.models.values())
    fitted = min(nonmembers, _kept(counts, "general") or samples, LARGEST_CLASS)
    features = 2 * fitted * (2 * dimension + 1 + spec.views) * 4
    # Beside the features of both classes, the embeddings of one of them.
    wsa = 3 * features // 2 if spec.attacks.wsa is not None else 0
    loss = 4 * BLOCK * BANK_SIZE * 2 if spec.attacks.loss is not None else 0
    compared = candidates + nonmembers
    return held + max(placed + max(wsa, loss), COMPARED_BYTES * compared + _blind_bytes(pools, compared))


def _blind_bytes(pools: Mapping[PoolName, PoolRead], compared: int) -> int:
    """Of the blind baselines, which look at a sample of the captions all at once."""
    sources = [source for pool in pools.values() for source in pool.sources]
    pairs = max(sum(source.pairs for source in sources), 1)
    characters = sum(source.caption_characters for source in sources) / pairs
    ngrams = NGRAMS_A_CHARACTER * characters * min(compared, BLIND_DRAWN)
    return round(ngrams * NGRAM_BYTES * NGRAM_COPIES)


def of_memory(estimate: MemoryEstimate | None, device: Device) -> Iterator[Finding]:
    """Whether it fits, as far as can be told."""
    if estimate is None:
        return
    on_device = estimate.weights_bytes + estimate.batch_bytes
    parts = f"{size(estimate.weights_bytes)} of weights and {size(estimate.batch_bytes)} for a batch"
    if device.gpu is not None and device.gpu.memory_total_bytes:
        total = device.gpu.memory_total_bytes
        level: Level = "warning" if on_device > 0.9 * total else "ok"
        yield Finding(
            "memory", level, f"estimated: {parts}, of {size(total)} on {device.gpu.name}{_too_much(level)}"
        )
    elif device.kind == "cuda":
        yield Finding("memory", "ok", f"estimated: {parts} on the GPU.")
    total = psutil.virtual_memory().total
    level = "warning" if estimate.worker_bytes > 0.9 * total else "ok"
    yield Finding(
        "memory",
        level,
        f"estimated: {size(estimate.worker_bytes)} for the worker, of {size(total)} here{_too_much(level)}",
    )


def _too_much(level: Level) -> str:
    return "." if level == "ok" else "; it may not fit. Try a smaller run.batch_size, or fewer pairs."


def estimate_disk(
    spec: AuditSpec, pools: Mapping[PoolName, PoolRead], work: Workload, costs: Costs
) -> int | None:
    """Bytes of the run directory and of its rows in the database."""
    models: list[ModelCost] = list(costs.models.values())
    if not models or any(cost.dimension is None for cost in models):
        return None
    views = 1 + spec.views
    embeddings = sum(4 * (2 * (cost.dimension or 0) + views) for cost in models)
    text = sum(pool.scale * sum(source.text_bytes for source in pool.sources) for pool in pools.values())
    scores = sum(SCORES.get(name, 1) for name in spec.attacks.requested()) * (1 + len(models))
    # Cosines and scores are once in the tables and once in the database.
    a_sample = embeddings + 4 * costs.appearance_numbers + 2 * (SCORE_BYTES * scores + 8 * views + 100)
    return round(work.pairs * a_sample + 3 * text)


def of_disk(estimate: int | None, database: Path) -> Iterator[Finding]:
    """Whether there is room for it."""
    if estimate is None:
        return
    folder = next((parent for parent in database.absolute().parents if parent.is_dir()), Path("/"))
    free = shutil.disk_usage(folder).free
    words = f"estimated: {size(estimate)} beside {database.name}, of {size(free)} free"
    if estimate > free:
        yield Finding("disk", "problem", f"{words}; make room or name another output.database.")
    else:
        yield Finding("disk", "ok", f"{words}.")


def _kept(counts: Mapping[PoolName, PoolCount], name: PoolName) -> int:
    return counts[name].kept if name in counts else 0


def size(number: float) -> str:
    """A number of bytes in words."""
    return f"{number / _GB:,.1f} GB" if number >= 0.1 * _GB else f"{number / 2**20:,.1f} MB"


def duration(seconds: float) -> str:
    """A time in words, coarse as it is."""
    if seconds < 1:
        return "a second"
    minutes = seconds / 60
    if minutes < 2:
        return f"{seconds:.0f} s"
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:,.1f} h"
