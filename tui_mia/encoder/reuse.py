"""What an earlier run of the same database has encoded is not encoded again.

The embeddings are those that runs keep anyway, in `parts/`: there is no second
store that could grow or be forgotten, and what a deleted run had is gone unless
another run has it too. A shard is taken over where its content and all that
goes into its encoding are the same, by hash: a changed checkpoint under the same
name is another model, and a file that was written again with the same pairs is
the same file. Of a run with more views the first ones are taken; one with fewer
leaves only the others to encode. A tar is read for its content before it is
encoded. Anything else is read ahead only if an earlier run has the same rows of
the same source.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tui_mia.encoder.content import EntriesDigest, Signature, signature_of, tar_digest
from tui_mia.encoder.encode import NOT_FINITE
from tui_mia.encoder.encoding import SEED, VIEWS
from tui_mia.encoder.parts import part_files, with_first_views
from tui_mia.encoder.reuse_index import (
    EarlierRun,
    EncodedShard,
    read_index,
    read_indexes,
    tell_encoding,
    tell_shard,
)
from tui_mia.pools import Pair, PoolError, Reject, Shard, keys_digest, read_shard
from tui_mia.runs.files import put_in_place, temporary_of
from tui_mia.runs.parquet import replace_with_table
from tui_mia.spec import PoolSpec


@dataclass(frozen=True)
class Found:
    """A shard that an earlier run has encoded, with the first `views` of those that this one asks for."""

    run: EarlierRun
    shard: EncodedShard
    views: int


@dataclass(frozen=True)
class ReuseCounts:
    """How many pairs were `taken` over, `extended` by views, or `encoded`, and why the last were."""

    taken: int = 0
    extended: int = 0
    encoded: int = 0
    why_not: str | None = None

    def __add__(self, other: ReuseCounts) -> ReuseCounts:
        return ReuseCounts(
            self.taken + other.taken,
            self.extended + other.extended,
            self.encoded + other.encoded,
            self.why_not or other.why_not,
        )

    def since(self, earlier: ReuseCounts) -> ReuseCounts:
        """What came after an earlier count."""
        return ReuseCounts(
            self.taken - earlier.taken,
            self.extended - earlier.extended,
            self.encoded - earlier.encoded,
            self.why_not,
        )

    def summary(self) -> str | None:
        """What was reused, or why nothing was although an earlier run has encoded the same pairs."""
        reused = self.taken + self.extended
        if not reused:
            return self.why_not
        added = f" ({self.extended:,} without all views, which were added)" if self.extended else ""
        pairs = reused + self.encoded
        return f"{reused:,} of {pairs:,} pairs had been encoded by an earlier run{added} and are reused"


class Reuse:
    """The shards that earlier runs have encoded, and those that this one has.

    `encoding` is all that goes into an embedding beside the pair; `folder` has the
    parts of this run, `earlier` those of others, the newest last. `writer` tells the
    processes of a run apart, where it has several that encode.
    """

    def __init__(
        self, folder: Path, earlier: Iterable[Path], encoding: Mapping[str, Any], writer: str = ""
    ) -> None:
        self.views = int(encoding.get(VIEWS, 0))
        self.counts = ReuseCounts()
        self._folder = folder
        self._encoding = encoding
        self._writer = writer
        self._earlier: dict[str, list[tuple[EarlierRun, EncodedShard]]] = {}
        self._by_content: dict[str, tuple[EarlierRun, EncodedShard]] = {}
        self._digests: dict[str, str] = {}
        for run in (run for other in earlier for run in read_indexes(other)):
            for encoded in run.shards:
                self._earlier.setdefault(encoded.asked, []).append((run, encoded))
                self._by_content[encoded.content] = run, encoded
                self._digests[json.dumps(encoded.signature)] = encoded.content
        begun = read_index(folder, writer).encoding
        # A run that went on with another library or device has parts of two kinds: they are not for others.
        self._pure = begun in ({}, json.loads(json.dumps(encoding)))
        if not begun:
            tell_encoding(folder, encoding, writer)

    def of(self, shard: Shard, spec: PoolSpec, left: int | None) -> ShardReuse | None:
        """A shard of which no part is here yet; None if it can't be read.

        `left` is how many of its entries may be read, if there is a limit.
        """
        try:
            asked, signature = _asked(shard, spec), signature_of(shard.path)
            content = self._tar_digest(shard, signature) if shard.format == "webdataset" else None
        except OSError:
            return None
        return ShardReuse(self, shard, spec, left, asked, signature, content)

    def entries(self, shard: Shard, spec: PoolSpec, left: int | None) -> int:
        """How many entries of a shard would be taken over with all views.

        A tar that no run has read is not read for it; nor is anything that is no tar,
        where a file that was not written since is taken to be the same.
        """
        try:
            asked, signature = _asked(shard, spec), signature_of(shard.path)
            whole = [found for found in self.candidates(asked, left) if found.views == self.views]
            if shard.format != "webdataset":
                same = [found for found in whole if found.shard.signature == signature]
            else:
                content = self._tar_digest(shard, signature) if whole else None
                same = [found for found in whole if found.shard.content == content]
        except OSError:
            return 0
        return same[-1].shard.entries if same else 0

    def candidates(self, asked: str, left: int | None) -> list[Found]:
        """What runs have of a shard or its first `left` entries, whatever was in it; the newest last."""
        found = []
        for run, encoded in self._earlier.get(asked, []):
            if encoded.is_all_for(left) and not self._differing(run) and run.has(encoded):
                with suppress(FileNotFoundError):  # deleted in this moment
                    views = self._views_of(run, encoded)
                    found += [] if views is None else [Found(run, encoded, views)]
        return found

    def take(self, found: Found, shard: Shard) -> bool:
        """Take over the parts that a run has with all views; False if one was deleted in this moment."""
        try:
            for number, (rejects, samples) in enumerate(found.shard.files(found.run.folder)):
                our_rejects, our_samples = part_files(self._folder, shard.pool, shard.index, number)
                _link(rejects, our_rejects)
                if found.run.views == self.views:
                    _link(samples, our_samples)
                else:
                    replace_with_table(our_samples, with_first_views(pq.read_table(samples), self.views))
        except FileNotFoundError:
            return False
        self.counts += ReuseCounts(taken=found.shard.entries)
        return True

    def views_added(self, entries: int) -> None:
        """Of the entries of a shard only views were encoded that an earlier run does not have."""
        self.counts += ReuseCounts(extended=entries)

    def encoded_anew(self, content: str, entries: int) -> None:
        """A shard was not taken over: why not, if an earlier run has encoded the same."""
        self.counts += ReuseCounts(encoded=entries)
        if self.counts.why_not is None and content in self._by_content:
            run, encoded = self._by_content[content]
            if differ := self._differing(run):
                why = f"not the same {', '.join(differ)}"
            elif not run.has(encoded):
                why = "its embeddings were removed since"
            else:
                return
            why_not = f"nothing is reused of what run {run.run_id} encoded: {why}"
            self.counts += ReuseCounts(why_not=why_not)

    def not_for_others(self) -> None:
        """From now on parts are not as they would be in a run alone."""
        self._pure = False

    def remember(self, encoded: EncodedShard) -> None:
        """Tell later runs of a shard that is encoded."""
        if self._pure:
            tell_shard(self._folder, encoded, self._writer)

    def _tar_digest(self, shard: Shard, signature: Signature) -> str:
        return self._digests.get(json.dumps(signature)) or tar_digest(shard.path, signature)

    def _differing(self, run: EarlierRun) -> list[str]:
        """The names of what would have to be the same and is not."""
        names = self._encoding.keys() - {VIEWS, SEED}
        return [
            name
            for name in self._encoding
            if name in names and run.encoding.get(name) != self._encoding[name]
        ]

    def _views_of(self, run: EarlierRun, encoded: EncodedShard) -> int | None:
        """How many of the views that are asked for a run has; None if nothing of the shard can be used."""
        same_seed = run.encoding.get(SEED) == self._encoding.get(SEED)
        if run.views == self.views and (same_seed or not self.views):
            return self.views
        if _depends_on_views(run, encoded):
            return None
        return min(self.views, run.views) if same_seed else 0


class ShardReuse:
    """One shard on its way through a run: taken over if it can be, and remembered for later runs."""

    def __init__(
        self,
        reuse: Reuse,
        shard: Shard,
        spec: PoolSpec,
        left: int | None,
        asked: str,
        signature: Signature,
        tar_digest: str | None,
    ) -> None:
        self._reuse = reuse
        self._shard = shard
        self._spec = spec
        self._left = left
        self._asked = asked
        self._signature = signature
        self._tar_digest = tar_digest
        self._watched = EntriesDigest()
        self._taken_content: str | None = None
        self._with_fewer_views: Found | None = None
        self._is_extended = False

    def take(self) -> None:
        """Take over the parts of an earlier run if one has them, or what it has of their views."""
        candidates = self._reuse.candidates(self._asked, self._left)
        if not candidates:
            return
        content = self._tar_digest or self._read_ahead(max(found.shard.entries for found in candidates))
        same = [found for found in candidates if found.shard.content == content]
        if not same:
            return
        # The most views, and no others beside them if that can be: such parts are shared as they are.
        best = max(reversed(same), key=lambda found: (found.views, -found.run.views))
        if best.views < self._reuse.views:
            self._with_fewer_views = best
        elif self._reuse.take(best, self._shard):
            self._taken_content = content

    def watch(self, entries: Iterator[Pair | Reject]) -> Iterator[Pair | Reject]:
        """The entries on their way to be encoded, which tell the content unless that is known."""
        return entries if self._tar_digest else self._watched.watch(entries)

    def known_samples(self, part: int) -> pa.Table | None:
        """The samples of a part with the first of its views, if an earlier run has no more of them."""
        found = self._with_fewer_views
        if found is None or part >= found.shard.parts:
            return None
        try:
            samples = pq.read_table(found.shard.files(found.run.folder)[part][1])
        except FileNotFoundError:  # deleted in this moment
            return None
        self._is_extended = True
        return with_first_views(samples, found.views)

    def finish(self, entries: int, parts: int) -> None:
        """All entries of the shard, or the first that may be read, are in parts: later runs may take them.

        Not those of a tar that has changed or gone while it was read.
        """
        content = self._taken_content or self._tar_digest or self._watched.hexdigest()
        if self._is_extended:
            self._reuse.views_added(entries)
        elif self._taken_content is None:
            self._reuse.encoded_anew(content, entries)
        try:
            unchanged = signature_of(self._shard.path) == self._signature
        except OSError:
            unchanged = False
        if self._tar_digest and not unchanged:
            return
        cut = self._left if self._left is not None and entries >= self._left else None
        place = (self._shard.pool, self._shard.index)
        self._reuse.remember(EncodedShard(self._asked, content, self._signature, *place, parts, entries, cut))

    def _read_ahead(self, most: int) -> str | None:
        """What is in the shard; None if that is more than `most` entries, or can't be read."""
        digest = EntriesDigest()
        entries = islice(digest.watch(read_shard(self._shard, self._spec)), self._left)
        try:
            more = next(islice(entries, most, None), None)
        except PoolError:
            return None
        return digest.hexdigest() if more is None else None


def _asked(shard: Shard, spec: PoolSpec) -> str:
    """Which shard it is and how it is read, as SHA-256."""
    # Of the keys that are looked for: the file may have been written again since.
    keys = keys_digest(shard.pool, spec.keys) if spec.keys else None
    columns = [spec.image, spec.caption, spec.member if isinstance(spec.member, str) else None]
    reading = [str(shard.path), shard.start, shard.stop, shard.member, columns, keys]
    return hashlib.sha256(json.dumps(reading).encode()).hexdigest()


def _depends_on_views(run: EarlierRun, encoded: EncodedShard) -> bool:
    """Whether a model overflowed on a pair: perhaps only in a view that another run does not have."""
    for rejects, _ in encoded.files(run.folder):
        reasons = pq.read_table(rejects, columns=["reason"])["reason"].to_pylist()
        if not set(reasons).isdisjoint(NOT_FINITE.values()):
            return True
    return False


def _link(source: Path, target: Path) -> None:
    """A part never changes, so that runs can share it; where links can't be had it is copied."""
    try:
        os.link(source, target)
    except OSError:
        temporary = temporary_of(target)
        shutil.copyfile(source, temporary)
        put_in_place(temporary, target)
