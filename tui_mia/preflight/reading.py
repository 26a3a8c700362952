"""One pass over the files of an audit: what is in each source, and what each pair is by content.

Of every pair its id and label stay in memory, about 50 bytes; of the rest, counts.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tui_mia.pools import Pair, PoolError, PoolName, Shard, plan_shards, read_shard, sample_id
from tui_mia.preflight.headers import image_problem
from tui_mia.preflight.limits import LONGEST_CAPTION, PART_ENTRIES
from tui_mia.preflight.reasons import Reasons
from tui_mia.runs import Progress
from tui_mia.spec import AuditSpec, PoolSpec

if TYPE_CHECKING:
    import pyarrow as pa

# What an entry of a tar takes up, for the bar.
BYTES_AN_ENTRY = 20_000
SECONDS_BETWEEN_EVENTS = 0.1


@dataclass
class SourceRead:
    """What a source has.

    `expected_entries` are all of them or, where it was not read to its end, about how many there may be.
    `captions_to_encode` counts a caption once in each part of the encoder's
    work, and `images_to_encode` an image once where it comes several times in a row.
    """

    source: str
    formats: tuple[str, ...] = ()
    files: int = 0
    entries: int = 0
    pairs: int = 0
    expected_entries: int = 0
    whole: bool = True
    reasons: Reasons = field(default_factory=Reasons)
    members: int = 0
    nonmembers: int = 0
    captions_to_encode: int = 0
    images_to_encode: int = 0
    text_bytes: int = 0
    caption_characters: int = 0
    damage: list[str] = field(default_factory=list)


@dataclass
class PoolRead:
    """A pool as it was read: its sources, and of its n pairs the ids and labels (1, 0, -1 unknown) [n] int8.

    `problem` says why it can't be read at all.
    """

    name: PoolName
    sources: list[SourceRead]
    ids: pa.ChunkedArray
    labels: NDArray[np.int8]
    problem: str | None = None

    @property
    def entries(self) -> int:
        return sum(source.entries for source in self.sources)

    @property
    def pairs(self) -> int:
        return sum(source.pairs for source in self.sources)

    @property
    def whole(self) -> bool:
        """Whether every source was read to its end, or to the limit that the spec sets."""
        return all(source.whole for source in self.sources)

    @property
    def scale(self) -> float:
        """How many entries the pool probably has for each that was read."""
        expected = sum(source.expected_entries for source in self.sources)
        return expected / self.entries if self.entries and not self.whole else 1.0


@dataclass
class _Planned:
    """A pool with the shards of each of its sources."""

    name: PoolName
    spec: PoolSpec
    sources: list[tuple[SourceRead, list[Shard]]]
    problem: str | None = None


def read_pools(
    spec: AuditSpec, entries_a_source: int | None, on_progress: Callable[[Progress], None]
) -> dict[PoolName, PoolRead]:
    """Read every pool; a pool that can't be read costs the others nothing.

    Raises nothing for what is wrong with files: it is in `PoolRead.problem` and the reasons of rejects.
    """
    planned = [_plan(name, pool) for name, pool in spec.pool_specs().items()]
    sizes = [
        _bytes(shards, _least(pool.spec.limit, entries_a_source))
        for pool in planned
        for _, shards in pool.sources
    ]
    bar = _Bar(sum(sizes), on_progress)
    return {pool.name: _read(pool, entries_a_source, bar) for pool in planned}


def _plan(name: PoolName, spec: PoolSpec) -> _Planned:
    planned = _Planned(name, spec, [])
    for number, source in enumerate(spec.source):
        label = spec.member[number : number + 1] if isinstance(spec.member, list) else spec.member
        try:
            shards = plan_shards(name, spec.model_copy(update={"source": [source], "member": label}))
        except PoolError as error:
            planned.problem = planned.problem or str(error)
            continue
        formats = tuple(dict.fromkeys(_format(shard) for shard in shards))
        files = len({shard.path for shard in shards})
        planned.sources.append((SourceRead(source, formats, files), shards))
    return planned


def _format(shard: Shard) -> str:
    return shard.path.suffix.lower().lstrip(".") if shard.format == "table" else shard.format


def _bytes(shards: Sequence[Shard], most: int | None) -> float:
    """About how many bytes of a source will be read."""
    size = sum(shard.extent * _unit(shard) for shard in shards)
    return size if most is None else min(size, most * BYTES_AN_ENTRY)


def _unit(shard: Shard) -> int:
    """The bytes of one step of a shard's extent, which is of bytes or of rows."""
    return 1 if shard.format == "webdataset" else BYTES_AN_ENTRY


