from __future__ import annotations

import datetime
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tui_mia.pools import Pair, PoolError, Reject, plan_shards, read_shard
from tui_mia.spec import PoolSpec
from tui_mia.storage import size_of

ReadPool = Callable[..., tuple[list[Pair], list[Reject]]]
Picture = Callable[..., bytes]


@pytest.fixture
def parquet(tmp_path: Path) -> Callable[..., str]:
    """Writes columns to a Parquet file and returns its path."""

    def write(columns: dict[str, Any], name: str = "pairs.parquet", **options: Any) -> str:
        pq.write_table(pa.table(columns), tmp_path / name, **options)
        return str(tmp_path / name)

    return write


def test_images_are_read_from_bytes_paths_and_hugging_face_structs(
    tmp_path: Path, parquet: Callable[..., str], read_pool: ReadPool, picture: Picture
) -> None:
    (tmp_path / "cat.png").write_bytes(picture(1))
    structs = [{"bytes": picture(0), "path": "gone.png"}, {"bytes": None, "path": "cat.png"}, None]
    for images in ([picture(0), picture(1), None], structs):
        pairs, [reject] = read_pool(source=parquet({"image": images, "caption": ["a", "b", "c"]}))
        assert [(pair.key, pair.image) for pair in pairs] == [("0", picture(0)), ("1", picture(1))]
        assert (reject.key, reject.reason) == ("2", "no image")
    pairs, _ = read_pool(source=parquet({"image": ["cat.png"], "caption": ["a"]}))
    assert [pair.image for pair in pairs] == [picture(1)]


def test_img2dataset_tables_work_with_their_image_column_named(
    parquet: Callable[..., str], read_pool: ReadPool, picture: Picture
) -> None:
    source = parquet(
        {
            "jpg": [picture(), None],
            "caption": ["a", "b"],
            "key": ["000000000", "000000001"],
            "status": ["success", "failed_to_download"],
            "width": [4, None],
        }
    )
    pairs, [reject] = read_pool(source=source, image="jpg")
    assert pairs == [Pair("000000000", source, picture(), "a", 1, None, {"status": "success", "width": 4})]
    assert (reject.key, reject.reason) == ("000000001", "no image")


def test_metadata_keeps_numbers_and_lists_writes_times_as_text_and_leaves_bytes_out(
    parquet: Callable[..., str], read_pool: ReadPool
) -> None:
    source = parquet(
        {
            "image": [b"x"],
            "caption": pa.array(["c"]).dictionary_encode(),
            "a.b": [1.5],
            "none": [float("nan")],
            "list": [[1, 2]],
            "thumbnail": [b"y"],
            "nested": [{"raw": b"y", "n": 1}],
            "day": [datetime.date(2026, 1, 2)],
            "stamp": pa.array([1_600_000_000_123_456_789], pa.timestamp("ns")),
            "clock": pa.array([1], pa.time64("ns")),
        }
    )
    [pair], rejects = read_pool(source=source)
    assert rejects == []
    assert pair.metadata == {
        "a.b": 1.5,
        "none": None,
        "list": [1, 2],
        "nested": {"n": 1},
        "day": "2026-01-02",
        "stamp": "2020-09-13T12:26:40.123456",
        "clock": "00:00:00",
    }


@pytest.mark.parametrize("row_group_size", [1, 3, 5, 100])
@pytest.mark.parametrize("rows_per_shard", [1, 4, 50, 1000])
def test_shards_cut_across_row_groups_and_together_are_the_whole(
    parquet: Callable[..., str], read_pool: ReadPool, row_group_size: int, rows_per_shard: int
) -> None:
    columns = {"image": [b"i%d" % i for i in range(100)], "caption": [f"c{i}" for i in range(100)]}
    source = parquet(columns, row_group_size=row_group_size)
    pairs, rejects = read_pool(rows_per_shard, source=source)
    assert [(pair.key, pair.image, pair.caption) for pair in pairs] == [
        (f"{i}", b"i%d" % i, f"c{i}") for i in range(100)
    ]
    assert [pair.position for pair in pairs] == [i % rows_per_shard + 1 for i in range(100)]
    assert rejects == []


