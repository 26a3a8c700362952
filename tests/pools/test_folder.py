from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tui_mia.pools import Pair, PoolError, Reject, plan_shards
from tui_mia.spec import PoolSpec

ReadPool = Callable[..., tuple[list[Pair], list[Reject]]]
Picture = Callable[..., bytes]


def write(folder: Path, files: Mapping[str, str | bytes]) -> None:
    """Write files by their names."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)


def test_a_folder_is_read_with_the_captions_beside_its_images(
    tmp_path: Path, read_pool: ReadPool, picture: Picture
) -> None:
    write(tmp_path, {"top.png": picture(1), "top.txt": "top\n", "notes.txt": "not a caption"})
    write(
        tmp_path / "b", {"two.JPG": picture(2, "JPEG"), "two.TXT": "two", "two.json": '{"member": 1, "n": 2}'}
    )
    write(tmp_path / "a", {"one.webp": picture(3, "WEBP"), "one.json": '{"caption": "one"}'})
    source = str(tmp_path)
    assert read_pool(source=source) == (
        [
            Pair("top", source, picture(1), "top", 1),
            Pair("a/one", source, picture(3, "WEBP"), "one", 2),
            Pair("b/two", source, picture(2, "JPEG"), "two", 3, True, {"n": 2}),
        ],
        [],
    )


def test_img2dataset_files_are_read_as_images_not_as_the_tables_beside_them(
    tmp_path: Path, read_pool: ReadPool, picture: Picture
) -> None:
    for shard in ("00000", "00001"):
        name = f"{shard}0000"
        write(
            tmp_path / shard,
            {f"{name}.jpg": picture(), f"{name}.txt": "c", f"{name}.json": '{"url": "u"}'},
        )
        write(tmp_path, {f"{shard}.parquet": b"not read", f"{shard}_stats.json": "{}"})
    pairs, rejects = read_pool(source=str(tmp_path))
    assert [(pair.key, pair.metadata) for pair in pairs] == [
        ("00000/000000000", {"url": "u"}),
        ("00001/000010000", {"url": "u"}),
    ]
    assert rejects == []


def test_shards_cut_a_folder_in_order(tmp_path: Path, read_pool: ReadPool, picture: Picture) -> None:
    for i in range(7):
        write(tmp_path / f"{i % 2}", {f"{i}.png": picture(i), f"{i}.txt": f"c{i}"})
    whole, _ = read_pool(source=str(tmp_path))
    assert [pair.key for pair in whole] == ["0/0", "0/2", "0/4", "0/6", "1/1", "1/3", "1/5"]
    shards = plan_shards("general", PoolSpec(source=[str(tmp_path)]), rows_per_shard=3)
    assert [(shard.start, shard.stop, shard.extent) for shard in shards] == [(0, 3, 3), (3, 6, 3), (6, 7, 1)]
    pairs, _ = read_pool(rows_per_shard=3, source=str(tmp_path))
    assert [(pair.key, pair.image) for pair in pairs] == [(pair.key, pair.image) for pair in whole]
    assert [pair.position for pair in pairs] == [1, 2, 3, 1, 2, 3, 1]


def test_an_image_without_a_caption_or_without_bytes_is_rejected(
    tmp_path: Path, read_pool: ReadPool, picture: Picture
) -> None:
    write(tmp_path, {"a.png": picture(), "b.png": picture(), "b.txt": "c", "c.png": b"", "c.txt": "c"})
    pairs, rejects = read_pool(source=str(tmp_path))
    assert [pair.key for pair in pairs] == ["b"]
    assert [(reject.key, reject.reason) for reject in rejects] == [
        ("a", "no caption: has png"),
        ("c", "image is empty (0 bytes)"),
    ]


def test_links_out_of_the_folder_are_rejected_and_links_to_folders_not_followed(
    tmp_path: Path, read_pool: ReadPool, picture: Picture
) -> None:
    write(tmp_path / "outside", {"x.png": picture(), "x.txt": "secret"})
    inside = tmp_path / "set"
    write(inside, {"a.png": picture(), "a.txt": "a", "b.txt": "b", "c.png": picture()})
    (inside / "b.png").symlink_to(tmp_path / "outside" / "x.png")
    (inside / "c.txt").symlink_to(tmp_path / "outside" / "x.txt")
    (inside / "d").symlink_to(tmp_path / "outside")
    (inside / "e.png").symlink_to("a.png")
    write(inside, {"e.txt": "e"})
    pairs, rejects = read_pool(source=str(inside))
    assert [pair.key for pair in pairs] == ["a", "e"]
    assert [(reject.key, reject.reason.split(":")[0].split(",")[0]) for reject in rejects] == [
        ("b", "path leaves the folder of its source"),
        ("c", "path leaves the folder of its source"),
        ("d", "a link to a folder"),
    ]


def test_hidden_files_and_folders_are_left_out(tmp_path: Path, read_pool: ReadPool, picture: Picture) -> None:
    write(tmp_path, {"a.png": picture(), "a.txt": "a"})
    write(tmp_path, {"._a.png": b"x", "._a.txt": "x"})
    write(tmp_path / ".thumbnails", {"b.png": picture(), "b.txt": "b"})
    pairs, rejects = read_pool(source=str(tmp_path))
    assert ([pair.key for pair in pairs], rejects) == (["a"], [])


def test_spec_names_another_image_extension_and_another_caption_file(
    tmp_path: Path, read_pool: ReadPool, picture: Picture
) -> None:
    write(tmp_path, {"a.png": picture(1), "a.bmp": picture(2, "BMP"), "a.txt": "a", "a.alt": "b"})
    [pair], _ = read_pool(source=str(tmp_path), image="bmp", caption="alt")
    assert (pair.image, pair.caption) == (picture(2, "BMP"), "b")


def test_images_without_any_captions_are_refused_with_a_way_out(tmp_path: Path, picture: Picture) -> None:
    write(tmp_path, {"a.png": picture(), "pairs.csv": "image,caption\na.png,c\n"})
    with pytest.raises(PoolError, match=r"has 1 images, but beside none of them a \.txt or \.json .*; write"):
        plan_shards("general", PoolSpec(source=[str(tmp_path)]))


def test_a_new_plan_sees_what_was_added_since_the_last(
    tmp_path: Path, read_pool: ReadPool, picture: Picture
) -> None:
    write(tmp_path, {"a.png": picture(), "a.txt": "a"})
    assert len(read_pool(source=str(tmp_path))[0]) == 1
    write(tmp_path, {"b.png": picture(), "b.txt": "b"})
    assert len(read_pool(source=str(tmp_path))[0]) == 2
