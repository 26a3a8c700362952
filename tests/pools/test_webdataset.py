from __future__ import annotations

import gzip
import io
import json
import sys
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tui_mia.pools import Pair, PoolError, Reject, plan_shards, read_shard
from tui_mia.spec import PoolSpec

ReadPool = Callable[..., tuple[list[Pair], list[Reject]]]
Picture = Callable[..., bytes]


def tar_of(members: list[tuple[str, bytes]], **options: Any) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", **options) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def sample(key: str, image: bytes, text: str = "a caption", **fields: object) -> list[tuple[str, bytes]]:
    return [
        (f"{key}.jpg", image),
        (f"{key}.txt", text.encode()),
        (f"{key}.json", json.dumps(fields).encode()),
    ]


@pytest.fixture
def tar(tmp_path: Path) -> Callable[..., str]:
    """Writes a tar of some members and returns its path."""

    def write(members: list[tuple[str, bytes]], name: str = "set.tar", **options: Any) -> str:
        (tmp_path / name).write_bytes(tar_of(members, **options))
        return str(tmp_path / name)

    return write


def test_image_caption_label_and_metadata_come_from_files_of_one_name(
    tar: Callable[..., str], read_pool: ReadPool, picture: Picture
) -> None:
    source = tar(sample("a/000", picture(1), " a cat\n", member=True, title="Cat", width=4))
    assert read_pool(source=source) == (
        [
            Pair(
                key="a/000",
                source=source,
                image=picture(1),
                caption="a cat",
                position=7 * 512,
                member=True,
                metadata={"title": "Cat", "width": 4},
            )
        ],
        [],
    )


def test_img2dataset_fields_are_metadata_and_the_caption_is_not_stored_twice(
    tar: Callable[..., str], read_pool: ReadPool, picture: Picture
) -> None:
    fields = {"url": "http://x/y.jpg", "key": "000000017", "status": "success", "width": 4, "exif": "{}"}
    document = json.dumps({"caption": "a cat", **fields}).encode()
    source = tar([("000000017.jpg", picture()), ("000000017.json", document), ("000000017.txt", b"a cat")])
    [pair], _ = read_pool(source=source)
    assert pair.key == "000000017"
    assert pair.metadata == fields


def test_a_json_caption_that_differs_from_the_text_stays_in_the_metadata(
    tar: Callable[..., str], read_pool: ReadPool, picture: Picture
) -> None:
    [pair], _ = read_pool(source=tar(sample("0", picture(), "short", caption="long")))
    assert (pair.caption, pair.metadata) == ("short", {"caption": "long"})


def test_the_caption_is_taken_from_json_where_there_is_no_text(
    tar: Callable[..., str], read_pool: ReadPool, picture: Picture
) -> None:
    [pair], _ = read_pool(source=tar([("0.png", picture()), ("0.json", b'{"caption": "from json", "n": 1}')]))
    assert (pair.caption, pair.metadata) == ("from json", {"n": 1})


def test_spec_caption_names_a_json_field_before_an_extension(
    tar: Callable[..., str], read_pool: ReadPool, picture: Picture
) -> None:
    members = [("0.jpg", picture()), ("0.txt", b"text"), ("0.alt", b"extension")]
    source = tar([*members, ("0.json", b'{"alt": "field"}')])
    assert read_pool(source=source, caption="alt")[0][0].caption == "field"
    assert read_pool(source=tar(members), caption="alt")[0][0].caption == "extension"
    assert "no caption 'other' in the JSON" in read_pool(source=source, caption="other")[1][0].reason


def test_spec_image_names_the_extension_of_the_image(
    tar: Callable[..., str], read_pool: ReadPool, picture: Picture
) -> None:
    source = tar([("0.jpg", picture(1)), ("0.seg.png", picture(2)), ("0.txt", b"c")])
    assert read_pool(source=source)[0][0].image == picture(1)
    assert read_pool(source=source, image="seg.png")[0][0].image == picture(2)


