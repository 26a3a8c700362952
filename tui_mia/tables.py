"""What an audit found, written as the tables of its run directory."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tui_mia.attacks import AttackScores
from tui_mia.embedded import Subset
from tui_mia.encoder import EncodedPool
from tui_mia.evidence import Figures, q_values
from tui_mia.pools import Overlap
from tui_mia.runs.tables import ENCODED_SAMPLE, TABLES

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

    @property
    def sample_ids(self) -> pa.ChunkedArray:
        """The ids of the samples that stay: [n] strings."""
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

    `pools` are those of `write_samples`, in the same order.
    """
    numbers, number = {}, 0
    for name, pool in pools.items():
        numbers[name] = range(number, number + len(pool.kept))
        number = numbers[name].stop
    with _writer(folder, "scores") as writer:
        for attack in scores:
            for name, scored, p_values in (
                ("candidates", attack.candidates, attack.p_values),
                ("nonmembers", attack.nonmembers, None),
            ):
                if scored is not None:
                    rows = _score_rows(pools[name], numbers[name], attack.attack, scored, p_values)
                    writer.write_table(rows)


def write_metrics(
    folder: Path, scores: Iterable[AttackScores], figures: Mapping[str, Figures | None]
) -> None:
    """Write `metrics`: the figures of each attack, and the facts of its fit."""
    rows: list[dict[str, object]] = []
    for attack in scores:
        found = figures[attack.attack]
        if found is not None:
            n = found.members + found.nonmembers
            values: dict[str, float | None] = {"auc": found.auc, "balanced_accuracy": found.balanced_accuracy}
            values |= {f"tpr_at_fpr_{point:g}": tpr for point, tpr in found.tpr_at_fpr.items()}
            rows += [_metric(attack.attack, metric, value, n) for metric, value in values.items()]
        rows += [_metric(attack.attack, fact, value, None) for fact, value in attack.facts.items()]
    _write(folder, "metrics", rows)


def _metric(attack: str, metric: str, value: float | None, n: int | None) -> dict[str, object]:
    return {"attack": attack, "metric": metric, "value": value, "n": n}


def _pool_row(pool: AuditPool) -> dict[str, object]:
    ids = pool.sample_ids.to_pylist()
    return {
        "pool": pool.name,
        "source": pool.source,
        # Of the pool's content, in whatever order it came.
        "fingerprint": hashlib.sha256("".join(sorted(ids)).encode()).hexdigest(),
        "samples": len(ids),
        "rejects": pool.rejects.num_rows + len(pool.overlap.reasons),
    }


def _one_row_a_view(part: pa.Table) -> pa.Table:
    views = part["similarities"].type.list_size
    cosines = part["similarities"].combine_chunks().flatten()
    rows = np.repeat(np.arange(part.num_rows), views)
    view = np.tile(np.arange(views, dtype=np.int16), part.num_rows)
    columns = [part["sample_id"].take(rows), part["number"].take(rows), view, cosines]
    return pa.table(columns, schema=TABLES["similarities"])


def _score_rows(
    pool: AuditPool,
    numbers: range,
    attack: str,
    scores: NDArray[np.float64],
    p_values: NDArray[np.float64] | None,
) -> pa.Table:
    ids = pool.sample_ids
    nothing = pa.nulls(len(ids), pa.float64())
    p_and_q = [nothing, nothing] if p_values is None else [p_values, q_values(p_values)]
    columns = [ids, np.array(numbers, np.int64), pa.repeat(attack, len(ids)), scores, *p_and_q]
    return pa.table(columns, schema=TABLES["scores"])


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
    os.replace(temporary, folder / f"{table}.parquet")
