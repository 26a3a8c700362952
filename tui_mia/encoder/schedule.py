"""Which shard is encoded next, and how much of the work is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeAlias

from tui_mia.pools import PoolName, Shard
from tui_mia.pools.found import UnusableError
from tui_mia.pools.read import find_samples
from tui_mia.runs.events import ShardEncoded
from tui_mia.runs.reporter import Pace
from tui_mia.spec import PoolSpec

# What an entry of a tar takes up where not even the first can be read.
BYTES_AN_ENTRY = 20_000
# How many entries tell how large those are that have not been read yet.
ENTRIES_LOOKED_AT = 64
# How often a shard is begun whose encoder dies of it.
TRIES = 3

OnProgress: TypeAlias = Callable[[float, int, int, str, Pace], None]
OnShard: TypeAlias = Callable[[ShardEncoded], None]
# The pace of now, with so many entries left.
PaceOf: TypeAlias = Callable[[float], Pace]


@dataclass(frozen=True)
class Job:
    """A shard to encode; `left` is how many of its entries may be read, if there is a limit."""

    shard: Shard
    left: int | None


@dataclass
class _UnderWay:
    """How far a job is; of its samples and rejects those of `found` were there before."""

    job: Job
    began: float
    position: int = 0
    samples: int = 0
    rejects: int = 0
    found: int = 0


@dataclass
class _PoolWork:
    """How much of a pool is done; extents are in bytes for tars and in rows for anything else."""

    pool: PoolName
    in_bytes: bool
    extent: int
    limit: int | None
    bytes_an_entry: float
    to_do: list[Shard]
    extent_done: int = 0
    samples_done: int = 0
    rejects_done: int = 0
    under_way: dict[int, _UnderWay] = field(default_factory=dict)

    @property
    def samples(self) -> int:
        return self.samples_done + sum(each.samples for each in self.under_way.values())

    @property
    def rejects(self) -> int:
        return self.rejects_done + sum(each.rejects for each in self.under_way.values())

    @property
    def left(self) -> int | None:
        """How many entries may still be read."""
        return None if self.limit is None else self.limit - self.samples - self.rejects

    @property
    def _extent_done(self) -> int:
        return self.extent_done + sum(each.position for each in self.under_way.values())

    def entries(self) -> float:
        """How many entries the pool probably has."""
        read = self.samples + self.rejects
        size = self._extent_done / read if read and self._extent_done else self.bytes_an_entry
        entries = self.extent / size if self.in_bytes else self.extent
        return entries if self.limit is None else min(entries, self.limit)

    def fraction(self) -> float:
        of_extent = self._extent_done / self.extent if self.extent else 1.0
        return of_extent if not self.limit else max(of_extent, (self.samples + self.rejects) / self.limit)


class Schedule:
    """The shards of an audit on their way through its encoders, one of them or many.

    `on_progress` hears the fraction of all work, samples and rejects so far, the pool, and
    the pace; `on_shard` of each shard that has entries, once its parts are there. How many
    entries of a shard a limit leaves is known once those before it are encoded: a pool
    with a limit has one encoder at a time.
    """

    def __init__(
        self,
        shards: Mapping[PoolName, Sequence[Shard]],
        specs: Mapping[PoolName, PoolSpec],
        on_progress: OnProgress,
        on_shard: OnShard = lambda event: None,
    ) -> None:
        self._works = {pool: _pool_work(pool, shards[pool], specs[pool]) for pool in shards}
        self._on_progress = on_progress
        self._on_shard = on_shard
        self._furthest = 0.0
        self._tries: dict[tuple[PoolName, int], int] = {}
        self.failed: dict[str, str] = {}

    @property
    def is_done(self) -> bool:
        return not any(work.to_do or work.under_way for work in self._works.values())

    def next(self) -> Job | None:
        """A shard for an encoder that has none; None if nothing can be begun now."""
        for work in self._works.values():
            if work.limit is not None and work.under_way:
                continue
            if work.left == 0:
                work.extent_done += sum(shard.extent for shard in work.to_do)
                work.to_do.clear()
            if work.to_do:
                shard = work.to_do.pop(0)
                job = Job(shard, work.left)
                work.under_way[shard.index] = _UnderWay(job, time.perf_counter())
                return job
        return None

    def found(self, job: Job, samples: int, rejects: int) -> None:
        """Hear of what an earlier attempt or run has encoded of a shard."""
        under_way = self._works[job.shard.pool].under_way[job.shard.index]
        under_way.samples += samples
        under_way.rejects += rejects
        under_way.found += samples + rejects

    def encoded(self, job: Job, samples: int, rejects: int, position: int, pace_of: PaceOf) -> None:
        """Hear of a batch, or several, that reach to `position` in the shard."""
        under_way = self._works[job.shard.pool].under_way[job.shard.index]
        under_way.samples += samples
        under_way.rejects += rejects
        under_way.position = position
        self._tell(job.shard.pool, pace_of)

    def done(self, job: Job, pace_of: PaceOf) -> None:
        """All parts of a shard are there."""
        work = self._works[job.shard.pool]
        shard, ended = job.shard, work.under_way.pop(job.shard.index)
        work.samples_done += ended.samples
        work.rejects_done += ended.rejects
        work.extent_done += shard.extent
        if ended.samples + ended.rejects:
            self._on_shard(
                ShardEncoded(
                    pool=shard.pool,
                    shard=shard.index,
                    source=shard.path.name,
                    seconds=round(time.perf_counter() - ended.began, 3),
                    samples=ended.samples,
                    rejects=ended.rejects,
                    reused=ended.found,
                )
            )
        self._tell(shard.pool, pace_of)

    def give_back(self, job: Job, reason: str) -> bool:
        """Let somebody else try a shard whose encoder is gone; False if it was tried often enough."""
        place = (job.shard.pool, job.shard.index)
        self._tries[place] = self._tries.get(place, 0) + 1
        if self._tries[place] == TRIES:
            self.fail(job, reason)
            return False
        work = self._works[job.shard.pool]
        del work.under_way[job.shard.index]
        work.to_do.insert(0, job.shard)
        return True

    def fail(self, job: Job, reason: str) -> None:
        """Leave out a shard that can't be encoded, and of a pool with a limit those behind it too."""
        work = self._works[job.shard.pool]
        del work.under_way[job.shard.index]
        if work.limit is not None:
            work.to_do.clear()
        self.failed[f"{job.shard.pool} {job.shard.index} ({job.shard.path.name})"] = reason

    def _tell(self, pool: PoolName, pace_of: PaceOf) -> None:
        works = self._works.values()
        total = sum(work.entries() for work in works)
        done = sum(work.entries() * work.fraction() for work in works)
        # How many entries a tar has is an estimate; when it grows, the bar waits.
        self._furthest = max(self._furthest, done / total if total else 1.0)
        samples, rejects = sum(work.samples for work in works), sum(work.rejects for work in works)
        self._on_progress(self._furthest, samples, rejects, pool, pace_of(total - done))


def _pool_work(pool: PoolName, shards: Sequence[Shard], spec: PoolSpec) -> _PoolWork:
    tars = [shard for shard in shards if shard.format == "webdataset"]
    size = _bytes_an_entry(tars[0], spec) if tars else BYTES_AN_ENTRY
    extent = sum(shard.extent for shard in shards)
    return _PoolWork(pool, bool(tars), extent, spec.limit, size, list(shards))


def _bytes_an_entry(tar: Shard, spec: PoolSpec) -> float:
    """How large the entries of a tar are, by the first; pools count long before their turn."""
    entries, position = 0, 0
    with suppress(UnusableError, OSError):  # told when it is the tar's turn
        for found in islice(find_samples(tar, spec), ENTRIES_LOOKED_AT):
            entries, position = entries + 1, found.position
    return position / entries if position else BYTES_AN_ENTRY
