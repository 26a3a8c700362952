"""Keeps pools apart by content: a pair may have one role in an audit, and occur once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

# A pair that two pools share stays in the first: what is fitted to must not hold what is scored by it.
_YIELDS_TO: Final[dict[str, tuple[str, ...]]] = {
    "candidates": (),
    "nonmembers": ("candidates",),
    "general": ("candidates", "nonmembers"),
    "bank": ("candidates", "nonmembers"),
}


@dataclass(frozen=True)
class Overlap:
    """Which rows of a pool are left out, and why: [k] rows and their reasons."""

    keep: NDArray[np.bool_]
    reasons: Mapping[int, str]


def keep_apart(sample_ids: Mapping[str, pa.ChunkedArray]) -> dict[str, Overlap]:
    """Decide for each pool, given its sample ids in order, which rows stay in the audit."""
    return {pool: _overlap(pool, sample_ids) for pool in sample_ids}


def _overlap(pool: str, sample_ids: Mapping[str, pa.ChunkedArray]) -> Overlap:
    ids = sample_ids[pool]
    codes = ids.combine_chunks().dictionary_encode().indices.to_numpy()
    first = np.zeros(len(ids), dtype=bool)
    first[np.unique(codes, return_index=True)[1]] = True
    reasons = dict.fromkeys(np.flatnonzero(~first).tolist(), f"the same pair came before in {pool}")
    keep = first
    for other in _YIELDS_TO[pool]:
        if other in sample_ids:
            shared = pc.is_in(ids, value_set=sample_ids[other].combine_chunks()).to_numpy()
            reasons.update(dict.fromkeys(np.flatnonzero(shared).tolist(), f"the same pair is in {other}"))
            keep = keep & ~shared
    return Overlap(keep, reasons)
