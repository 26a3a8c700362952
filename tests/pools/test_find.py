from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tui_mia.pools import Pair, PoolError, Reject, sample_id, webdataset
from tui_mia.pools.find import SearchCancelled, find_image
from tui_mia.pools.key_index import KeyIndex
from tui_mia.spec import PoolSpec

ReadPool = Callable[..., tuple[list[Pair], list[Reject]]]
Picture = Callable[..., bytes]


def write_tar(path: Path, members: list[tuple[str, bytes]], compressed: bool = False) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", encoding="utf-8", errors="surrogateescape") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    path.write_bytes(gzip.compress(buffer.getvalue()) if compressed else buffer.getvalue())


def tar_members(pictures: Mapping[str, bytes]) -> list[tuple[str, bytes]]:
    return [
        member
        for key, picture in pictures.items()
        for member in ((f"{key}.png", picture), (f"{key}.txt", b"c"), (f"{key}.json", b"{}"))
    ]


def write_tar_pool(folder: Path, pictures: Mapping[str, bytes]) -> dict[str, Any]:
    write_tar(folder / "set.tar", tar_members(pictures))
    return {"source": str(folder / "set.tar")}


def write_compressed_tar(folder: Path, pictures: Mapping[str, bytes]) -> dict[str, Any]:
    write_tar(folder / "set.tar.gz", tar_members(pictures), compressed=True)
    return {"source": str(folder / "set.tar.gz")}


def write_folder_of_tars(folder: Path, pictures: Mapping[str, bytes]) -> dict[str, Any]:
    items = list(pictures.items())
    for number, part in enumerate((items[:2], items[2:])):
        write_tar(folder / f"{number}.tar", tar_members(dict(part)))
    return {"source": str(folder)}


def write_folder(folder: Path, pictures: Mapping[str, bytes]) -> dict[str, Any]:
    (folder / "images" / "below").mkdir(parents=True)
    for number, (key, picture) in enumerate(pictures.items()):
        place = folder / "images" / ("below" if number % 2 else "")
        (place / f"{key}.{'png' if number else 'PnG'}").write_bytes(picture)
        (place / f"{key}.txt").write_text(key)
    return {"source": str(folder / "images")}


def image_files(folder: Path, pictures: Mapping[str, bytes]) -> list[str]:
    (folder / "images").mkdir()
    for number, picture in enumerate(pictures.values()):
        (folder / "images" / f"{number}.png").write_bytes(picture)
    return [f"images/{number}.png" for number in range(len(pictures))]


def write_csv(folder: Path, pictures: Mapping[str, bytes], suffix: str = "csv") -> dict[str, Any]:
    with open(folder / f"pairs.{suffix}", "w", newline="") as file:
        rows = csv.writer(file, delimiter="\t" if suffix == "tsv" else ",")
        rows.writerow(["path", "caption", "key"])
        for key, name in zip(pictures, image_files(folder, pictures), strict=True):
            rows.writerow([name, f"on two\nlines, {key}", key])
    return {"source": str(folder / f"pairs.{suffix}"), "image": "path"}


def write_tsv(folder: Path, pictures: Mapping[str, bytes]) -> dict[str, Any]:
    return write_csv(folder, pictures, "tsv")


def write_csv_without_keys(folder: Path, pictures: Mapping[str, bytes]) -> dict[str, Any]:
    rows = "\n\n".join(f"{name},c" for name in image_files(folder, pictures))
    (folder / "pairs.csv").write_text(f"\ufeffimage,caption\nnot,a,row\n{rows}\n")
    return {"source": str(folder / "pairs.csv")}


def write_jsonl(folder: Path, pictures: Mapping[str, bytes]) -> dict[str, Any]:
    names = image_files(folder, pictures)
    rows = [
        json.dumps({"image": name, "caption": "c", **({"key": key} if number else {})})
        for number, (key, name) in enumerate(zip(pictures, names, strict=True))
    ]
    (folder / "pairs.jsonl").write_text("\n \n".join([*rows, "no json"]))
    return {"source": str(folder / "pairs.jsonl")}


def write_parquet(folder: Path, pictures: Mapping[str, bytes], **columns: list[Any]) -> dict[str, Any]:
    every = {"image": list(pictures.values()), "caption": list(pictures), **columns}
    pq.write_table(pa.table(every), folder / "pairs.parquet", row_group_size=2)
    return {"source": str(folder / "pairs.parquet")}


def write_parquet_with_keys(folder: Path, pictures: Mapping[str, bytes]) -> dict[str, Any]:
    return write_parquet(folder, pictures, key=[None, *list(pictures)[1:]])


