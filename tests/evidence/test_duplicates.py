from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tui_mia.evidence.duplicates import near_duplicates

HASHES = np.random.default_rng(0).integers(1, 2**63, 400, dtype=np.uint64)


def image_clusters(hashes: list[int] | NDArray[np.uint64], distance: int = 3) -> list[int]:
    array = np.array(hashes, np.uint64)
    return [int(row) for row in near_duplicates(array, [""] * len(array), distance).images]


def caption_clusters(*captions: str) -> list[int]:
    return [int(row) for row in near_duplicates(np.zeros(len(captions), np.uint64), captions).captions]


def slow_clusters(hashes: list[int], distance: int) -> list[int]:
    cluster = list(range(len(hashes)))
    for one, other in itertools.combinations(range(len(hashes)), 2):
        if (hashes[one] ^ hashes[other]).bit_count() <= distance:
            low, high = sorted((cluster[one], cluster[other]))
            cluster = [low if name == high else name for name in cluster]
    return cluster


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.sets(st.integers(0, 63), max_size=4)), max_size=25),
    st.integers(0, 6),
)
def test_clusters_are_those_of_comparing_all_pairs(made: list[tuple[int, set[int]]], distance: int) -> None:
    hashes = [int(HASHES[which]) ^ sum(1 << bit for bit in flipped) for which, flipped in made]
    assert image_clusters(hashes, distance) == slow_clusters(hashes, distance)


def test_hashes_at_the_distance_are_linked_and_beyond_it_are_not() -> None:
    base = int(HASHES[0])
    assert image_clusters([base, base ^ 0b111]) == [0, 0]
    assert image_clusters([base, base ^ 0b1111]) == [0, 1]
    assert image_clusters([base, base ^ 1, base], distance=0) == [0, 1, 0]


def test_links_make_chains() -> None:
    base = int(HASHES[0])
    assert image_clusters([base ^ 0b111111, int(HASHES[1]), base, base ^ 0b111]) == [0, 1, 0, 0]


def test_blank_pictures_stay_alone() -> None:
    assert image_clusters([0, 0, 2**64 - 1, 2**64 - 1, 1, 3]) == [0, 1, 2, 3, 4, 5]


def test_no_samples_make_no_clusters() -> None:
    found = near_duplicates(np.empty(0, np.uint64), [])
    assert found.images.shape == found.captions.shape == (0,)


def test_many_pictures_of_one_kind_are_one_cluster_and_take_no_squared_time() -> None:
    random = np.random.default_rng(1)
    flips = np.uint64(1) << random.integers(0, 64, (2, 200_000)).astype(np.uint64)
    assert set(image_clusters(HASHES[0] ^ flips[0] ^ flips[1])) == {0}


@given(st.permutations(range(30)))
def test_the_order_of_samples_changes_no_cluster(order: list[int]) -> None:
    hashes = np.concatenate([HASHES[:10], HASHES[:10] ^ np.uint64(3), HASHES[10:20]])
    plain, mixed = image_clusters(hashes), image_clusters(hashes[order])
    for one, other in itertools.combinations(range(30), 2):
        assert (mixed[one] == mixed[other]) == (plain[order[one]] == plain[order[other]])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("A red balloon.", "a  RED balloon"),
        ("sun, sea & sand", "Sun sea & sand!"),
        ("\ufb01ne \uff21\uff22\uff23", "fine abc"),
        ("Straße", "STRASSE"),
        ("one\ntwo", "one two"),
        ("“quoted”", "quoted"),
    ],
)
def test_captions_that_say_the_same_are_one_cluster(one: str, other: str) -> None:
    assert caption_clusters("else", one, other) == [0, 1, 1]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("red balloon", "blue balloon"),
        ("c", "c++"),
        ("कि", "की"),
        ("", ""),
        ("...", "!?"),
        ("item 1", "item 11"),
    ],
)
def test_captions_that_differ_or_say_nothing_stay_apart(one: str, other: str) -> None:
    assert caption_clusters(one, other) == [0, 1]


def test_captions_are_read_once_in_order_and_progress_ends_at_the_whole() -> None:
    told: list[tuple[int, int]] = []
    captions = (caption for caption in ["a", "b \ud800", "", "A!", "b"])
    found = near_duplicates(HASHES[:5], captions, on_progress=lambda done, total: told.append((done, total)))
    assert found.captions.tolist() == [0, 1, 2, 0, 1]
    assert told == sorted(told)
    assert {total for _, total in told} == {told[-1][0]}


def test_fewer_captions_than_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match="iterator"):
        near_duplicates(HASHES[:3], iter(["a"]))
