"""What each pool comes to once the pools are kept apart, as the audit will keep them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tui_mia.pools import PoolName, keep_apart
from tui_mia.preflight.finding import Finding
from tui_mia.preflight.limits import FOLDS
from tui_mia.preflight.reading import PoolRead, SourceRead

SOURCES_SHOWN = 5
REASONS_SHOWN = 3


@dataclass(frozen=True)
class PoolCount:
    """The samples that a pool keeps, and why others were left out.

    `smallest_complement` is how many are outside the largest fold: the fewest
    that an attack is fitted to. Where not all was read, all of these are estimates but
    for `left_out`, which knows of those read only.
    """

    kept: int
    members: int
    nonmembers: int
    smallest_complement: int
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def unlabelled(self) -> int:
        return self.kept - self.members - self.nonmembers


def count_pools(pools: Mapping[PoolName, PoolRead]) -> dict[PoolName, PoolCount]:
    """Count what stays of each pool."""
    overlaps = keep_apart({name: pool.ids for name, pool in pools.items()})
    counts: dict[PoolName, PoolCount] = {}
    for name, pool in pools.items():
        keep = overlaps[name].keep
        labels, scale = pool.labels[keep], pool.scale
        in_folds = np.bincount(_folds(pool)[keep], minlength=FOLDS)
        counts[name] = PoolCount(
            kept=round(int(keep.sum()) * scale),
            members=round(int((labels == 1).sum()) * scale),
            nonmembers=round(int((labels == 0).sum()) * scale),
            smallest_complement=round(int(keep.sum() - in_folds.max()) * scale),
            left_out=dict(Counter(overlaps[name].reasons.values()).most_common()),
        )
    return counts


def _folds(pool: PoolRead) -> NDArray[np.int64]:
    """The fold of each sample, by its image alone: the first half of its id."""
    keys = (int(each[:16], 16) % FOLDS for chunk in pool.ids.chunks for each in chunk.to_pylist())
    return np.fromiter(keys, np.int64, len(pool.ids))


def of_pool(pool: PoolRead, count: PoolCount) -> Iterator[Finding]:
    """What there is to say of a pool."""
    name = pool.name
    if pool.problem is not None:
        yield Finding(name, "problem", pool.problem)
    if not pool.sources:
        return
    about = "" if pool.whole else "about "
    if count.kept:
        yield Finding(name, "ok", f"{about}{count.kept:,} samples will be kept{_labels(pool, count)}.")
    for source in pool.sources[:SOURCES_SHOWN]:
        yield Finding(name, "ok", _source(source))
    if len(pool.sources) > SOURCES_SHOWN:
        yield Finding(name, "ok", f"and {len(pool.sources) - SOURCES_SHOWN} more sources")
    for reason, number in count.left_out.items():
        yield Finding(name, "warning", f"{number:,} will be left out: {reason}.")
    yield from _rejects(pool)
    if not count.kept and pool.problem is None:
        why = "every entry is rejected or in another pool" if pool.entries else "there are no entries in it"
        yield Finding(name, "problem", f"nothing usable: {why}.")


def _labels(pool: PoolRead, count: PoolCount) -> str:
    if pool.name != "candidates":
        return ""
    if not count.members and not count.nonmembers:
        return ", none of them labelled"
    unlabelled = f", {count.unlabelled:,} without a label" if count.unlabelled else ""
    return f": {count.members:,} members, {count.nonmembers:,} non-members{unlabelled}"


def _source(source: SourceRead) -> str:
    files = "" if source.files == 1 else f"{source.files:,} files, "
    where = f"{from_here(source.source)}: {' and '.join(source.formats)}, {files}"
    if not source.entries:
        return f"{where}nothing read: the limit was reached before, or it is empty"
    read = "" if source.whole else f" of the first {source.entries:,} entries"
    rest = "" if source.whole else f" (about {source.expected_entries:,} in all)"
    captions = f"{source.captions_to_encode:,} different captions"
    return f"{where}{source.pairs:,} pairs{read}{rest}, {captions}, {source.reasons.total:,} rejected"


def from_here(path: str) -> str:
    """A path as one would type it in the current folder."""
    here = f"{os.getcwd()}{os.sep}"
    return path.removeprefix(here)


def _rejects(pool: PoolRead) -> Iterator[Finding]:
    for source in pool.sources:
        for damage in source.damage:
            yield Finding(pool.name, "warning", f"{from_here(source.source)}: {damage}")
    kinds = [
        kind
        for source in pool.sources
        for kind in source.reasons.most_common()
        if kind.example not in source.damage
    ]
    kinds.sort(key=lambda kind: -kind.count)
    for kind in kinds[:REASONS_SHOWN]:
        such = "" if kind.count == 1 else ", or like it"
        yield Finding(pool.name, "warning", f"{kind.count:,} rejected: {kind.example}{such}")
    if rest := sum(kind.count for kind in kinds[REASONS_SHOWN:]):
        yield Finding(pool.name, "warning", f"{rest:,} rejected for other reasons")