def write_parquet_with_numbers_as_keys(folder: Path, pictures: Mapping[str, bytes]) -> dict[str, Any]:
    return write_parquet(folder, pictures, key=list(range(len(pictures)))[::-1])


def write_parquet_of_structs(folder: Path, pictures: Mapping[str, bytes]) -> dict[str, Any]:
    images = [
        {"bytes": picture, "path": None} if number % 2 else {"bytes": None, "path": name}
        for number, (name, picture) in enumerate(
            zip(image_files(folder, pictures), pictures.values(), strict=True)
        )
    ]
    return write_parquet(folder, pictures, image=images)


def write_parquet_of_paths(folder: Path, pictures: Mapping[str, bytes]) -> dict[str, Any]:
    return write_parquet(folder, pictures, image=image_files(folder, pictures))


def write_coco(folder: Path, pictures: Mapping[str, bytes]) -> dict[str, Any]:
    (folder / "annotations").mkdir()
    (folder / "val2017").mkdir()
    for key, picture in pictures.items():
        (folder / "val2017" / f"{key}.png").write_bytes(picture)
    document = {
        "images": [{"id": number, "file_name": f"{key}.png"} for number, key in enumerate(pictures)],
        "annotations": [
            {"id": 10 * number + copy, "image_id": number, "caption": f"{copy} {key}"}
            for number, key in enumerate(pictures)
            for copy in range(2)
        ],
    }
    (folder / "annotations" / "captions_val2017.json").write_text(json.dumps(document))
    return {"source": str(folder / "annotations" / "captions_val2017.json")}


WRITERS = [
    write_tar_pool,
    write_compressed_tar,
    write_folder_of_tars,
    write_folder,
    write_csv,
    write_tsv,
    write_csv_without_keys,
    write_jsonl,
    write_parquet,
    write_parquet_with_keys,
    write_parquet_with_numbers_as_keys,
    write_parquet_of_structs,
    write_parquet_of_paths,
    write_coco,
]


@pytest.fixture
def pictures(picture: Picture) -> dict[str, bytes]:
    return {f"k{number}": picture(number) for number in range(5)}


def find(spec: PoolSpec, pair: Pair, **options: Any) -> bytes:
    return find_image(
        spec, "candidates", pair.source, pair.key, sample_id(pair.image, pair.caption), **options
    )


@pytest.mark.parametrize("write", WRITERS)
def test_every_picture_that_a_run_read_is_found_again(
    tmp_path: Path,
    pictures: dict[str, bytes],
    read_pool: ReadPool,
    write: Callable[[Path, Mapping[str, bytes]], dict[str, Any]],
) -> None:
    keys = write(tmp_path, pictures)
    pairs, _ = read_pool(**keys)
    assert {pair.image for pair in pairs} == set(pictures.values())
    spec = PoolSpec(**keys)
    # Back and forth: what was looked up before must not disturb.
    for pair in [*pairs[::-1], *pairs]:
        assert find(spec, pair) == pair.image
        assert find(spec, pair, metadata=json.dumps(pair.metadata)) == pair.image
        assert find_image(spec, "candidates", pair.source, pair.key, None) == pair.image


@pytest.mark.parametrize("write", WRITERS)
def test_a_picture_that_has_changed_is_not_shown(
    tmp_path: Path,
    pictures: dict[str, bytes],
    read_pool: ReadPool,
    write: Callable[[Path, Mapping[str, bytes]], dict[str, Any]],
) -> None:
    (tmp_path / "before").mkdir()
    (tmp_path / "after").mkdir()
    pairs, _ = read_pool(**write(tmp_path / "before", pictures))
    keys = write(tmp_path / "after", dict(zip(pictures, list(pictures.values())[::-1], strict=True)))
    source = pairs[0].source.replace("/before/", "/after/").removesuffix("/before")
    with pytest.raises(PoolError, match=r"pools\.candidates: .*the picture of .* has changed since the run"):
        find_image(PoolSpec(**keys), "candidates", source, pairs[0].key, sample_id(pairs[0].image, "c"))


@pytest.mark.parametrize("write", WRITERS)
def test_a_key_that_is_not_there_is_said(
    tmp_path: Path,
    pictures: dict[str, bytes],
    read_pool: ReadPool,
    write: Callable[[Path, Mapping[str, bytes]], dict[str, Any]],
) -> None:
    keys = write(tmp_path, pictures)
    source = read_pool(**keys)[0][0].source
    for key in ("gone", "", "99", "-1", "../annotations", "a\0b", "\\udcff", "9" * 30):
        with pytest.raises(PoolError, match=r"no sample|ends before it"):
            find_image(PoolSpec(**keys), "general", source, key, "0" * 32)


