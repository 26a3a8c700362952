"""Near-duplicates: pictures that hash alike and captions that say the same."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import combinations, pairwise
from math import comb

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

# A hash of almost only zeros or ones is that of a blank; any two blanks are alike.
FEWEST_BITS = 8
_BITS = 64
_SHARED_BANDS = 3
# Of hashes that share three bands, each is compared with this many neighbours in the sorted order:
# a million pictures of one kind must not become a million squared pairs.
MOST_COMPARED = 256
# What captions that say nothing hash to.
_NOTHING_SAID = 0


@dataclass(frozen=True)
class Duplicates:
    """Cluster ids of N samples, int64 [N]: the index of a cluster's first sample, the own one if alone."""

    images: NDArray[np.int64]
    captions: NDArray[np.int64]


def near_duplicates(
    image_hashes: NDArray[np.uint64],
    captions: Iterable[str],
    distance: int = 3,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Duplicates:
    """Clusters of N samples by their picture's 64-bit perceptual hash and by their caption.

    Pictures within `distance` bits are linked, and clusters are what links
    connect. A hash of nearly no bits says nothing: such a picture stays alone,
    as does a caption without a letter, digit or symbol. Captions are read once,
    in order, and none is kept; `on_progress` is of what comes after them.
    """
    of_captions = _caption_clusters(captions, len(image_hashes))
    return Duplicates(_image_clusters(image_hashes, distance, on_progress), of_captions)


def _image_clusters(
    hashes: NDArray[np.uint64], distance: int, on_progress: Callable[[int, int], None]
) -> NDArray[np.int64]:
    own = np.arange(len(hashes))
    bits = np.bitwise_count(hashes)
    telling = np.flatnonzero((bits >= FEWEST_BITS) & (bits <= _BITS - FEWEST_BITS))
    distinct, place = np.unique(hashes[telling], return_inverse=True)
    component = _components(distinct, distance, on_progress)[place]
    _, first, inverse = np.unique(component, return_index=True, return_inverse=True)
    own[telling] = telling[first][inverse]
    return own


def _components(
    distinct: NDArray[np.uint64], distance: int, on_progress: Callable[[int, int], None]
) -> NDArray[np.int32]:
    """The connected component of each of [u] different hashes, in memory for some links of each."""
    size = len(distinct)
    component = np.arange(size, dtype=np.int32)
    waiting: list[NDArray[np.int32]] = []
    count = 0
    for links in _links(distinct, distance, on_progress):
        ends = component[links]
        waiting.append(ends[:, ends[0] != ends[1]])
        count += waiting[-1].shape[1]
        # Hashes that are much alike make hundreds of links each, most within what is one component by then.
        if count > size:
            component = _joined(component, waiting)
            waiting, count = [], 0
    return _joined(component, waiting)


def _links(
    distinct: NDArray[np.uint64], distance: int, on_progress: Callable[[int, int], None]
) -> Iterator[NDArray[np.int64]]:
    """Pairs of rows [2, l] whose hashes are within `distance` bits, at most [u] of them at a time.

    `distance` bits spoil at most as many bands, so that two near hashes share
    at least three whole bands: they meet in one of the tables sorted by three.
    """
    count = distance + _SHARED_BANDS
    edges = [round(_BITS * band / count) for band in range(count + 1)]
    masks = [sum(1 << bit for bit in range(low, high)) for low, high in pairwise(edges)]
    for table, shared in enumerate(combinations(masks, _SHARED_BANDS), start=1):
        banded = distinct & np.uint64(sum(shared))
        order = np.argsort(banded, kind="stable")
        banded, hashes = banded[order], distinct[order]
        rows = np.arange(len(order))
        for step in range(1, min(MOST_COMPARED, len(order) - 1) + 1):
            rows = rows[rows + step < len(order)]
            rows = rows[banded[rows] == banded[rows + step]]
            if not len(rows):
                break
            near = rows[np.bitwise_count(hashes[rows] ^ hashes[rows + step]) <= distance]
            yield np.stack([order[near], order[near + step]])
        on_progress(table, comb(count, _SHARED_BANDS))


def _joined(component: NDArray[np.int32], links: Sequence[NDArray[np.int32]]) -> NDArray[np.int32]:
    """The component of each of [u] hashes once these pairs of components [2, l] are linked."""
    if not links:
        return component
    left, right = np.concatenate(links, axis=1)
    graph = coo_matrix((np.ones(len(left), np.bool_), (left, right)), shape=(len(component),) * 2)
    labels: NDArray[np.int32] = connected_components(graph, directed=False)[1]
    return labels[component]


def _caption_clusters(captions: Iterable[str], count: int) -> NDArray[np.int64]:
    said = np.fromiter(map(_hash_of_what_is_said, captions), np.uint64, count)
    own = np.arange(count)
    telling = np.flatnonzero(said != _NOTHING_SAID)
    _, first, inverse = np.unique(said[telling], return_index=True, return_inverse=True)
    own[telling] = telling[first][inverse]
    return own


def _hash_of_what_is_said(caption: str) -> int:
    """64 bits: of ten million different captions two have the same in one audit of 370,000."""
    said = normalised(caption)
    if not said:
        return _NOTHING_SAID
    digest = blake2b(said.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest) or 1


class _SpacesForMarks(dict[int, str]):
    """Characters to themselves, punctuation, separators and controls to a space; fills as it is asked."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        kept = " " if unicodedata.category(character)[0] in "PZC" else character
        return self.setdefault(code, kept)


_SPACES_FOR_MARKS = _SpacesForMarks()


def normalised(caption: str) -> str:
    """The caption in compatible characters (NFKC), without case, punctuation and superfluous space."""
    plain = unicodedata.normalize("NFKC", caption).casefold()
    return " ".join(plain.translate(_SPACES_FOR_MARKS).split())
