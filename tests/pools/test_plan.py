from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tui_mia.pools import Pair, PoolError, Reject, plan_shards, read_shard, sample_id
from tui_mia.spec import PoolSpec

ReadPool = Callable[..., tuple[list[Pair], list[Reject]]]
Picture = Callable[..., bytes]


@pytest.fixture
def tables(tmp_path: Path, picture: Picture) -> Path:
    """A folder with three tables of two rows each, and their image in a hidden place of it."""
    (tmp_path / ".images").mkdir()
    (tmp_path / ".images" / "i.png").write_bytes(picture())
    for name in ("b.csv", "a.csv", "c.jsonl"):
        rows = [(".images/i.png", f"{name} {i}") for i in range(2)]
        if name.endswith(".csv"):
            text = "image,caption\n" + "".join(f"{image},{caption}\n" for image, caption in rows)
        else:
            text = "".join(f'{{"image": "{image}", "caption": "{caption}"}}\n' for image, caption in rows)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_the_tables_of_a_folder_are_read_in_the_order_of_their_names(
    tables: Path, read_pool: ReadPool
) -> None:
    pairs, _ = read_pool(source=str(tables))
    assert [pair.caption for pair in pairs] == [
        "a.csv 0",
        "a.csv 1",
        "b.csv 0",
        "b.csv 1",
        "c.jsonl 0",
        "c.jsonl 1",
    ]


def test_sources_keep_the_order_in_which_they_are_named_and_globs_are_sorted(
    tables: Path, read_pool: ReadPool
) -> None:
    pairs, _ = read_pool(source=[str(tables / "c.jsonl"), str(tables / "*.csv")])
    assert [pair.caption[:5] for pair in pairs] == ["c.jso", "c.jso", "a.csv", "a.csv", "b.csv", "b.csv"]


def test_one_label_a_source_goes_to_all_of_its_shards(tables: Path, read_pool: ReadPool) -> None:
    spec = PoolSpec(source=[str(tables / "*.csv"), str(tables / "c.jsonl")], member=[True, False])
    shards = plan_shards("candidates", spec, rows_per_shard=1)
    assert [shard.member for shard in shards] == [True] * 4 + [False] * 2
    assert [shard.index for shard in shards] == list(range(6))
    items = [item for shard in shards for item in read_shard(shard, spec)]
    assert [item.member for item in items if isinstance(item, Pair)] == [True] * 4 + [False] * 2


def test_reading_a_shard_again_gives_the_same_pairs(tables: Path) -> None:
    spec = PoolSpec(source=[str(tables)])
    for shard in plan_shards("general", spec, rows_per_shard=1):
        assert list(read_shard(shard, spec)) == list(read_shard(shard, spec))
    assert plan_shards("general", spec) == plan_shards("general", spec)


def test_with_a_key_file_only_its_pairs_are_in_the_pool(tables: Path, read_pool: ReadPool) -> None:
    (tables / "bad.csv").write_text("key,image,caption\nk1,gone.png,c\nk2,gone.png,c\nk 3,.images/i.png,c\n")
    (tables / "keys.txt").write_bytes(b"\xef\xbb\xbfk2\r\n\r\n  k 3  \nunknown\n")
    pairs, rejects = read_pool(source=str(tables / "bad.csv"), keys=str(tables / "keys.txt"))
    assert [pair.key for pair in pairs] == ["k 3"]
    assert [reject.key for reject in rejects] == ["k2"]


def test_damage_to_a_whole_file_is_reported_also_with_a_key_file(tmp_path: Path, read_pool: ReadPool) -> None:
    (tmp_path / "set.tar").write_bytes(b"damaged")
    (tmp_path / "keys.txt").write_text("k\n")
    _, [reject] = read_pool(source=str(tmp_path / "set.tar"), keys=str(tmp_path / "keys.txt"))
    assert "tar ends early" in reject.reason


def test_a_key_file_that_is_not_text_or_not_there_is_refused(tables: Path) -> None:
    (tables / "keys.txt").write_bytes(b"\xff\xfek")
    for name, message in (("keys.txt", "is not UTF-8 text"), ("none.txt", "can't be read: No such file")):
        with pytest.raises(PoolError, match=rf"pools\.general\.keys: .*{name}: {message}"):
            plan_shards("general", PoolSpec(source=[str(tables)], keys=str(tables / name)))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pairs.xlsx", "is of an unknown format; known are .tar, .tar.gz, .tgz, .csv, .tsv, .jsonl"),
        ("empty", "holds nothing usable: no .tar, .tar.gz"),
        ("none.csv", "there are no rows in it; name a source that has pairs"),
    ],
)
def test_a_source_that_is_no_pool_is_refused_by_name(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "pairs.xlsx").touch()
    (tmp_path / "empty").mkdir()
    source = str(tmp_path / name)
    with pytest.raises(PoolError) as refusal:
        plan_shards("bank", PoolSpec(source=[source]))
    assert str(refusal.value).startswith(f"pools.bank: {source}: {message}")


def test_an_identity_depends_on_image_and_caption_and_on_where_one_ends() -> None:
    assert sample_id(b"image", "caption") == sample_id(b"image", "caption")
    assert (
        len({sample_id(b"ab", "c"), sample_id(b"a", "bc"), sample_id(b"abc", ""), sample_id(b"ab", "d")}) == 4
    )
    assert len(sample_id(b"", "")) == 32


def test_the_first_half_of_an_identity_is_of_the_image_alone() -> None:
    one, other = sample_id(b"image", "a caption"), sample_id(b"image", "another")
    assert one[:16] == other[:16] != sample_id(b"picture", "a caption")[:16]
    assert one[16:] != other[16:]


def test_the_sample_world_is_read_without_a_reject(read_pool: ReadPool) -> None:
    pairs, rejects = read_pool(source="sample_data/candidates.tar")
    assert rejects == []
    assert {pair.member for pair in pairs} == {True, False}
    assert len({sample_id(pair.image, pair.caption) for pair in pairs}) == len(pairs)
