"""The models of an audit on one device, at work on its shards."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa

from tui_mia.encoder.encode import BatchLimit, encode_shard
from tui_mia.encoder.meter import Meter
from tui_mia.encoder.model import TargetModel
from tui_mia.encoder.parts import PART_ENTRIES, finished_parts, part_files, samples_schema, write_part
from tui_mia.encoder.reuse import Reuse, ShardReuse
from tui_mia.encoder.schedule import Job, Schedule
from tui_mia.encoder.stability import Reencoded, reencode
from tui_mia.pools import Pair, Reject, Shard, read_shard
from tui_mia.spec import AuditSpec

OnBatch: TypeAlias = Callable[[int, int, int], None]
OnFound: TypeAlias = Callable[[int, int], None]


@dataclass
class ShardEncoder:
    """Encodes one shard after another into the parts of a run, in `folder`.

    What `reuse` has of earlier runs is taken over. `decoders` is how many threads decode
    images, by default one a core.
    """

    spec: AuditSpec
    model: TargetModel
    reference: TargetModel | None
    batch_size: int
    folder: Path
    reuse: Reuse | None
    limit: BatchLimit
    meter: Meter
    decoders: int | None = None

    def encode(self, job: Job, on_batch: OnBatch, on_found: OnFound = lambda samples, rejects: None) -> None:
        """Encode what is in no part yet of a shard; parts that are there are kept as they are.

        But for those of an earlier version, which lack a column: they are encoded again.
        `on_found` hears how many samples and rejects were there or were taken over, and
        `on_batch` of each batch how many it had and how far into the shard it reaches.

        Raises:
            PoolError: if the shard can't be opened.
            ModelError: if the device has no memory for a single pair.
        """
        shard, entries = job.shard, 0

        def counted(samples: int, rejects: int) -> None:
            nonlocal entries
            entries += samples + rejects

        def on_batch_counted(samples: int, rejects: int, position: int) -> None:
            counted(samples, rejects)
            on_batch(samples, rejects, position)

        # What an earlier attempt left of a shard may be of other content.
        begun = any(path.exists() for path in part_files(self.folder, shard.pool, shard.index, 0))
        with self.meter.shard():
            known = None
            if self.reuse and not begun:
                known = self.reuse.of(shard, self.spec.pool_specs()[shard.pool], job.left)
            if known:
                known.take()
            done = self._finished(shard)
            for samples, rejects in done:
                counted(samples, rejects)
                on_found(samples, rejects)
            parts = self._encode_rest(job, done, known, on_batch_counted)
        if self.reuse and self.limit.is_halved:
            self.reuse.not_for_others()
        if known:
            known.finish(entries, parts)

    def repeat(self, shards: Sequence[Shard]) -> Reencoded:
        """Some candidates through the model once more, in another order and batch.

        Raises:
            PoolError: if a source can't be opened any more.
        """
        pool = self.spec.pools.candidates
        views, seed, size = self.spec.views, self._view_seed, self.batch_size
        return reencode(shards, pool, self.folder, self.model, views, seed, size)

    @property
    def _view_seed(self) -> int:
        return self.spec.attacks.aea.seed if self.spec.attacks.aea else 0

    def _finished(self, shard: Shard) -> list[tuple[int, int]]:
        columns = samples_schema(self.spec.views, 1, None if self.reference is None else 1).names
        return finished_parts(self.folder, shard.pool, shard.index, columns)

    def _encode_rest(
        self, job: Job, done: Sequence[tuple[int, int]], known: ShardReuse | None, on_batch: OnBatch
    ) -> int:
        """Encode the entries of a shard that are in no part yet, and return how many parts it has.

        A part that is not full is a shard's last.
        """
        read, shard = sum(map(sum, done)), job.shard
        if read == job.left or (done and sum(done[-1]) < PART_ENTRIES):
            return len(done)
        entries: Iterator[Pair | Reject] = read_shard(shard, self.spec.pool_specs()[shard.pool])
        if known:
            entries = known.watch(entries)
        items = islice(entries, read, job.left)
        for number in count(len(done)):
            samples, rejects = self._tables(
                islice(items, PART_ENTRIES), known.known_samples(number) if known else None, on_batch
            )
            write_part(self.folder, shard.pool, shard.index, number, samples, rejects)
            entries_of_part = samples.num_rows + rejects.num_rows
            read += entries_of_part
            if entries_of_part < PART_ENTRIES or read == job.left:
                break
        return number + 1

    def _tables(
        self, items: Iterator[Pair | Reject], known: pa.Table | None, on_batch: OnBatch
    ) -> tuple[pa.Table, pa.Table]:
        return encode_shard(
            items,
            self.model,
            self.spec.views,
            self._view_seed,
            self.batch_size,
            on_batch,
            self.reference,
            self.limit,
            self.meter,
            known,
            self.decoders,
        )


def encode_here(encoder: ShardEncoder, schedule: Schedule) -> None:
    """Encode all shards of a schedule with one encoder, in this process."""
    while job := schedule.next():

        def on_batch(samples: int, rejects: int, position: int, job: Job = job) -> None:
            schedule.encoded(job, samples, rejects, position, encoder.meter.pace)

        def on_found(samples: int, rejects: int, job: Job = job) -> None:
            schedule.found(job, samples, rejects)

        encoder.encode(job, on_batch, on_found)
        schedule.done(job, encoder.meter.pace)