@pytest.mark.parametrize("write", WRITERS)
def test_a_file_that_is_gone_or_moved_is_said(
    tmp_path: Path,
    pictures: dict[str, bytes],
    read_pool: ReadPool,
    write: Callable[[Path, Mapping[str, bytes]], dict[str, Any]],
) -> None:
    (tmp_path / "here").mkdir()
    keys = write(tmp_path / "here", pictures)
    [pair, *_], _ = read_pool(**keys)
    assert find(PoolSpec(**keys), pair) == pair.image
    (tmp_path / "here").rename(tmp_path / "there")
    with pytest.raises(PoolError, match="is gone; put it back where it was"):
        find(PoolSpec(**keys), pair)


def test_a_file_that_was_written_anew_is_read_anew(
    tmp_path: Path, pictures: dict[str, bytes], read_pool: ReadPool
) -> None:
    keys = write_tar_pool(tmp_path, pictures)
    pairs, _ = read_pool(**keys)
    for pair in pairs:
        assert find(PoolSpec(**keys), pair) == pair.image
    write_tar_pool(tmp_path, dict(reversed(pictures.items())) | {"new": b"x"})
    for pair in pairs:
        assert find(PoolSpec(**keys), pair) == pair.image


def test_of_samples_with_one_key_the_content_tells_which_is_meant(
    tmp_path: Path, picture: Picture, read_pool: ReadPool
) -> None:
    members = [
        member
        for number in range(4)
        for key in ("same", f"other{number}")
        for member in tar_members({key: picture(number if key == "same" else 9)})
    ]
    write_tar(tmp_path / "set.tar", members)
    spec = PoolSpec(source=[str(tmp_path / "set.tar")])
    pairs, _ = read_pool(source=spec.source)
    for pair in [pair for pair in pairs if pair.key == "same"][::-1]:
        assert find(spec, pair) == pair.image
    assert find_image(spec, "general", spec.source[0], "same", None) == picture(0)


def test_two_images_of_one_name_in_a_folder_are_told_apart(
    tmp_path: Path, picture: Picture, read_pool: ReadPool
) -> None:
    for number, extension in enumerate(("png", "webp", "JPG")):
        (tmp_path / f"a.{extension}").write_bytes(picture(number))
    (tmp_path / "a.txt").write_text("c")
    pairs, _ = read_pool(source=str(tmp_path))
    assert len(pairs) == 3
    for pair in pairs:
        assert find(PoolSpec(source=[str(tmp_path)]), pair) == pair.image


def test_names_that_are_no_utf8_are_found(tmp_path: Path, picture: Picture, read_pool: ReadPool) -> None:
    folder = tmp_path / "f\udcff"
    folder.mkdir()
    write_tar(folder / "s\udcfe.tar", tar_members({"a\udcfd": picture(1)}))
    (folder / "images").mkdir()
    (folder / "images" / "b\udcfd.png").write_bytes(picture(2))
    (folder / "images" / "b\udcfd.txt").write_text("c")
    for source in (folder / "s\udcfe.tar", folder / "images"):
        [pair], _ = read_pool(source=str(source))
        assert "\\udcff" in pair.source
        assert "\\udcfd" in pair.key
        assert find(PoolSpec(source=[str(source)]), pair) == pair.image


def test_damage_behind_a_sample_does_not_matter_and_damage_before_it_is_said(
    tmp_path: Path, pictures: dict[str, bytes], read_pool: ReadPool
) -> None:
    keys = write_tar_pool(tmp_path, pictures)
    pairs, _ = read_pool(**keys)
    whole = (tmp_path / "set.tar").read_bytes()
    (tmp_path / "set.tar").write_bytes(whole[: whole.index(b"k2.png") + 700])
    assert find(PoolSpec(**keys), pairs[0]) == pairs[0].image
    for _ in range(2):
        with pytest.raises(PoolError, match="'k4' is not to be found: tar ends early after"):
            find(PoolSpec(**keys), pairs[4])


