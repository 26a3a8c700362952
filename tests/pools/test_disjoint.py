from __future__ import annotations

import pyarrow as pa
import pytest

from tui_mia.pools import keep_apart


def ids(*chunks: str) -> pa.ChunkedArray:
    """Sample ids of one letter, a chunk for each argument."""
    return pa.chunked_array([list(chunk) for chunk in chunks], pa.string())


def test_pools_that_share_nothing_stay_whole() -> None:
    found = keep_apart({"candidates": ids("abc"), "nonmembers": ids("de", "f")})
    for overlap in found.values():
        assert overlap.keep.tolist() == [True, True, True]
        assert overlap.reasons == {}


def test_of_duplicates_within_a_pool_the_first_stays() -> None:
    overlap = keep_apart({"candidates": ids("ab", "abc", "a")})["candidates"]
    assert overlap.keep.tolist() == [True, True, False, False, True, False]
    assert overlap.reasons == dict.fromkeys([2, 3, 5], "the same pair came before in candidates")


@pytest.mark.parametrize(
    ("first", "later"),
    [
        ("candidates", "nonmembers"),
        ("candidates", "general"),
        ("candidates", "bank"),
        ("nonmembers", "general"),
        ("nonmembers", "bank"),
    ],
)
def test_a_pair_in_two_pools_is_left_out_of_the_later_one_with_the_reason(first: str, later: str) -> None:
    for pools in ({first: ids("ab"), later: ids("xby")}, {later: ids("xby"), first: ids("ab")}):
        found = keep_apart(pools)
        assert found[first].keep.tolist() == [True, True]
        assert found[later].keep.tolist() == [True, False, True]
        assert found[later].reasons == {1: f"the same pair is in {first}"}


def test_an_image_under_another_caption_is_left_out_too() -> None:
    image, other = "a" * 16, "b" * 16
    candidates = pa.chunked_array([[image + "1" * 16]], pa.string())
    general = pa.chunked_array([[image + "2" * 16, other + "1" * 16, image + "1" * 16]], pa.string())
    overlap = keep_apart({"candidates": candidates, "general": general})["general"]
    assert overlap.keep.tolist() == [False, True, False]
    assert overlap.reasons == {0: "the same image is in candidates", 2: "the same pair is in candidates"}


def test_captions_of_one_image_stay_together_in_a_pool() -> None:
    image = "a" * 16
    pairs = pa.chunked_array([[image + "1" * 16, image + "2" * 16]], pa.string())
    assert keep_apart({"candidates": pairs})["candidates"].keep.all()


def test_every_copy_of_a_shared_pair_is_left_out() -> None:
    overlap = keep_apart({"candidates": ids("a"), "nonmembers": ids("aba")})["nonmembers"]
    assert overlap.keep.tolist() == [False, True, False]
    assert overlap.reasons == dict.fromkeys([0, 2], "the same pair is in candidates")


def test_the_general_pool_and_the_bank_may_share_pairs() -> None:
    found = keep_apart({"candidates": ids("c"), "general": ids("ab"), "bank": ids("ab")})
    assert found["general"].keep.all()
    assert found["bank"].keep.all()


def test_a_pool_may_lose_all_its_pairs_or_have_none() -> None:
    found = keep_apart({"candidates": ids("ab"), "nonmembers": ids("ba"), "general": ids("")})
    assert found["nonmembers"].keep.tolist() == [False, False]
    assert found["general"].keep.tolist() == []