def test_spec_member_names_the_field_of_the_label_or_labels_the_whole_source(
    tar: Callable[..., str], read_pool: ReadPool, picture: Picture
) -> None:
    source = tar(sample("0", picture(), seen="no", member="junk"))
    [pair], _ = read_pool(source=source, member="seen")
    assert (pair.member, pair.metadata) == (False, {"member": "junk"})
    assert read_pool(source=source, member=[True])[0][0].member is True
    assert "member is 'junk'" in read_pool(source=source)[1][0].reason


def test_extensions_count_in_any_case_and_long_names_in_any_tar_dialect(
    tar: Callable[..., str], read_pool: ReadPool, picture: Picture
) -> None:
    key = "folder/" + "k" * 200 + "\u00e9"
    members = [(f"./{key}.JPG", picture()), (f"./{key}.Txt", b"c")]
    for dialect in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        [pair], rejects = read_pool(source=tar(members, format=dialect))
        assert (pair.key, rejects) == (key, [])


def test_a_key_that_is_not_utf8_is_escaped(
    tar: Callable[..., str], read_pool: ReadPool, picture: Picture
) -> None:
    members = [("a\udcff.jpg", picture()), ("a\udcff.txt", b"c")]
    [pair], _ = read_pool(source=tar(members, format=tarfile.GNU_FORMAT, encoding="utf-8"))
    assert pair.key == "a\\udcff"


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ([("0.txt", b"c"), ("0.json", b"{}")], "no image: has json, txt"),
        ([("0.txt", b"c"), ("0.mp4", b"x")], "no image: has mp4, txt"),
        ([("0.jpg", b"x"), ("0.json", b"{}")], "no caption: has jpg, json"),
        ([("0.jpg", b""), ("0.txt", b"c")], "image is empty (0 bytes)"),
        ([("0.jpg", b"x"), ("0.txt", b" \n")], "empty caption"),
        ([("0.jpg", b"x"), ("0.txt", b"ab\xff")], "caption is not valid text at character 2"),
        ([("0.jpg", b"x"), ("0.txt", b"c"), ("0.json", b"{")], "not valid JSON"),
        ([("0.jpg", b"x"), ("0.txt", b"c"), ("0.json", b"[1]")], "JSON holds a list, not an object"),
        ([("0.jpg", b"x"), ("0.txt", b"c"), ("0.json", b"[" * 10**5)], "JSON is nested too deeply"),
        ([("0.jpg", b"x"), ("0.txt", b"c"), ("0.jpg", b"y")], "two members .jpg under one key"),
    ],
)
def test_a_broken_sample_is_one_reject_and_its_neighbours_are_read(
    tar: Callable[..., str],
    read_pool: ReadPool,
    picture: Picture,
    members: list[tuple[str, bytes]],
    reason: str,
) -> None:
    source = tar([*sample("before", picture()), *members, *sample("later", picture())])
    pairs, [reject] = read_pool(source=source)
    assert [pair.key for pair in pairs] == ["before", "later"]
    assert (reject.key, reject.source) == ("0", source)
    assert reason in reject.reason


def test_a_link_in_place_of_a_file_is_rejected(tmp_path: Path, read_pool: ReadPool, picture: Picture) -> None:
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE):
        with tarfile.open(tmp_path / "set.tar", "w") as archive:
            link = tarfile.TarInfo("0.jpg")
            link.type, link.linkname = kind, "/etc/passwd"
            archive.addfile(link)
            text = tarfile.TarInfo("0.txt")
            text.size = 1
            archive.addfile(text, io.BytesIO(b"c"))
        pairs, [reject] = read_pool(source=str(tmp_path / "set.tar"))
        assert (pairs, reject.reason) == ([], "'0.jpg' is a link or a device, not a regular file")


