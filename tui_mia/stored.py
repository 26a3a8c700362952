"""What is stored of a run, read back for the evidence: what is judged is what anyone can query."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tui_mia.evidence import Audited, SideScores
from tui_mia.runs.tables import TABLES
from tui_mia.scored import AttackScores

ROWS_AT_ONCE = 100_000
_Read = TypeVar("_Read")


def read_audited(folder: Path, fitted_to_candidates: Collection[str] = ()) -> Audited:
    """What the tables `samples`, `scores`, `baselines` and `duplicates` say; one that is missing is empty.

    The scores of an attack or baseline are read each time that they are asked for: those of all are too
    much to hold, and they are looked at one after the other.
    `fitted_to_candidates` are the attacks with this fact, which is in `metrics` once they are judged.
    """
    samples = _read(folder, "samples", ["number", "pool", "member"], ["pool"]).sort_by("number")
    pools = _Pools.of(samples)
    scores = _Named(folder, "scores", ["attack"])
    baselines = _Named(folder, "baselines", ["baseline", "name"])
    duplicates = _read(folder, "duplicates", ["number", "alike", "cluster"])

    def control(name: str, candidates: pa.Table) -> AttackScores:
        return _control(name, candidates, baselines.rows("control_nonmember", name))

    return Audited(
        attacks=_ByName(scores, [], pools.attack).values(),
        member=pools.member,
        duplicates=_clusters(duplicates, "image", pools),
        same_captions=_clusters(duplicates, "caption", pools),
        blind=_ByName(baselines, ["blind"], lambda name, rows: pools.sides(rows, "score")),
        reference=_ByName(baselines, ["reference"], pools.attack),
        control=_ByName(baselines, ["control_candidate"], control).values(),
        fitted_to_candidates=fitted_to_candidates,
    )


@dataclass(frozen=True)
class _Pools:
    """The numbers of the samples of each pool, in order, and the labels of the candidates."""

    numbers: dict[str, NDArray[np.int64]]
    member: NDArray[np.int8]

    @classmethod
    def of(cls, samples: pa.Table) -> _Pools:
        numbers = {
            pool: samples.filter(pc.equal(samples["pool"], pool))["number"].to_numpy()
            for pool in pc.unique(samples["pool"]).to_pylist()
        }
        labels = samples.filter(pc.equal(samples["pool"], "candidates"))["member"]
        member = pc.fill_null(pc.cast(labels, pa.int8()), -1).to_numpy()
        return cls({"candidates": np.empty(0, np.int64), **numbers}, member)

    def sides(self, rows: pa.Table, column: str) -> SideScores:
        """A column of numbers by number of sample, for candidates and known non-members."""
        none = np.empty(0, np.int64)
        return SideScores(
            _by_number(rows, column, self.numbers["candidates"]),
            _by_number(rows, column, self.numbers.get("nonmembers", none)),
        )

    def attack(self, name: str, rows: pa.Table) -> AttackScores:
        scores, placements = self.sides(rows, "score"), self.sides(rows, "placement")
        p_values = self.sides(rows, "p_value").candidates if "p_value" in rows.column_names else None
        compared = "nonmembers" in self.numbers and not np.isnan(placements.candidates).all()
        return AttackScores(
            attack=name,
            candidates=scores.candidates,
            p_values=p_values if compared else None,
            nonmembers=scores.nonmembers if compared else None,
            placements=placements.candidates if compared else None,
            nonmember_placements=placements.nonmembers if compared else None,
            facts={},
        )


class _Named:
    """The rows of a table by the names that its first columns give them; read one name at a time."""

    def __init__(self, folder: Path, table: str, columns: Sequence[str]) -> None:
        self._path, self._columns = folder / f"{table}.parquet", columns
        self._values = [
            name for name in TABLES[table].names if name not in ("sample_id", "q_value", *columns)
        ]
        # In an order that a database keeps.
        self.names = sorted(_combinations(self._path, columns))

    def rows(self, *names: str) -> pa.Table:
        """Numbers of samples and their values; parts of the file with other names only are not read."""
        which = [(column, "=", name) for column, name in zip(self._columns, names, strict=True)]
        return pq.read_table(self._path, columns=self._values, filters=which)


class _ByName(Mapping[str, _Read]):
    """What the rows of each name say that come after these `first` names, read when it is asked for."""

    def __init__(self, named: _Named, first: Sequence[str], read: Callable[[str, pa.Table], _Read]) -> None:
        self._named, self._first, self._as = named, tuple(first), read
        self._names = [names[-1] for names in named.names if names[:-1] == self._first]

    def __getitem__(self, name: str) -> _Read:
        if name not in self._names:
            raise KeyError(name)
        return self._as(name, self._named.rows(*self._first, name))

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _combinations(path: Path, columns: Sequence[str]) -> set[tuple[str, ...]]:
    """The different values that some columns of a file have together; none where there is no file."""
    found: set[tuple[str, ...]] = set()
    if not path.exists():
        return found
    with pq.ParquetFile(path) as file:
        # A row for every sample and name is too much to make Python strings of.
        for batch in file.iter_batches(ROWS_AT_ONCE, columns=columns):
            rows = pa.table(batch).group_by(columns).aggregate([])
            found.update(zip(*(rows[column].to_pylist() for column in columns), strict=True))
    return found


def _control(name: str, candidates: pa.Table, nonmembers: pa.Table) -> AttackScores:
    """The negative control of an attack; its p-values are not kept."""
    return AttackScores(
        attack=name,
        candidates=candidates["score"].to_numpy(),
        p_values=None,
        nonmembers=nonmembers["score"].to_numpy(),
        placements=candidates["placement"].to_numpy(),
        nonmember_placements=nonmembers["placement"].to_numpy(),
        facts={},
    )


def _clusters(duplicates: pa.Table, alike: str, pools: _Pools) -> dict[str, NDArray[np.int64]]:
    """For every sample what it shares with those alike; alone, it has a number below zero to itself."""
    duplicates = duplicates.filter(pc.equal(duplicates["alike"], alike))
    shared = {}
    for pool, numbers in pools.numbers.items():
        found = _by_number(duplicates, "cluster", numbers)
        alone = np.isnan(found)
        shared[pool] = np.where(alone, -1 - numbers, np.nan_to_num(found)).astype(np.int64)
    return shared


def _by_number(rows: pa.Table, column: str, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
    """The values of samples with these ascending numbers; NaN where there is no row."""
    values = np.full(len(numbers), np.nan)
    given = rows["number"].to_numpy()
    place = np.searchsorted(numbers, given)
    inside = place < len(numbers)
    inside[inside] = numbers[place[inside]] == given[inside]
    values[place[inside]] = pc.cast(rows[column], pa.float64()).to_numpy()[inside]
    return values


def _read(folder: Path, table: str, columns: Sequence[str], few_values: Sequence[str] = ()) -> pa.Table:
    """Columns of a table; those of `few_values` take no more memory than numbers would."""
    path = folder / f"{table}.parquet"
    if not path.exists():
        return TABLES[table].empty_table().select(columns)
    return pq.read_table(path, columns=columns, read_dictionary=few_values)