def test_text_that_is_not_utf8_costs_only_its_row(parquet: Callable[..., str], read_pool: ReadPool) -> None:
    raw = pa.array([b"good", b"ba\xffd", b"fine"])
    source = parquet({"image": [b"x"] * 3, "caption": pa.Array.from_buffers(pa.string(), 3, raw.buffers())})
    pairs, [reject] = read_pool(source=source)
    assert [pair.key for pair in pairs] == ["0", "2"]
    assert (reject.key, "row has a value that can't be read" in reject.reason) == ("1", True)


def test_a_damaged_page_ends_the_shard_with_one_reject(
    parquet: Callable[..., str], read_pool: ReadPool
) -> None:
    columns = {"image": [os.urandom(100) for _ in range(200)], "caption": ["c"] * 200}
    source = Path(parquet(columns, row_group_size=50, write_page_checksum=True))
    content = bytearray(source.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 4000] = bytes(4000)
    source.write_bytes(content)
    pairs, rejects = read_pool(source=str(source))
    assert [pair.key for pair in pairs] == [f"{i}" for i in range(len(pairs))]
    assert 50 <= len(pairs) < 200
    assert (rejects[-1].key, "table is damaged from about row" in rejects[-1].reason) == ("", True)


@pytest.mark.parametrize("content", [b"", b"not parquet", b"PAR1" + b"\xff" * 64 + b"PAR1"])
def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "pairs.parquet").write_bytes(content)
    with pytest.raises(PoolError, match=r"pools\.general: .*pairs\.parquet: "):
        plan_shards("general", PoolSpec(source=[str(tmp_path / "pairs.parquet")]))


def test_columns_whose_names_are_no_text_are_refused(parquet: Callable[..., str]) -> None:
    path = Path(parquet({"image": [b"x"], "caption": ["c"], "zzzz": [1]}, store_schema=False))
    path.write_bytes(path.read_bytes().replace(b"zzzz", b"z\xff\xffz"))
    with pytest.raises(PoolError, match="is not a readable Parquet file: 'utf-8' codec can't decode"):
        plan_shards("general", PoolSpec(source=[str(path)]))


def test_a_time_zone_that_nobody_knows_costs_the_rows_and_not_the_audit(
    parquet: Callable[..., str], read_pool: ReadPool, picture: Picture
) -> None:
    times = pa.array([0, 1], pa.timestamp("us", "Nowhere/Land"))
    pairs, rejects = read_pool(
        source=parquet({"image": [picture(0), picture(1)], "caption": ["a", "b"], "at": times})
    )
    assert pairs == []
    assert all("row has a value that can't be read" in reject.reason for reject in rejects)
    assert len(rejects) == 2


def test_more_rows_than_anyone_has_are_refused_before_they_are_cut(
    parquet: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui_mia.pools.parquet_rows.MOST_ROWS", 2)
    source = parquet({"image": [b"x"] * 3, "caption": ["c"] * 3})
    with pytest.raises(PoolError, match=r"says that it has 3 rows, and at most 2 are read"):
        plan_shards("general", PoolSpec(source=[source]))


def test_reading_images_from_a_column_takes_little_memory(parquet: Callable[..., str]) -> None:
    # As small as the pages of the file: a page is what Parquet unpacks at a time.
    image = os.urandom(40_000)
    spec = PoolSpec(
        source=[
            parquet(
                {"image": [image + b"%d" % i for i in range(1500)], "caption": ["c"] * 1500},
                use_dictionary=False,
                write_batch_size=16,
            )
        ]
    )
    [shard] = plan_shards("general", spec)
    before, peak = pa.total_allocated_bytes(), 0
    for _ in read_shard(shard, spec):
        peak = max(peak, pa.total_allocated_bytes() - before)
    assert size_of(shard.path) > 50e6
    assert peak < 20e6
