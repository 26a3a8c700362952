"""What is read from real files: pairs, labels, rejects, damage, and pairs that two pools share."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tui_mia.image_formats import OF_NO_KNOWN_FORMAT
from tui_mia.pools import PoolName
from tui_mia.preflight.counts import count_pools, of_pool
from tui_mia.preflight.reading import PoolRead, read_pools
from tui_mia.preflight.reasons import MOST_KINDS, Reasons
from tui_mia.runs import Progress

Read = Callable[..., dict[PoolName, PoolRead]]
Tar = Callable[..., str]
Pairs = Callable[..., dict[str, bytes]]


def words(pools: dict[PoolName, PoolRead], name: PoolName = "candidates") -> str:
    counts = count_pools(pools)
    return "\n".join(f"{each.level}: {each.words}" for each in of_pool(pools[name], counts[name]))


def test_the_sample_world_is_counted_with_its_labels(read: Read, world: Path) -> None:
    pools = read(
        candidates={"source": f"{world}/candidates.tar"}, nonmembers={"source": f"{world}/nonmembers.tar"}
    )
    counts = count_pools(pools)
    assert (counts["candidates"].members, counts["candidates"].nonmembers) == (400, 1000)
    assert counts["candidates"].unlabelled == 0
    assert (counts["nonmembers"].kept, counts["nonmembers"].left_out) == (300, {})
    (source,) = pools["candidates"].sources
    assert (source.entries, source.pairs, source.images_to_encode, source.formats) == (
        *(1400, 1400, 1400),
        ("webdataset",),
    )


def test_an_image_that_two_pools_share_is_left_out_of_the_one_that_yields(
    read: Read, tar: Tar, pairs: Pairs
) -> None:
    one = tar(pairs(1, 2, 3), "one.tar")
    other = tar({**pairs(3, 4), **pairs(2, caption="another caption")}, "other.tar")
    pools = read(candidates={"source": one}, nonmembers={"source": other})
    counts = count_pools(pools)
    assert counts["candidates"].kept == 3
    assert counts["nonmembers"].kept == 1
    assert counts["nonmembers"].left_out == {
        "the same pair is in candidates": 1,
        "the same image is in candidates": 1,
    }
    assert "warning: 1 will be left out: the same pair is in candidates." in words(pools, "nonmembers")


def test_a_pool_of_what_is_in_another_has_nothing_usable(read: Read, tar: Tar, pairs: Pairs) -> None:
    same = tar(pairs(1, 2))
    pools = read(candidates={"source": same}, nonmembers={"source": same})
    assert "problem: nothing usable: every entry is rejected or in another pool." in words(
        pools, "nonmembers"
    )


def test_labels_may_come_from_the_source(read: Read, tar: Tar, pairs: Pairs) -> None:
    sources = [tar(pairs(1, 2), "in.tar"), tar(pairs(3), "out.tar"), tar(pairs(4, label="true"), "own.tar")]
    labelled = count_pools(read(candidates={"source": sources, "member": [True, False, False]}))
    assert (labelled["candidates"].members, labelled["candidates"].nonmembers) == (2, 2)
    own = count_pools(read(candidates={"source": sources}))["candidates"]
    assert (own.members, own.nonmembers, own.unlabelled) == (1, 0, 3)


def test_a_tar_that_is_cut_off_is_told_and_what_is_before_counts(
    read: Read, world: Path, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.tar"
    cut.write_bytes((world / "candidates.tar").read_bytes()[:600_000])
    pools = read(candidates={"source": str(cut)})
    (source,) = pools["candidates"].sources
    assert 0 < source.pairs < 1400
    assert source.reasons.total == 1
    assert "warning: " in words(pools)
    assert "tar ends early" in words(pools)


def test_rejects_of_a_kind_are_one_line_with_an_example(read: Read, tar: Tar, pairs: Pairs) -> None:
    broken = {f"x{number}.png": b"no image" for number in range(3)}
    captions = {f"x{number}.txt": b"a caption" for number in range(3)}
    members = {
        name: content for pair in zip(broken.items(), captions.items(), strict=True) for name, content in pair
    }
    pools = read(candidates={"source": tar({**pairs(1), **members, "y.txt": b"alone"})})
    assert f"warning: 3 rejected: image {OF_NO_KNOWN_FORMAT}, or like it" in words(pools)
    (source,) = pools["candidates"].sources
    assert (source.entries, source.pairs, source.reasons.total) == (5, 1, 4)


def test_each_entry_with_a_reason_of_its_own_fills_no_memory() -> None:
    reasons, draw = Reasons(), random.Random(4)
    for _ in range(10 * MOST_KINDS):
        reasons.add("".join(draw.choices("abcdefgh", k=12)))
    kinds = list(reasons.most_common())
    assert len(kinds) == MOST_KINDS + 1
    assert sum(kind.count for kind in kinds) == reasons.total == 10 * MOST_KINDS
    assert kinds[0].example == "other reasons"


def test_a_source_that_can_not_be_read_costs_the_others_nothing(
    read: Read, tar: Tar, pairs: Pairs, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    good = tar(pairs(1, 2))
    pools = read(candidates={"source": [str(tmp_path / "empty"), good]}, nonmembers={"source": good})
    assert pools["candidates"].pairs == 2
    assert "problem: pools.candidates: " in words(pools)
    assert "holds nothing usable" in words(pools)
    assert pools["nonmembers"].problem is None


@pytest.mark.parametrize("name", ["pairs.tar", "pairs.csv"])
def test_a_source_without_entries_is_a_problem(read: Read, tar: Tar, tmp_path: Path, name: str) -> None:
    tar({})
    (tmp_path / "pairs.csv").write_text("image,caption\n")
    assert "problem: " in words(read(candidates={"source": str(tmp_path / name)}))


def test_an_empty_file_is_no_end_of_the_check(read: Read, tmp_path: Path) -> None:
    (tmp_path / "nothing.tar").touch()
    pools = read(candidates={"source": str(tmp_path / "nothing.tar")})
    assert "tar ends early after 0 bytes" in words(pools)
    assert "problem: nothing usable" in words(pools)


def test_a_quick_look_estimates_the_rest(read: Read, world: Path) -> None:
    pools = read(200, candidates={"source": f"{world}/candidates.tar"})
    (source,) = pools["candidates"].sources
    assert (source.entries, source.whole) == (200, False)
    assert 1000 < source.expected_entries < 1900
    count = count_pools(pools)["candidates"]
    assert 1000 < count.kept < 1900
    assert "200 pairs of the first 200 entries (about 1," in words(pools)


def test_a_limit_is_no_quick_look(read: Read, world: Path) -> None:
    sources = [f"{world}/candidates.tar", f"{world}/general.tar"]
    pools = read(candidates={"source": sources, "limit": 100})
    assert [source.entries for source in pools["candidates"].sources] == [100, 0]
    assert pools["candidates"].whole
    assert count_pools(pools)["candidates"].kept == 100
    assert "nothing read: the limit was reached before" in words(pools)


def test_rows_of_a_table_are_estimated_exactly(read: Read, tmp_path: Path, image_bytes: Any) -> None:
    (tmp_path / "a.png").write_bytes(image_bytes())
    rows = "".join(f"a.png,caption {number % 7}\n" for number in range(500))
    (tmp_path / "pairs.csv").write_text("image,caption\n" + rows)
    pools = read(100, candidates={"source": str(tmp_path / "pairs.csv")})
    (source,) = pools["candidates"].sources
    assert (source.expected_entries, source.captions_to_encode, source.images_to_encode) == (500, 7, 1)
    assert source.formats == ("csv",)


def test_progress_goes_forward_and_counts_what_was_read(
    audit_of: Any, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui_mia.preflight.reading.SECONDS_BETWEEN_EVENTS", 0.0)
    events: list[Progress] = []
    read_pools(audit_of({"candidates": {"source": f"{world}/nonmembers.tar"}}), None, events.append)
    assert [event.samples for event in events] == list(range(1, 301))
    fractions = [event.fraction for event in events]
    assert fractions == sorted(fractions)
    assert fractions[-1] <= 0.99
