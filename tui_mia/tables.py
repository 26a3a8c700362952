"""What an audit found, written as the tables of its run directory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tui_mia.embedded import Subset
from tui_mia.encoder import EncodedPool, SeenBy
from tui_mia.evidence import Audited, Check, Judgement, Metric, q_values
from tui_mia.pools import Overlap
from tui_mia.runs.files import put_in_place
from tui_mia.runs.tables import ENCODED_SAMPLE, TABLES
from tui_mia.scored import FIGURE, AttackScores

ControlRows: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64]]
# The ids of a pool's samples, and their numbers within the run.
_Numbered: TypeAlias = tuple[pa.ChunkedArray, NDArray[np.int64]]
_Columns: TypeAlias = Sequence[NDArray[np.float64] | NDArray[np.int64] | None]

# As many as a row group of Parquet has by default.
ROWS_AT_ONCE = 2**20
_SAMPLE_COLUMNS = [column.name for column in ENCODED_SAMPLE]


@dataclass(frozen=True)
class AuditPool:
    """A pool of an audit: what was encoded, which rows of it stay, and what was rejected on the way."""

    name: str
    source: str
    encoded: EncodedPool
    overlap: Overlap
    rejects: pa.Table

    @property
    def kept(self) -> Subset:
        """The samples that stay."""
        return Subset(self.encoded, np.flatnonzero(self.overlap.keep))

    def kept_by(self, model: SeenBy) -> Subset:
        """The samples that stay, as one of the models sees them."""
        encoded = self.encoded if model == "target" else EncodedPool(self.encoded.paths, model)
        return Subset(encoded, np.flatnonzero(self.overlap.keep))

    @property
    def sample_ids(self) -> pa.ChunkedArray:
        """The ids of the samples that stay: [n] strings."""
        if self.overlap.keep.all():
            return self.encoded.sample_ids
        return self.encoded.sample_ids.filter(pa.array(self.overlap.keep))


def write_samples(folder: Path, pools: Sequence[AuditPool]) -> None:
    """Write `samples`, `similarities`, `pools` and `rejects`, a part at a time.

    The samples that stay are numbered from 0, in the order of `pools` and of their parts.
    """
    number = 0
    with (
        _writer(folder, "samples") as samples,
        _writer(folder, "similarities") as similarities,
        _writer(folder, "rejects") as rejects,
    ):
        for pool in pools:
            rejects.write_table(_in_pool(pool.rejects, "rejects", pool.name))
            start = 0
            for path in pool.encoded.paths:
                part = pq.read_table(path, columns=[*_SAMPLE_COLUMNS, "similarities"])
                keep = pool.overlap.keep[start : start + part.num_rows]
                kept = _numbered(part.filter(pa.array(keep)), number)
                number += kept.num_rows
                samples.write_table(_in_pool(kept, "samples", pool.name))
                similarities.write_table(_one_row_a_view(kept))
                if not keep.all():
                    left_out = np.flatnonzero(~keep)
                    reasons = [pool.overlap.reasons[start + row] for row in left_out.tolist()]
                    dropped = part.take(left_out).append_column("reason", [reasons])
                    rejects.write_table(_in_pool(dropped, "rejects", pool.name))
                start += part.num_rows
    _write(folder, "pools", [_pool_row(pool) for pool in pools])


def write_scores(folder: Path, pools: Mapping[str, AuditPool], scores: Iterable[AttackScores]) -> None:
    """Write `scores`: every candidate and known non-member, every attack; p- and q-values of candidates.

    `pools` are those of `write_samples`, in the same order; so in the functions below.
    """
    numbered = _numbered_pools(pools)
    with _writer(folder, "scores") as writer:
        for attack in scores:
            p_values = attack.p_values
            q = None if p_values is None else q_values(p_values)
            columns = [attack.candidates, p_values, q, attack.placements]
            _write_rows(writer, "scores", numbered["candidates"], [attack.attack], columns)
            if attack.nonmembers is not None:
                columns = [attack.nonmembers, None, None, attack.nonmember_placements]
                _write_rows(writer, "scores", numbered["nonmembers"], [attack.attack], columns)


def write_baselines(
    folder: Path, pools: Mapping[str, AuditPool], audited: Audited, control_rows: ControlRows | None
) -> None:
    """Write `baselines`: the scores that those of the attacks are compared with.

    `control_rows` are the known non-members that the negative control took for
    candidates, and those that it compared them with.
    """
    numbered = _numbered_pools(pools)
    with _writer(folder, "baselines") as writer:

        def write(pool: str, rows: NDArray[np.int64] | None, names: Sequence[str], columns: _Columns) -> None:
            ids, numbers = numbered[pool]
            of_rows = (ids, numbers) if rows is None else (ids.take(rows), numbers[rows])
            _write_rows(writer, "baselines", of_rows, names, columns)

        for name, blind in audited.blind.items():
            for pool, scores in (("candidates", blind.candidates), ("nonmembers", blind.nonmembers)):
                rows = np.flatnonzero(~np.isnan(scores))
                if len(rows):
                    write(pool, rows, ["blind", name], [scores[rows], None])
        for name, attack in audited.reference.items():
            write("candidates", None, ["reference", name], [attack.candidates, attack.placements])
            if attack.nonmembers is not None:
                columns = [attack.nonmembers, attack.nonmember_placements]
                write("nonmembers", None, ["reference", name], columns)
        for attack in audited.control:
            assert control_rows is not None
            name = attack.attack
            columns = [attack.candidates, attack.placements]
            write("nonmembers", control_rows[0], ["control_candidate", name], columns)
            columns = [attack.nonmembers, attack.nonmember_placements]
            write("nonmembers", control_rows[1], ["control_nonmember", name], columns)


def write_duplicates(folder: Path, pools: Mapping[str, AuditPool], audited: Audited) -> None:
    """Write `duplicates`: the samples whose image or caption is like that of another, in any pool."""
    numbered = _numbered_pools(pools)
    with _writer(folder, "duplicates") as writer:
        for alike, clusters in (("image", audited.duplicates), ("caption", audited.same_captions)):
            names, counts = np.unique(np.concatenate(list(clusters.values())), return_counts=True)
            shared = names[counts > 1]
            for pool, of_pool in clusters.items():
                rows = np.flatnonzero(np.isin(of_pool, shared))
                ids, all_numbers = numbered[pool]
                of_rows = ids.take(rows), all_numbers[rows]
                _write_rows(writer, "duplicates", of_rows, [alike], [of_pool[rows]])


def write_judgement(
    folder: Path, judgement: Judgement, checks: Sequence[Check], facts: Mapping[str, Mapping[str, float]]
) -> None:
    """Write `metrics`, `checks` and `verdicts`: what the evidence says, and the facts of each fit.

    `checks` are those that don't follow from what is stored; `facts` are by attack. One that is named
    like a figure, which an attack of another package may have, is `fact_...`.
    """
    of_fits = [
        Metric(attack, f"fact_{fact}" if FIGURE.match(fact) else fact, value)
        for attack, of_attack in facts.items()
        for fact, value in of_attack.items()
    ]
    for table, found in (
        ("metrics", [*judgement.metrics, *of_fits]),
        ("checks", [*judgement.checks, *checks]),
        ("verdicts", judgement.verdicts),
    ):
        _write(folder, table, [vars(row) for row in found])


def _pool_row(pool: AuditPool) -> dict[str, object]:
    return {
        "pool": pool.name,
        "source": pool.source,
        "fingerprint": _fingerprint(pool.kept),
        "samples": len(pool.kept),
        "rejects": pool.rejects.num_rows + len(pool.overlap.reasons),
    }


def _fingerprint(samples: Subset) -> str:
    """SHA-256 of the sorted ids: of the pool's content, in whatever order it came."""
    # The two halves of an id are its keys.
    halves = samples.image_keys, samples.keys
    order = np.lexsort(halves[::-1])
    digest = hashlib.sha256()
    for start in range(0, len(order), ROWS_AT_ONCE):
        rows = order[start : start + ROWS_AT_ONCE]
        ids = np.stack([half[rows] for half in halves], axis=1).astype(">u8")
        digest.update(ids.tobytes().hex().encode())
    return digest.hexdigest()


