"""Keeps pools apart by content: a pair occurs once in an audit, and its image has one role.

By image, since an attack that was fitted to an image under one caption has seen
it when it scores it under another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    # Front ends look at pools without it: pyarrow is 30 MB.
    import pyarrow as pa

# An image that two pools share stays in the first: what is fitted to must not hold what is scored by it.
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
    keep = np.zeros(len(ids), dtype=bool)
    keep[np.unique(codes, return_index=True)[1]] = True
    reasons = dict.fromkeys(np.flatnonzero(~keep).tolist(), f"the same pair came before in {pool}")
    for other in _YIELDS_TO[pool]:
        if other in sample_ids:
            same_pair = _is_in(ids, sample_ids[other])
            same_image = _is_in(_images(ids), _images(sample_ids[other]))
            reasons |= dict.fromkeys(np.flatnonzero(same_image).tolist(), f"the same image is in {other}")
            reasons |= dict.fromkeys(np.flatnonzero(same_pair).tolist(), f"the same pair is in {other}")
            keep &= ~same_image
    return Overlap(keep, reasons)


def _images(ids: pa.ChunkedArray) -> pa.ChunkedArray:
    """The half of each sample id that is of the image alone."""
    import pyarrow.compute as pc

    return pc.utf8_slice_codeunits(ids, 0, 16)


def _is_in(ids: pa.ChunkedArray, others: pa.ChunkedArray) -> NDArray[np.bool_]:
    import pyarrow.compute as pc

    result: NDArray[np.bool_] = pc.is_in(ids, value_set=others.combine_chunks()).to_numpy()
    return result
