from __future__ import annotations

import csv
import io
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tui_mia.pools import Pair, PoolError, Reject, plan_shards, read_shard
from tui_mia.spec import PoolSpec

ReadPool = Callable[..., tuple[list[Pair], list[Reject]]]
Picture = Callable[..., bytes]


@pytest.fixture
def table(tmp_path: Path, picture: Picture) -> Callable[..., str]:
    """Writes a table beside the images `cat.png` and `dog.png`, and returns its path."""
    (tmp_path / "cat.png").write_bytes(picture(1))
    (tmp_path / "dog.png").write_bytes(picture(2))

    def write(content: str | bytes, name: str = "pairs.csv") -> str:
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return str(tmp_path / name)

    return write


def test_columns_are_found_by_their_names_and_the_rest_is_metadata(
    table: Callable[..., str], read_pool: ReadPool, picture: Picture
) -> None:
    source = table("member,caption,image,licence\n1, a cat ,cat.png,CC0\n,a dog,dog.png,\n")
    assert read_pool(source=source) == (
        [
            Pair("0", source, picture(1), "a cat", 1, True, {"licence": "CC0"}),
            Pair("1", source, picture(2), "a dog", 2, None, {"licence": ""}),
        ],
        [],
    )


def test_spec_names_other_columns(table: Callable[..., str], read_pool: ReadPool, picture: Picture) -> None:
    source = table("path\ttext\tseen\tkey\ncat.png\ta cat\tyes\tk-7\n", "pairs.tsv")
    pairs, _ = read_pool(source=source, image="path", caption="text", member="seen")
    assert pairs == [Pair("k-7", source, picture(1), "a cat", 1, True, {})]


def test_a_byte_order_mark_crlf_and_blank_lines_are_tolerated(
    table: Callable[..., str], read_pool: ReadPool
) -> None:
    source = table(b"\xef\xbb\xbfimage,caption\r\n\r\ncat.png,a cat\r\n\r\ndog.png,a dog\r\n")
    pairs, rejects = read_pool(rows_per_shard=1, source=source)
    assert [(pair.key, pair.caption) for pair in pairs] == [("0", "a cat"), ("1", "a dog")]
    assert rejects == []


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"cat.png", "row has 1 columns; the table has 2"),
        (b"cat.png,a,b", "row has 3 columns; the table has 2"),
        (b"cat.png,a\xffb", "caption is not valid text at character 1"),
        (b"cat.png, ", "empty caption"),
        (b",c", "no image"),
        (b"bird.png,c", "no file 'bird.png'"),
        (b"../secret.png,c", "path leaves the folder of its source: '../secret.png'"),
        (b"link.png,c", "path leaves the folder of its source: 'link.png'"),
        (b"/etc/passwd,c", "path leaves the folder of its source: '/etc/passwd'"),
        (b"folder,c", "not a regular file: 'folder'"),
        (b"ca\0t.png,c", "not a path: 'ca\\x00t.png'"),
        (b"empty.png,c", "image is empty (0 bytes)"),
        (b"https://x.org/a.png,c", "image is a URL; download it first, for example with img2dataset"),
        (b"x" * 5000 + b",c", "can't read"),
        (b"ca\rt.png,c", "row can't be read: new-line character seen in unquoted field"),
    ],
)
def test_a_broken_row_is_one_reject_and_its_neighbours_are_read(
    tmp_path: Path, table: Callable[..., str], read_pool: ReadPool, row: bytes, reason: str
) -> None:
    outside = tmp_path / "secret.png"
    outside.write_bytes(b"x")
    inside = tmp_path / "set"
    inside.mkdir()
    (inside / "cat.png").write_bytes(b"x")
    (inside / "empty.png").touch()
    (inside / "folder").mkdir()
    (inside / "link.png").symlink_to(outside)
    source = table(b"image,caption\ncat.png,one\n" + row + b"\ncat.png,three\n", "set/pairs.csv")
    pairs, [reject] = read_pool(source=source)
    assert [(pair.key, pair.caption) for pair in pairs] == [("0", "one"), ("2", "three")]
    assert (reject.key, reject.position) == ("1", 2)
    assert reason in reject.reason


def test_absolute_paths_and_links_inside_the_folder_are_read(
    tmp_path: Path, table: Callable[..., str], read_pool: ReadPool
) -> None:
    (tmp_path / "link.png").symlink_to("cat.png")
    source = table(f"image,caption\n{tmp_path / 'cat.png'},one\nlink.png,two\n./x/../dog.png,three\n")
    pairs, rejects = read_pool(source=source)
    assert ([pair.caption for pair in pairs], rejects) == (["one", "two", "three"], [])


def test_broken_bytes_in_metadata_are_escaped_and_the_pair_kept(
    table: Callable[..., str], read_pool: ReadPool
) -> None:
    [pair], _ = read_pool(source=table(b"image,caption,note\ncat.png,c,a\xff\n"))
    assert pair.metadata == {"note": "a\\udcff"}