def test_an_oversized_member_is_rejected_unread(
    tar: Callable[..., str], read_pool: ReadPool, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui_mia.pools.files.TEXT_LIMIT_BYTES", 100)
    source = tar([*sample("0", picture(), "c" * 101), *sample("1", picture())])
    [pair], [reject] = read_pool(source=source)
    assert pair.key == "1"
    assert reject.reason == "'0.txt' has 101 bytes; at most 100 are read"


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_that_would_fill_the_memory_ends_the_tar_unread(
    tmp_path: Path, read_pool: ReadPool, picture: Picture, kind: bytes
) -> None:
    header = tarfile.TarInfo("long")
    header.type, header.size = kind, 300 * 2**20
    good = tar_of(sample("0", picture()))[: 6 * 512]
    with gzip.open(tmp_path / "set.tar", "wb", 1) as file:
        file.write(good + header.tobuf() + tarfile.TarInfo("1.jpg").tobuf())
        for _ in range(300):
            file.write(bytes(2**20))
    tracemalloc.start()
    pairs, [reject] = read_pool(source=str(tmp_path / "set.tar"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert pairs == []
    assert "a header of 314,572,800 bytes; at most 1,048,576 are read; the sample '0' may be" in reject.reason
    assert peak < 20e6


def test_a_tar_that_unpacks_to_far_more_than_its_size_is_left_at_that_member(
    tmp_path: Path, read_pool: ReadPool, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui_mia.pools.webdataset.ALWAYS_UNPACKED_BYTES", 2**20)
    members = [*sample("0", picture()), ("0.npy", b""), ("1.npy", bytes(4 * 2**20)), *sample("2", picture(2))]
    (tmp_path / "set.tar").write_bytes(gzip.compress(tar_of(members)))
    [pair], [reject] = read_pool(source=str(tmp_path / "set.tar"))
    assert pair.key == "0"
    assert "it unpacks to over 1,048,576 bytes" in reject.reason
    monkeypatch.undo()
    pairs, [reject] = read_pool(source=str(tmp_path / "set.tar"))
    assert [pair.key for pair in pairs] == ["0", "2"]
    assert reject.key == "1"


def test_a_sparse_member_which_few_bytes_make_large_is_rejected(
    tmp_path: Path, read_pool: ReadPool, picture: Picture
) -> None:
    sparse = tarfile.TarInfo("0.jpg")
    sparse.type = tarfile.GNUTYPE_SPARSE
    header = bytearray(sparse.tobuf(tarfile.GNU_FORMAT))
    header[483:495] = b"%011o\0" % (200 * 2**20)  # the real size, of which no byte is stored
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    others = [("0.txt", b"c"), *sample("1", picture())]
    (tmp_path / "set.tar").write_bytes(bytes(header) + tar_of(others))
    [pair], [reject] = read_pool(source=str(tmp_path / "set.tar"))
    assert pair.key == "1"
    assert reject.reason == "'0.jpg' is sparse, which pictures are not"


def test_a_sample_of_thousands_of_files_is_rejected(
    tar: Callable[..., str], read_pool: ReadPool, picture: Picture
) -> None:
    many = [(f"0.{number}", b"") for number in range(1001)]
    [pair], [reject] = read_pool(source=tar([*sample("0", picture()), *many, *sample("1", picture(1))]))
    assert pair.key == "1"
    assert (reject.key, reject.reason) == ("0", "more than 1,000 files under one key")


@pytest.mark.parametrize("name", ["../../outside.jpg", "/outside.jpg", "a/../../outside.jpg"])
def test_a_member_named_for_a_place_outside_is_a_key_and_nothing_is_written_there(
    tmp_path: Path, read_pool: ReadPool, picture: Picture, name: str
) -> None:
    inside = tmp_path / "one" / "two"
    inside.mkdir(parents=True)
    (inside / "set.tar").write_bytes(tar_of([(name, picture()), (name.replace(".jpg", ".txt"), b"c")]))
    before = sorted(tmp_path.rglob("*"))
    [pair], _ = read_pool(source=str(inside / "set.tar"))
    assert pair.key == name.removesuffix(".jpg")
    assert sorted(tmp_path.rglob("*")) == before


def test_directories_hidden_files_and_other_members_are_passed_over(
    tmp_path: Path, read_pool: ReadPool, picture: Picture
) -> None:
    (tmp_path / "set.d").mkdir()
    for name, content in [*sample("0", picture()), ("0.npy", b"x"), (".hidden.jpg", b"x"), ("README", b"x")]:
        (tmp_path / "set.d" / name).write_bytes(content)
    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        archive.add(tmp_path / "set.d", arcname=".")
    pairs, rejects = read_pool(source=str(tmp_path / "set.tar"))
    assert [pair.key for pair in pairs] == ["0"]
    assert rejects == []


@pytest.mark.parametrize("name", ["set.tar.gz", "set.tgz", "misnamed.tar"])
def test_compressed_tars_are_read_and_progress_counts_compressed_bytes(
    tmp_path: Path, read_pool: ReadPool, picture: Picture, name: str
) -> None:
    # A member that fills its last block leaves no padding to read before the next header.
    text = "c" * 512
    content = gzip.compress(tar_of([m for i in range(300) for m in sample(f"{i}", picture(i), text)]))
    (tmp_path / name).write_bytes(content)
    pairs, rejects = read_pool(source=str(tmp_path / name))
    assert (len(pairs), rejects) == (300, [])
    positions = [pair.position for pair in pairs]
    assert positions == sorted(positions)
    assert positions[-1] == len(content)


def test_of_an_img2dataset_folder_only_the_tars_are_read(
    tmp_path: Path, read_pool: ReadPool, picture: Picture
) -> None:
    for shard in ("00001", "00000"):
        (tmp_path / f"{shard}.tar").write_bytes(tar_of(sample(f"{shard}0", picture())))
        (tmp_path / f"{shard}.parquet").write_bytes(b"not read")
        (tmp_path / f"{shard}_stats.json").write_text("{}")
    pairs, rejects = read_pool(source=str(tmp_path))
    assert [pair.key for pair in pairs] == ["000000", "000010"]
    assert rejects == []


@pytest.mark.parametrize("kept", [0.3, 0.5, 0.8])
def test_of_a_cut_off_tar_the_whole_samples_are_read_and_the_damage_is_one_reject(
    tmp_path: Path, read_pool: ReadPool, picture: Picture, kept: float
) -> None:
    content = tar_of([m for i in range(20) for m in sample(f"{i:02}", picture(i), member=True)])
    # Away from any boundary between members, which are at multiples of 512.
    (tmp_path / "set.tar").write_bytes(content[: int(len(content) * kept) // 512 * 512 + 3])
    pairs, [reject] = read_pool(source=str(tmp_path / "set.tar"))
    assert [pair.key for pair in pairs] == [f"{i:02}" for i in range(len(pairs))]
    assert 0 < len(pairs) < 20
    assert all(pair.member for pair in pairs)
    assert reject.key == ""
    assert "tar ends early after" in reject.reason
    assert f"the sample '{len(pairs):02}' may be incomplete" in reject.reason


def test_a_cut_off_compressed_tar_keeps_its_whole_samples(
    tmp_path: Path, read_pool: ReadPool, picture: Picture
) -> None:
    content = gzip.compress(tar_of([m for i in range(300) for m in sample(f"{i}", picture(i))]))
    (tmp_path / "set.tar.gz").write_bytes(content[: len(content) // 2])
    pairs, [reject] = read_pool(source=str(tmp_path / "set.tar.gz"))
    assert 0 < len(pairs) < 300
    assert f"tar ends early after {len(content) // 2:,} bytes" in reject.reason


def test_a_tar_without_an_end_marker_gives_all_its_pairs_and_one_reject(
    tmp_path: Path, read_pool: ReadPool, picture: Picture
) -> None:
    content = tar_of([m for i in range(3) for m in sample(f"{i}", picture(i), member=True)])
    (tmp_path / "set.tar").write_bytes(
        content.rstrip(b"\0").ljust((len(content) // 512) * 512, b"\0")[: 9 * 1024]
    )
    pairs, [reject] = read_pool(source=str(tmp_path / "set.tar"))
    assert [pair.key for pair in pairs] == ["0", "1", "2"]
    assert "no end marker; the file may be cut off" in reject.reason


def test_a_broken_header_in_the_middle_is_not_taken_for_the_end(
    tmp_path: Path, read_pool: ReadPool, picture: Picture
) -> None:
    content = bytearray(tar_of([m for i in range(3) for m in sample(f"{i}", picture(i))]))
    content[3 * 1024 : 3 * 1024 + 512] = b"\x01" * 512
    (tmp_path / "set.tar").write_bytes(content)
    _, [reject] = read_pool(source=str(tmp_path / "set.tar"))
    assert "tar ends early after" in reject.reason


@pytest.mark.parametrize("content", [b"", b"not a tar", b"x" * 5000, b"\x1f\x8bnot gzip"])
def test_a_file_that_is_no_tar_is_one_reject(tmp_path: Path, read_pool: ReadPool, content: bytes) -> None:
    (tmp_path / "set.tar").write_bytes(content)
    pairs, [reject] = read_pool(source=str(tmp_path / "set.tar"))
    assert pairs == []
    assert "tar ends early after" in reject.reason


def test_a_tar_that_vanished_after_planning_is_an_error(tar: Callable[..., str], picture: Picture) -> None:
    spec = PoolSpec(source=[tar(sample("0", picture()))])
    [shard] = plan_shards("general", spec)
    Path(str(shard.path)).unlink()
    with pytest.raises(PoolError, match=r"pools\.general: .*set\.tar: can't be read: No such file"):
        list(read_shard(shard, spec))


def test_reading_a_large_tar_takes_little_memory(tar: Callable[..., str], picture: Picture) -> None:
    image = picture() + bytes(20_000)
    spec = PoolSpec(source=[tar([m for i in range(1000) for m in sample(f"{i}", image)])])
    [shard] = plan_shards("general", spec)
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_shard(shard, spec)) == 1000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert shard.extent > 20e6
    assert peak < 1e6


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), compressed=st.booleans())
def test_no_damage_makes_reading_raise(
    tmp_path: Path, picture: Picture, data: st.DataObject, compressed: bool
) -> None:
    plain = tar_of([m for i in range(6) for m in sample(f"{i}", picture(i), member=True)])
    content = bytearray(gzip.compress(plain) if compressed else plain)
    flips = st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255))
    for place, value in data.draw(st.lists(flips, max_size=12)):
        content[place] = value
    del content[data.draw(st.integers(0, len(content))) :]
    path = tmp_path / "set.tar"
    path.write_bytes(content)
    spec = PoolSpec(source=[str(path)])
    [shard] = plan_shards("general", spec)
    items = list(read_shard(shard, spec))
    assert items == list(read_shard(shard, spec))
    assert all(isinstance(item, Pair | Reject) for item in items)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    member=st.integers(0, 2),
    place=st.integers(0, 511),
    value=st.binary(min_size=1, max_size=24),
)
def test_no_header_however_odd_makes_reading_raise(
    tmp_path: Path, picture: Picture, member: int, place: int, value: bytes
) -> None:
    content = bytearray(tar_of(sample("0", picture(), member=True)))
    header = content[member * 1024 : member * 1024 + 512]
    header[place : place + len(value)] = value
    header = header[:512]
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    content[member * 1024 : member * 1024 + 512] = header
    path = tmp_path / "set.tar"
    path.write_bytes(content)
    spec = PoolSpec(source=[str(path)])
    [shard] = plan_shards("general", spec)
    assert all(isinstance(item, Pair | Reject) for item in read_shard(shard, spec))


def test_control_c_is_heard_wherever_tarfile_is(tar: Callable[..., str], picture: Picture) -> None:
    pool = PoolSpec.model_validate({"source": tar(sample("a", picture(1)))})
    (shard,) = plan_shards("candidates", pool)
    profiler = sys.getprofile()

    def calls_of_reading(most: int) -> int:
        """How many functions of `tarfile` reading calls; the one after `most` is interrupted."""
        calls = 0

        def count(frame: FrameType, event: str, argument: object) -> None:
            nonlocal calls
            calls += event == "call" and frame.f_code.co_filename == tarfile.__file__
            if calls > most:
                raise KeyboardInterrupt

        sys.setprofile(count)
        try:
            assert len(list(read_shard(shard, pool))) == 1
        finally:
            sys.setprofile(profiler)
        return calls

    calls = calls_of_reading(1_000)
    assert calls > 10
    for call in range(calls):
        with pytest.raises(KeyboardInterrupt):
            calls_of_reading(call)
