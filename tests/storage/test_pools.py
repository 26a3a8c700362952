"""Pools by URL: the pairs of an object are those of the file."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import pickle
import signal
import tarfile
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tui_mia.pools import Pair, PoolError, Reject, plan_shards, read_shard, sample_id
from tui_mia.pools.find import find_image
from tui_mia.pools.preview import Count, count, preview
from tui_mia.spec import PoolSpec
from tui_mia.storage import StorageError, expand_url

Image = Callable[..., bytes]


def read(spec: PoolSpec) -> list[Pair | Reject]:
    return [item for shard in plan_shards("candidates", spec) for item in read_shard(shard, spec)]


def as_if_local(items: list[Pair | Reject]) -> list[Pair | Reject]:
    return [replace(item, source=item.source.rpartition("/")[2]) for item in items]


def tar_of(numbers: range, image_bytes: Image) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for number in numbers:
            for name, content in (
                (f"{number}.png", image_bytes(number)),
                (f"{number}.txt", b"caption %d" % number),
            ):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def rows_of(suffix: str, cells: list[Any]) -> bytes:
    """A table of pairs whose images are in `cells`, or in files that they name."""
    rows = [
        {"key": f"k{number}", "image": cell, "caption": f"caption {number}"}
        for number, cell in enumerate(cells)
    ]
    if suffix == "parquet":
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows), buffer, row_group_size=3)
        return buffer.getvalue()
    if suffix == "jsonl":
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    text = io.StringIO()
    writer = csv.DictWriter(text, ["key", "image", "caption"], delimiter="\t" if suffix == "tsv" else ",")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


@pytest.mark.parametrize("name", ["pairs.tar", "pairs.tar.gz", "pairs.tgz"])
def test_a_tar_in_a_store_has_the_pairs_of_the_file(
    name: str, s3: Any, tmp_path: Path, image_bytes: Image
) -> None:
    content = tar_of(range(20), image_bytes)
    content = content if name.endswith("tar") else gzip.compress(content)
    (tmp_path / name).write_bytes(content)
    url = s3.put(f"pool/some where/{name}", content)
    found = read(PoolSpec(source=[url]))
    assert len(found) == 20
    assert found[0].source == url
    assert as_if_local(found) == as_if_local(read(PoolSpec(source=[str(tmp_path / name)])))


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_a_table_in_a_store_has_its_images_beside_it(
    suffix: str, s3: Any, tmp_path: Path, image_bytes: Image
) -> None:
    names = [f"images/{number} %41?#.png" for number in range(7)]
    table = rows_of(suffix, names)
    (tmp_path / "images").mkdir()
    for number, name in enumerate(names):
        (tmp_path / name).write_bytes(image_bytes(number))
        s3.put(f"pool/set/{name}", image_bytes(number))
    (tmp_path / f"pairs.{suffix}").write_bytes(table)
    found = read(PoolSpec(source=[s3.put(f"pool/set/pairs.{suffix}", table)]))
    assert len(found) == 7
    assert as_if_local(found) == as_if_local(read(PoolSpec(source=[str(tmp_path / f"pairs.{suffix}")])))


def test_images_in_a_column_of_a_parquet_table_are_read(s3: Any, tmp_path: Path, image_bytes: Image) -> None:
    table = rows_of("parquet", [image_bytes(number) for number in range(50)])
    (tmp_path / "pairs.parquet").write_bytes(table)
    found = read(PoolSpec(source=[s3.put("pool/pairs.parquet", table)]))
    assert as_if_local(found) == as_if_local(read(PoolSpec(source=[str(tmp_path / "pairs.parquet")])))
    shards = plan_shards("candidates", PoolSpec(source=["s3://pool/pairs.parquet"]), rows_per_shard=20)
    assert [(shard.start, shard.stop) for shard in shards] == [(0, 20), (20, 40), (40, 50)]


def test_a_web_server_is_a_store_too(web: Any, image_bytes: Image) -> None:
    name = "50% of #1?.png"
    web.files |= {"/set/a.tar": tar_of(range(3), image_bytes), f"/set/images/{name}": image_bytes(3)}
    web.files["/set/b.csv"] = rows_of(
        "csv", [f"images/{name}", f"{web.endpoint}/set/images/50%25%20of%20%231%3F.png"]
    )
    found = read(PoolSpec(source=[f"{web.endpoint}/set/a.tar?download=1", f"{web.endpoint}/set/b.csv"]))
    assert [type(item) for item in found] == [Pair] * 5
    assert found[-1].image == found[-2].image == image_bytes(3)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "name",
    [
        "../secret.png",
        "images/../../secret.png",
        "/pool/secret.png",
        "s3://pool/secret.png",
        "s3://pool/set/../secret.png",
        "s3://other/set/x.png",
        "https://elsewhere/set/x.png",
        "file:///etc/passwd",
        ".",
        "a\nb.png",
        "x" * 2000,
    ],
)
def test_a_row_can_t_name_what_is_not_beside_its_table(
    name: str, s3: Any, between: Any, image_bytes: Image
) -> None:
    s3.put("pool/secret.png", image_bytes())
    s3.put("pool/set/ok.png", image_bytes(1))
    url = s3.put("pool/set/pairs.jsonl", rows_of("jsonl", [name, "ok.png"]))
    hostile, plain = read(PoolSpec(source=[url]))
    assert isinstance(hostile, Reject)
    assert "leaves the folder of its table" in hostile.reason or "not the name of an object" in hostile.reason
    assert isinstance(plain, Pair)
    assert not any("secret" in asked.path or "passwd" in asked.path for asked in between.asked)


@pytest.mark.parametrize(
    "name", ["../secret.png", "%2e%2e/secret.png", "..%2fsecret.png", "http://{}/secret.png"]
)
def test_a_row_can_t_name_what_is_not_beside_its_table_on_a_web_server(
    name: str, web: Any, image_bytes: Image
) -> None:
    web.files |= {"/secret.png": image_bytes(), "/set/pairs.jsonl": rows_of("jsonl", [name])}
    [hostile] = read(PoolSpec(source=[f"{web.endpoint}/set/pairs.jsonl"]))
    assert isinstance(hostile, Reject)
    assert not any("secret" in asked and "%2" not in asked for asked in web.asked)


def test_an_image_that_is_missing_costs_its_row_and_one_that_is_refused_the_pool(
    s3: Any, between: Any, image_bytes: Image
) -> None:
    s3.put("pool/set/ok.png", image_bytes(1))
    spec = PoolSpec(source=[s3.put("pool/set/pairs.csv", rows_of("csv", ["none.png", "ok.png"]))])
    missing, plain = read(spec)
    assert isinstance(missing, Reject)
    assert missing.reason == "no object 'none.png'"
    assert isinstance(plain, Pair)
    between.fault = lambda asked: 403 if asked.path.endswith("ok.png") else None
    with pytest.raises(PoolError, match=r"pools\.candidates: s3://pool/set/ok.png: access is refused \(403"):
        read(spec)


def test_images_of_a_table_are_fetched_several_at_a_time_and_only_those_that_are_wanted(
    s3: Any, between: Any, image_bytes: Image
) -> None:
    for number in range(40):
        s3.put(f"pool/{number}.png", image_bytes(number))
    url = s3.put("pool/pairs.csv", rows_of("csv", [f"{number}.png" for number in range(40)]))
    asked_for: set[str] = set()
    together = threading.Event()

    def fault(asked: Any) -> None:
        if asked.path.endswith(".png"):
            # None is answered until eight are asked for.
            asked_for.add(asked.path)
            if len(asked_for) >= 8:
                together.set()
            together.wait(30)

    between.fault = fault
    found = read(PoolSpec(source=[url]))
    assert [item.key for item in found] == [f"k{number}" for number in range(40)]
    assert together.is_set()
    between.fault = lambda asked: None
    between.asked.clear()
    keys = s3.put("pool/keys.txt", b"k7\nk21\n")
    assert [item.key for item in read(PoolSpec(source=[url], keys=keys))] == ["k7", "k21"]
    fetched = {asked.path for asked in between.asked if asked.path.endswith(".png")}
    assert fetched == {"/pool/7.png", "/pool/21.png"}


def test_an_image_that_is_too_large_is_rejected(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui_mia.pools.table.IMAGE_LIMIT_BYTES", 1000)
    s3.put("pool/large.png", bytes(1001))
    s3.put("pool/empty.png", b"")
    url = s3.put("pool/pairs.csv", rows_of("csv", ["large.png", "empty.png"]))
    large, empty = read(PoolSpec(source=[url]))
    assert isinstance(large, Reject)
    assert large.reason == "'large.png' has more than 1,000 bytes, which are the most that are read"
    assert isinstance(empty, Reject)
    assert empty.reason == "image is empty (0 bytes)"


def test_braces_and_globs_name_objects_in_their_order(s3: Any, image_bytes: Image) -> None:
    for number in (10, 2, 1):
        s3.put(f"pool/set/part-{number:03}.tar", tar_of(range(number, number + 1), image_bytes))
    s3.put("pool/set/readme.txt", b"")
    s3.put("pool/set/below/part-003.tar", b"")
    globbed = plan_shards("candidates", PoolSpec(source=["s3://pool/set/*.tar"]))
    listed = plan_shards("candidates", PoolSpec(source=["s3://pool/set/part-{001,002,010}.tar"]))
    assert globbed == listed
    assert [shard.path.name for shard in globbed] == ["part-001.tar", "part-002.tar", "part-010.tar"]
    assert [str(url) for url in expand_url("s3://pool/**/part-003.tar")] == [
        "s3://pool/set/below/part-003.tar"
    ]
    with pytest.raises(PoolError, match=r"s3://pool/set/part-003.tar: there is no such object"):
        plan_shards("candidates", PoolSpec(source=["s3://pool/set/part-{001..003}.tar"]))


def test_a_glob_with_too_many_objects_is_refused(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui_mia.storage.looking.MOST_OBJECTS", 2)
    for number in range(3):
        s3.put(f"pool/{number}.tar", b"")
    with pytest.raises(StorageError, match="3 objects match it, and at most 2 are taken"):
        expand_url("s3://pool/*.tar")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("s3://pool/none.tar", "there is no such object"),
        ("s3://pool/none/*.tar", "no object matches it"),
        ("s3://nowhere/*.tar", "no object matches it|there is no such object"),
        ("s3://*/a.tar", "the bucket must be named in full"),
        ("s3://pool/set", "a format that is not read by URL; those are .tar"),
        ("s3://pool/set/", r"is no object; name what is in it, for example s3://pool/set/\*.tar"),
        ("s3://pool", "is no object"),
        ("s3://pool/captions.json", "COCO captions are not read by URL"),
        ("https://host.invalid/*.tar", "a server has no list of its files"),
    ],
)
def test_sources_that_can_t_be_read_are_errors_that_name_them(source: str, words: str, s3: Any) -> None:
    s3.put("pool/set/a.tar", b"")
    with pytest.raises(PoolError, match=words) as error:
        plan_shards("candidates", PoolSpec(source=[source]))
    assert str(error.value).startswith(f"pools.candidates: {source}")


def test_keys_may_be_in_a_store(s3: Any, image_bytes: Image) -> None:
    s3.put("pool/a.tar", tar_of(range(5), image_bytes))
    keys = s3.put("pool/keys.txt", b"\xef\xbb\xbf1\r\n3\n")
    spec = PoolSpec(source=["s3://pool/a.tar"], keys=keys)
    assert [item.key for item in read(spec)] == ["1", "3"]
    s3.delete("pool/keys.txt")
    with pytest.raises(
        PoolError, match=r"pools.candidates.keys: s3://pool/keys.txt: there is no such object"
    ):
        read(spec)


@pytest.mark.parametrize("suffix", ["tar", "csv", "parquet"])
def test_a_store_that_goes_away_ends_the_reading_and_leaves_no_pool_that_looks_whole(
    suffix: str, s3: Any, between: Any, monkeypatch: pytest.MonkeyPatch, image_bytes: Image
) -> None:
    monkeypatch.setattr("tui_mia.storage.reader.RANGE_BYTES", 2**12)
    monkeypatch.setattr("tui_mia.storage.reader.SMALLEST_RANGE_BYTES", 2**12)
    if suffix == "tar":
        url = s3.put("pool/a.tar", tar_of(range(40), image_bytes))
    elif suffix == "csv":
        url = s3.put("pool/a.csv", rows_of("csv", ["x" * 900] * 2000))
        monkeypatch.setattr("tui_mia.pools.table._image", lambda cell, folder: b"image")
    else:
        url = s3.put("pool/a.parquet", rows_of("parquet", [os.urandom(2**16) for _ in range(99)]))
    spec = PoolSpec(source=[url])
    [shard] = plan_shards("candidates", spec)
    reading = read_shard(shard, spec)
    assert isinstance(next(reading), Pair)
    between.fault = lambda asked: 503
    with pytest.raises(
        PoolError, match=r"the server fails \(503\), 6 times in a row; try again when it is up"
    ):
        list(reading)


def test_damage_in_an_object_is_told_as_in_a_file(
    s3: Any, monkeypatch: pytest.MonkeyPatch, image_bytes: Image
) -> None:
    content = tar_of(range(5), image_bytes)
    found = read(PoolSpec(source=[s3.put("pool/a.tar", content[: len(content) // 2])]))
    assert isinstance(found[-1], Reject)
    assert "tar ends early" in found[-1].reason
    monkeypatch.setattr("tui_mia.pools.webdataset.ALWAYS_UNPACKED_BYTES", 10)
    monkeypatch.setattr("tui_mia.pools.webdataset.MOST_TIMES_UNPACKED", 1)
    *_, damaged = read(PoolSpec(source=[s3.put("pool/bomb.tar.gz", gzip.compress(content))]))
    assert isinstance(damaged, Reject)
    assert "it unpacks to over" in damaged.reason


def test_the_preview_of_a_pool_in_a_store_estimates_how_many_pairs_there_are(
    s3: Any, between: Any, image_bytes: Image
) -> None:
    for number in range(3):
        s3.put(f"pool/{number}.tar", tar_of(range(200), image_bytes))
    spec = PoolSpec(source=["s3://pool/*.tar"])
    assert [pair.caption for pair in preview("candidates", spec, 2).pairs] == ["caption 0", "caption 1"]
    *_, last = count("candidates", spec)
    assert last.estimated
    assert last.done
    assert last.files == 3
    assert 500 < last.pairs < 700
    assert not any(asked.method == "GET" and asked.path.endswith("2.tar") for asked in between.asked)
    table = PoolSpec(source=[s3.put("pool/a.csv", rows_of("csv", ["a.png"] * 12))])
    assert list(count("candidates", table))[-1] == Count(12, 1, done=True, exact=True)


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.csv", "a.jsonl", "a.parquet"])
def test_a_picture_is_found_again_in_a_store(name: str, s3: Any, image_bytes: Image) -> None:
    images = [image_bytes(number) for number in range(6)]
    suffix = name.rpartition(".")[2]
    if "tar" in name:
        content = tar_of(range(6), image_bytes)
        url = s3.put(f"pool/{name}", gzip.compress(content) if suffix == "gz" else content)
    else:
        for number, image in enumerate(images):
            s3.put(f"pool/images/{number}.png", image)
        url = s3.put(f"pool/{name}", rows_of(suffix, [f"images/{number}.png" for number in range(6)]))
    spec = PoolSpec(source=[url])
    for item in reversed(read(spec)):
        assert isinstance(item, Pair)
        found = find_image(spec, "candidates", item.source, item.key, sample_id(item.image, item.caption))
        assert found == item.image
    s3.put(f"pool/{name}", b"another")
    with pytest.raises(PoolError):
        find_image(spec, "candidates", url, "1", None)


def test_a_picture_is_found_once_the_store_answers_again(s3: Any, between: Any, image_bytes: Image) -> None:
    spec = PoolSpec(source=[s3.put("pool/a.tar", tar_of(range(3), image_bytes))])
    between.fault = lambda asked: 500
    with pytest.raises(PoolError, match=r"pools.candidates: s3://pool/a.tar: the server fails"):
        find_image(spec, "candidates", "s3://pool/a.tar", "1", None)
    between.fault = lambda asked: 500 if asked.range else None
    with pytest.raises(PoolError, match=r"pools.candidates: s3://pool/a.tar: the server fails"):
        find_image(spec, "candidates", "s3://pool/a.tar", "1", None)
    between.fault = lambda asked: None
    assert find_image(spec, "candidates", "s3://pool/a.tar", "1", None) == image_bytes(1)


def test_who_stops_waiting_for_a_picture_is_not_held_up_by_the_store(
    s3: Any, between: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tui_mia.pools.find import SearchCancelled

    monkeypatch.setattr("tui_mia.storage.store.FIRST_PAUSE_SECONDS", 3600)
    between.fault = lambda asked: 500
    with pytest.raises(SearchCancelled):
        find_image(
            PoolSpec(source=["s3://pool/a.tar"]),
            "candidates",
            "s3://pool/a.tar",
            "1",
            None,
            cancelled=lambda: bool(between.asked),
        )


@pytest.mark.parametrize(
    "source", ["ftp://host/a.tar", "https://a:hush@host/a.tar", "https://host/a.tar?sig=hush"]
)
def test_a_source_in_anybody_s_database_is_looked_at_before_it_is_asked_for(source: str) -> None:
    with pytest.raises(PoolError) as error:
        find_image(PoolSpec(source=["a.tar"]), "candidates", source, "1", None)
    assert "hush" not in str(error.value)


def test_whoever_cancels_is_heard_while_a_store_does_not_answer(
    s3: Any, between: Any, monkeypatch: pytest.MonkeyPatch, image_bytes: Image
) -> None:
    class Cancelled(BaseException):
        pass

    def cancel(number: int, frame: Any) -> None:
        raise Cancelled

    monkeypatch.setattr("tui_mia.storage.reader.RANGE_BYTES", 2**14)
    monkeypatch.setattr("tui_mia.storage.reader.SMALLEST_RANGE_BYTES", 2**14)
    spec = PoolSpec(source=[s3.put("pool/a.tar", tar_of(range(99), image_bytes))])
    [shard] = plan_shards("candidates", spec)
    reading = read_shard(shard, spec)
    assert isinstance(next(reading), Pair)
    goes_on = threading.Event()
    between.fault = lambda asked: goes_on.wait(30) and None
    before = signal.signal(signal.SIGUSR1, cancel)
    try:
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        with pytest.raises(Cancelled):
            list(reading)
    finally:
        signal.signal(signal.SIGUSR1, before)
        goes_on.set()


def test_a_shard_goes_to_other_processes(s3: Any, image_bytes: Image) -> None:
    [shard] = plan_shards(
        "candidates", PoolSpec(source=[s3.put("pool/a.tar", tar_of(range(3), image_bytes))])
    )
    assert pickle.loads(pickle.dumps(shard)) == shard