def test_nul_characters_in_a_caption_are_kept(table: Callable[..., str], read_pool: ReadPool) -> None:
    [pair], _ = read_pool(source=table(b"image,caption\ncat.png,a\0b\n"))
    assert pair.caption == "a\0b"


def test_an_unclosed_quote_costs_at_most_the_field_limit(
    table: Callable[..., str], read_pool: ReadPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui_mia.pools.csv_rows.LINE_LIMIT_BYTES", 200)
    source = table('image,caption\ncat.png,"never closed\n' + "cat.png,fine\n" * 100)
    pairs, rejects = read_pool(source=source)
    assert len(pairs) > 80
    assert "field larger than field limit (200)" in rejects[0].reason
    assert pairs[-1].caption == "fine"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "url,text\nx,y\n",
            "has no column 'image' for the image; its columns are url, text; "
            'set pools.candidates.image = "..." to the one that holds it',
        ),
        ("image,text\nx,y\n", "has no column 'caption' for the caption; its columns are image, text"),
        ("image,caption,caption\nx,y,z\n", "has 2 columns 'caption' for the caption"),
        ("image,caption\n", "there are no rows in it"),
        ("", "there are no rows in it"),
        ("image,caption\nx,y\n".encode("utf-16"), "is UTF-16 text; save it as UTF-8"),
        ("image,caption\rx,y\r", "the first row can't be read: row can't be read: new-line character"),
    ],
)
def test_a_table_that_can_not_be_used_is_refused_before_anything_is_read(
    table: Callable[..., str], content: str | bytes, message: str
) -> None:
    source = table(content)
    with pytest.raises(PoolError) as refusal:
        plan_shards("candidates", PoolSpec(source=[source]))
    assert str(refusal.value).startswith(f"pools.candidates: {source}: ")
    assert message in str(refusal.value)


def test_a_label_column_that_was_named_must_exist(table: Callable[..., str]) -> None:
    spec = PoolSpec(source=[table("image,caption\nx,y\n")], member="seen")
    with pytest.raises(
        PoolError, match=r"has no column 'seen' for the member; .* set pools\.candidates\.member"
    ):
        plan_shards("candidates", spec)


def test_shards_cut_a_table_at_rows_and_together_are_the_whole(table: Callable[..., str]) -> None:
    rows = "".join(f'cat.png,"caption {i}\nof two lines"\n' for i in range(10))
    spec = PoolSpec(source=[table("image,caption\n" + rows)])
    shards = plan_shards("general", spec, rows_per_shard=4)
    assert [(s.index, s.start, s.stop, s.extent) for s in shards] == [
        (0, 0, 4, 4),
        (1, 4, 8, 4),
        (2, 8, 10, 2),
    ]
    parts = [list(read_shard(shard, spec)) for shard in shards]
    assert [[item.position for item in part] for part in parts] == [[1, 2, 3, 4], [1, 2, 3, 4], [1, 2]]
    [whole] = plan_shards("general", spec)
    read = [item for item in read_shard(whole, spec) if isinstance(item, Pair)]
    pieces = [item for part in parts for item in part if isinstance(item, Pair)]
    assert [(p.key, p.caption, p.image) for p in pieces] == [(p.key, p.caption, p.image) for p in read]
    assert [p.key for p in read] == [str(i) for i in range(10)]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    captions=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), max_size=12),
    rows_per_shard=st.integers(1, 5),
    line_end=st.sampled_from(["\n", "\r\n"]),
)
@example(captions=['"', "a\n\nb", 'a,"b"\r\n', "\ufeff", "\x1a", "'"], rows_per_shard=1, line_end="\n")
def test_any_captions_written_by_a_csv_writer_come_back(
    tmp_path: Path, read_pool: ReadPool, captions: list[str], rows_per_shard: int, line_end: str
) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator=line_end, quoting=csv.QUOTE_ALL)
    writer.writerows(
        [("image", "caption"), ("i.png", "first"), *(("i.png", caption) for caption in captions)]
    )
    (tmp_path / "pairs.csv").write_bytes(buffer.getvalue().encode())
    (tmp_path / "i.png").write_bytes(b"x")
    pairs, rejects = read_pool(rows_per_shard, source=str(tmp_path / "pairs.csv"))
    assert [pair.caption for pair in pairs] == ["first", *(c.strip() for c in captions if c.strip())]
    assert [reject.reason for reject in rejects] == ["empty caption" for c in captions if not c.strip()]


def test_reading_a_long_table_takes_little_memory(table: Callable[..., str]) -> None:
    spec = PoolSpec(source=[table("image,caption\n" + "http://x.org/cat.png,a cat\n" * 20_000)])
    tracemalloc.start()
    try:
        shards = plan_shards("general", spec)
        assert sum(1 for shard in shards for _ in read_shard(shard, spec)) == 20_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1e6
