"""Encodes what has no part yet, and tells how much of the work is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count, islice
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa

from tui_mia.encoder.encode import BatchLimit, encode_shard
from tui_mia.encoder.meter import Meter
from tui_mia.encoder.model import TargetModel
from tui_mia.encoder.parts import finished_parts, part_files, samples_schema, write_part
from tui_mia.encoder.reuse import Reuse, ShardReuse
from tui_mia.pools import Pair, PoolName, Reject, Shard, read_shard
from tui_mia.pools.found import UnusableError
from tui_mia.pools.read import find_samples
from tui_mia.runs.events import ShardEncoded
from tui_mia.runs.reporter import Pace
from tui_mia.spec import AuditSpec, PoolSpec

# What an entry of a tar takes up where not even the first can be read.
BYTES_AN_ENTRY = 20_000
# How many entries tell how large those are that have not been read yet.
ENTRIES_LOOKED_AT = 64
# A tar of any size is encoded in parts that fit in memory; a shard of a table or folder is smaller than one.
PART_ENTRIES = 16_384

OnProgress: TypeAlias = Callable[[float, int, int, str, Pace], None]
OnShard: TypeAlias = Callable[[ShardEncoded], None]
OnBatch: TypeAlias = Callable[[int, int, int], None]
Tables: TypeAlias = tuple[pa.Table, pa.Table]


@dataclass
class _PoolWork:
    """How much of a pool is done; extents are in bytes for tars and in rows for anything else.

    `encoded` is how many of its entries this attempt has encoded itself.
    """

    pool: PoolName
    in_bytes: bool
    extent: int
    limit: int | None
    bytes_an_entry: float
    extent_done: int = 0
    samples: int = 0
    rejects: int = 0
    encoded: int = 0

    @property
    def left(self) -> int | None:
        """How many entries may still be read."""
        return None if self.limit is None else self.limit - self.samples - self.rejects

    def entries(self) -> float:
        """How many entries the pool probably has."""
        read = self.samples + self.rejects
        size = self.extent_done / read if read and self.extent_done else self.bytes_an_entry
        entries = self.extent / size if self.in_bytes else self.extent
        return entries if self.limit is None else min(entries, self.limit)

    def fraction(self) -> float:
        of_extent = self.extent_done / self.extent if self.extent else 1.0
        return of_extent if not self.limit else max(of_extent, (self.samples + self.rejects) / self.limit)


def encode_pools(
    spec: AuditSpec,
    shards: Mapping[PoolName, Sequence[Shard]],
    model: TargetModel,
    batch_size: int,
    folder: Path,
    on_progress: OnProgress,
    reference: TargetModel | None = None,
    reuse: Reuse | None = None,
    limit: BatchLimit | None = None,
    meter: Meter | None = None,
    on_shard: OnShard = lambda event: None,
) -> None:
    """Encode all entries that are in no part in `folder` yet; parts that are there are kept as they are.

    But for those of an earlier version, which lack a column: they are encoded
    again. What `reuse` has of earlier runs is not. `on_progress` hears the fraction
    of all work, samples and rejects so far, the pool, and what `meter` says of the pace;
    `on_shard` of each shard that has entries, once its parts are there.
    """
    pool_specs = spec.pool_specs()
    works = {pool: _pool_work(pool, shards[pool], pool_specs[pool]) for pool in shards}
    on_progress = _never_back(on_progress)
    limit, meter = limit or BatchLimit(), meter or Meter()
    view_seed = spec.attacks.aea.seed if spec.attacks.aea else 0
    columns = samples_schema(spec.views, 1, None if reference is None else 1).names
    for pool, work in works.items():
        for shard in shards[pool]:
            done_before = work.extent_done

            def on_batch(
                samples: int, rejects: int, position: int, work: _PoolWork = work, before: int = done_before
            ) -> None:
                work.samples += samples
                work.rejects += rejects
                work.encoded += samples + rejects
                work.extent_done = before + position
                _tell(on_progress, works, work.pool, meter)

            def encode(
                items: Iterator[Pair | Reject], stored: pa.Table | None, on_batch: OnBatch = on_batch
            ) -> Tables:
                return encode_shard(
                    items, model, spec.views, view_seed, batch_size, on_batch, reference, limit, meter, stored
                )

            left, read = work.left, work.samples + work.rejects
            work_before, began = replace(work), time.perf_counter()
            # What an earlier attempt left of a shard may be of other content.
            begun = any(path.exists() for path in part_files(folder, pool, shard.index, 0))
            with meter.shard():
                known = reuse.of(shard, pool_specs[pool], left) if reuse and left != 0 and not begun else None
                if known:
                    known.take()
                parts = _encode_rest(shard, pool_specs[pool], folder, work, columns, encode, known)
            if reuse and limit.is_halved:
                reuse.not_for_others()
            if known:
                known.finish(work.samples + work.rejects - read, parts)
            work.extent_done = done_before + shard.extent
            if work.samples + work.rejects > read:
                on_shard(_told(shard, work_before, work, time.perf_counter() - began))
        _tell(on_progress, works, pool, meter)


def _told(shard: Shard, before: _PoolWork, after: _PoolWork, seconds: float) -> ShardEncoded:
    """A shard as the work of its pool tells it, from before the shard to after it."""
    samples, rejects = after.samples - before.samples, after.rejects - before.rejects
    return ShardEncoded(
        pool=shard.pool,
        shard=shard.index,
        source=shard.path.name,
        seconds=round(seconds, 3),
        samples=samples,
        rejects=rejects,
        reused=samples + rejects - (after.encoded - before.encoded),
    )


def _encode_rest(
    shard: Shard,
    spec: PoolSpec,
    folder: Path,
    work: _PoolWork,
    columns: Collection[str],
    encode: Callable[[Iterator[Pair | Reject], pa.Table | None], Tables],
    known: ShardReuse | None,
) -> int:
    """Encode the entries of a shard that are in no part yet, and return how many parts it has.

    A part that is not full is a shard's last.
    """
    done = finished_parts(folder, shard.pool, shard.index, columns)
    work.samples += sum(samples for samples, _ in done)
    work.rejects += sum(rejects for _, rejects in done)
    if work.left == 0 or (done and sum(done[-1]) < PART_ENTRIES):
        return len(done)
    read = sum(map(sum, done))
    entries = read_shard(shard, spec)
    if known:
        entries = known.watch(entries)
    items = islice(entries, read, None if work.left is None else read + work.left)
    for number in count(len(done)):
        samples, rejects = encode(islice(items, PART_ENTRIES), known.known_samples(number) if known else None)
        write_part(folder, shard.pool, shard.index, number, samples, rejects)
        if samples.num_rows + rejects.num_rows < PART_ENTRIES or work.left == 0:
            break
    return number + 1


def _pool_work(pool: PoolName, shards: Sequence[Shard], spec: PoolSpec) -> _PoolWork:
    tars = [shard for shard in shards if shard.format == "webdataset"]
    size = _bytes_an_entry(tars[0], spec) if tars else BYTES_AN_ENTRY
    return _PoolWork(pool, bool(tars), sum(shard.extent for shard in shards), spec.limit, size)


def _bytes_an_entry(tar: Shard, spec: PoolSpec) -> float:
    """How large the entries of a tar are, by the first; pools count long before their turn."""
    entries, position = 0, 0
    with suppress(UnusableError, OSError):  # told when it is the tar's turn
        for found in islice(find_samples(tar, spec), ENTRIES_LOOKED_AT):
            entries, position = entries + 1, found.position
    return position / entries if position else BYTES_AN_ENTRY


def _never_back(on_progress: OnProgress) -> OnProgress:
    """How many entries a tar has is an estimate; when it grows, the bar waits."""
    furthest = 0.0

    def forward(fraction: float, samples: int, rejects: int, pool: str, pace: Pace) -> None:
        nonlocal furthest
        furthest = max(furthest, fraction)
        on_progress(furthest, samples, rejects, pool, pace)

    return forward


def _tell(on_progress: OnProgress, works: Mapping[PoolName, _PoolWork], pool: str, meter: Meter) -> None:
    total = sum(work.entries() for work in works.values())
    done = sum(work.entries() * work.fraction() for work in works.values())
    samples = sum(work.samples for work in works.values())
    rejects = sum(work.rejects for work in works.values())
    on_progress(done / total if total else 1.0, samples, rejects, pool, meter.pace(total - done))