def _read(pool: _Planned, entries_a_source: int | None, bar: _Bar) -> PoolRead:
    import pyarrow as pa

    left = pool.spec.limit
    chunks: list[pa.Array] = []
    labels: list[NDArray[np.int8]] = []
    problem = pool.problem
    for source, shards in pool.sources:
        try:
            for ids, of_ids in _read_source(source, shards, pool, left, entries_a_source, bar):
                chunks.append(pa.array(ids, pa.string()))
                labels.append(np.array(of_ids, dtype=np.int8))
        except PoolError as error:
            problem = problem or str(error)
        left = None if left is None else left - source.entries
    return PoolRead(
        pool.name,
        [source for source, _ in pool.sources],
        pa.chunked_array(chunks, pa.string()),
        np.concatenate([np.empty(0, np.int8), *labels]),
        problem,
    )


def _read_source(
    source: SourceRead,
    shards: Sequence[Shard],
    pool: _Planned,
    left: int | None,
    entries_a_source: int | None,
    bar: _Bar,
) -> Iterator[tuple[list[str], list[int]]]:
    """The ids and labels of the pairs of a source, part by part; what else it has goes into `source`."""
    most = _least(left, entries_a_source)
    size = _bytes(shards, most)
    total, passed = sum(shard.extent for shard in shards), 0
    for shard in shards:
        reading, position = read_shard(shard, pool.spec), 0
        part = _Part(source)
        for item in reading:
            if most is not None and source.entries >= most:
                break
            position = item.position
            part.add(item if isinstance(item, Pair) else item.reason, bool(item.key))
            if part.entries == PART_ENTRIES:
                yield part.ids, part.labels
                part = _Part(source)
            of_extent = (passed + position) / total if total else 1.0
            done = max(of_extent, source.entries / most if most else 0.0)
            bar.step(pool.name, not isinstance(item, Pair), size * min(done, 1.0))
        else:
            position = shard.extent
        yield part.ids, part.labels
        passed += position
        if most is not None and source.entries >= most:
            break
    source.expected_entries = round(source.entries * total / passed) if passed else source.entries
    if left is not None:
        source.expected_entries = min(source.expected_entries, max(left, 0))
    source.whole = source.entries >= source.expected_entries
    bar.end_source(size)


def _least(*limits: int | None) -> int | None:
    return min((limit for limit in limits if limit is not None), default=None)


class _Part:
    """The pairs of one part of the encoder's work."""

    def __init__(self, source: SourceRead) -> None:
        self.ids: list[str] = []
        self.labels: list[int] = []
        self.entries = 0
        self._source = source
        self._captions: set[str] = set()
        self._last_image = b""

    def add(self, item: Pair | str, has_key: bool) -> None:
        """Count a pair, or the reason of a reject; damage that ends a file early has no key."""
        source = self._source
        self.entries += 1
        source.entries += 1
        problem = image_problem(item.image) if isinstance(item, Pair) else item
        if problem is not None:
            source.reasons.add(problem)
            if not has_key and len(source.damage) < 10:
                source.damage.append(problem)
        if problem is not None or not isinstance(item, Pair):
            return
        source.pairs += 1
        source.members += item.member is True
        source.nonmembers += item.member is False
        self.labels.append(-1 if item.member is None else int(item.member))
        self.ids.append(sample_id(item.image, item.caption))
        if item.caption not in self._captions:
            self._captions.add(item.caption)
            source.captions_to_encode += 1
        if item.image != self._last_image:
            self._last_image = item.image
            source.images_to_encode += 1
        metadata = json.dumps(item.metadata) if item.metadata else ""
        # As far into it as the blind baselines read.
        source.caption_characters += min(len(item.caption), LONGEST_CAPTION)
        source.text_bytes += len(item.caption.encode()) + len(item.key.encode()) + len(metadata)


class _Bar:
    """Tells how far the reading is, a few times a second."""

    def __init__(self, size: float, on_progress: Callable[[Progress], None]) -> None:
        self._size = max(size, 1.0)
        self._on_progress = on_progress
        self._before = 0.0
        self._furthest = 0.0
        self._entries = self._rejects = 0
        self._began = self._told = time.monotonic()

    def step(self, pool: PoolName, rejected: bool, of_source: float) -> None:
        """Hear of an entry, and how much of its source has been read with it."""
        self._entries += 1
        self._rejects += rejected
        now = time.monotonic()
        if now - self._told < SECONDS_BETWEEN_EVENTS:
            return
        self._told, elapsed = now, now - self._began
        # How much a limit leaves of a source is known when the one before it is read: the bar waits.
        self._furthest = max(self._furthest, min((self._before + of_source) / self._size, 0.99))
        fraction = self._furthest
        self._on_progress(
            Progress(
                "read",
                fraction,
                samples=self._entries,
                rejects=self._rejects,
                per_second=self._entries / elapsed,
                eta_seconds=elapsed * (1 - fraction) / fraction if elapsed > 1 and fraction else None,
                pool=pool,
            )
        )

    def end_source(self, size: float) -> None:
        self._before += size