@pytest.mark.parametrize(
    "name", ["x.tar", "x.tar.gz", "x.parquet", "x.json", "x.csv", "x.jsonl", "x.bin", "x"]
)
@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"\x1f\x8bnot gzip", b"x" * 5000, b"[" * 10**5])
def test_a_file_of_anything_is_an_error_that_names_it(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    spec = PoolSpec(source=[str(tmp_path / name)])
    with pytest.raises(PoolError, match=rf"pools\.general: .*{name}: "):
        find_image(spec, "general", spec.source[0], "k", "0" * 32)


def test_what_is_no_file_is_refused_unopened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.tar")
    for source in (str(tmp_path / "pipe.tar"), "/dev/zero"):
        with pytest.raises(PoolError, match="is neither a file nor a folder"):
            find_image(PoolSpec(source=["x"]), "bank", source, "k", None)
    with pytest.raises(PoolError, match="can't be read: embedded null"):
        find_image(PoolSpec(source=["x"]), "bank", "a\0b.tar", "k", None)


def test_nothing_outside_the_folder_of_the_source_is_read(tmp_path: Path, picture: Picture) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "secret.png").write_bytes(picture(1))
    (tmp_path / "set" / "link.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "set" / "captions.json").write_text('{"images": [], "annotations": []}')
    (tmp_path / "set" / "pairs.csv").write_text("image,caption\n../secret.png,c\n")
    folder = str(tmp_path / "set")
    for source, key, metadata in (
        (folder, "../secret", None),
        (folder, str(tmp_path / "secret"), None),
        (folder, "link", None),
        (f"{folder}/captions.json", "1", '{"file_name": "../secret.png"}'),
        (f"{folder}/pairs.csv", "0", None),
    ):
        with pytest.raises(PoolError, match="path leaves the folder of its source"):
            find_image(PoolSpec(source=[folder]), "general", source, key, None, metadata=metadata)


def test_metadata_of_another_hand_is_no_obstacle(
    tmp_path: Path, pictures: dict[str, bytes], read_pool: ReadPool
) -> None:
    keys = write_coco(tmp_path, pictures)
    [pair, *_], _ = read_pool(**keys)
    for metadata in ("", "{", "[1]", '{"file_name": 7}', "[" * 10**5):
        assert find(PoolSpec(**keys), pair, metadata=metadata) == pair.image


def test_a_captions_file_too_large_to_be_read_again_is_not(
    tmp_path: Path, pictures: dict[str, bytes], read_pool: ReadPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui_mia.pools.find._CAPTIONS_LIMIT_BYTES", 100)
    keys = write_coco(tmp_path, pictures)
    [pair, *_], _ = read_pool(**keys)
    assert find(PoolSpec(**keys), pair, metadata=json.dumps(pair.metadata)) == pair.image
    with pytest.raises(PoolError, match="at most 100 are read"):
        find(PoolSpec(**keys), pair)


def test_a_search_that_nobody_waits_for_ends(tmp_path: Path) -> None:
    write_tar(tmp_path / "set.tar", [(f"{number}.png", b"x") for number in range(2000)])
    spec = PoolSpec(source=[str(tmp_path / "set.tar")])
    with pytest.raises(SearchCancelled):
        find_image(spec, "general", spec.source[0], "1999", None, cancelled=lambda: True)
    assert find_image(spec, "general", spec.source[0], "1999", None) == b"x"


def test_a_tar_is_read_only_as_far_as_needed_and_its_keys_once() -> None:
    read: list[int] = []

    def entries() -> Any:
        for number in range(10):
            read.append(number)
            yield f"k{number % 5}", 100 * number

    index = KeyIndex(entries())
    places = index.places("k2", lambda: False)
    assert next(places) == (2, 200)
    assert read == [0, 1, 2]
    assert list(places) == [(7, 700)]
    assert list(index.places("k0", lambda: False)) == [(0, 0), (5, 500)]
    assert read == list(range(10))


def test_an_index_of_a_million_keys_takes_16_bytes_each(monkeypatch: pytest.MonkeyPatch) -> None:
    index = KeyIndex((f"{number:09}", number) for number in range(100_000))
    assert list(index.places("000099999", lambda: False)) == [(99_999, 99_999)]
    assert index._hashes.itemsize + index._offsets.itemsize == 16


def test_a_picture_is_found_without_reading_the_pictures_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tar(tmp_path / "set.tar", [(f"{number:02}.png", bytes([number]) * 10_000) for number in range(50)])
    taken: list[str] = []
    take = webdataset._take

    def counting(archive: Any, member: Any, *rest: Any) -> None:
        taken.append(member.name)
        take(archive, member, *rest)

    monkeypatch.setattr(webdataset, "_take", counting)
    spec = PoolSpec(source=[str(tmp_path / "set.tar")])
    image = bytes([40]) * 10_000
    wanted = hashlib.sha256(image).hexdigest()
    assert find_image(spec, "general", spec.source[0], "40", wanted) == image
    assert taken == ["40.png"]