def _one_row_a_view(part: pa.Table) -> pa.Table:
    views = part["similarities"].type.list_size
    cosines = part["similarities"].combine_chunks().flatten()
    rows = np.repeat(np.arange(part.num_rows), views)
    view = np.tile(np.arange(views, dtype=np.int16), part.num_rows)
    columns = [part["sample_id"].take(rows), part["number"].take(rows), view, cosines]
    return pa.table(columns, schema=TABLES["similarities"])


def _numbered_pools(pools: Mapping[str, AuditPool]) -> dict[str, _Numbered]:
    numbered, number = {}, 0
    for name, pool in pools.items():
        ids = pool.sample_ids
        numbered[name] = ids, np.arange(number, number + len(ids))
        number += len(ids)
    return numbered


def _write_rows(
    writer: pq.ParquetWriter, table: str, samples: _Numbered, names: Sequence[str], columns: _Columns
) -> None:
    """Write rows about samples: id and number, names that all of them share, and values; some at a time."""
    ids, numbers = samples
    for start in range(0, max(len(numbers), 1), ROWS_AT_ONCE):
        rows = slice(start, min(start + ROWS_AT_ONCE, len(numbers)))
        count = rows.stop - rows.start
        shared = [pa.repeat(name, count) for name in names]
        nothing = pa.nulls(count, pa.float64())
        values = [nothing if column is None else column[rows] for column in columns]
        written = [ids.slice(start, count), numbers[rows], *shared, *values]
        writer.write_table(pa.table(written, schema=TABLES[table]))


def _numbered(samples: pa.Table, first: int) -> pa.Table:
    return samples.append_column("number", [np.arange(first, first + samples.num_rows)])


def _in_pool(rows: pa.Table, table: str, pool: str) -> pa.Table:
    """`rows` with a column for their pool, in the columns of `table`."""
    columns = {"pool": pa.repeat(pool, rows.num_rows), **{name: rows[name] for name in rows.column_names}}
    return pa.table([columns[name] for name in TABLES[table].names], schema=TABLES[table])


def _write(folder: Path, table: str, rows: list[dict[str, object]]) -> None:
    with _writer(folder, table) as writer:
        writer.write_table(pa.Table.from_pylist(rows, TABLES[table]))


@contextmanager
def _writer(folder: Path, table: str) -> Iterator[pq.ParquetWriter]:
    """Write a table bit by bit; it takes its name when it is whole."""
    temporary = folder / f"{table}.parquet.tmp"
    with pq.ParquetWriter(temporary, TABLES[table], compression="zstd", compression_level=1) as writer:
        yield writer
    put_in_place(temporary, folder / f"{table}.parquet")
