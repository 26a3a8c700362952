"""The first pairs of a pool and how many there are, before any audit is planned."""

from __future__ import annotations

import gzip
import json
import os
import tarfile
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from tui_mia.pools import PoolError, plan_shards, read_shard
from tui_mia.pools.preview import Count, count, preview
from tui_mia.spec import PoolSpec

Picture = Callable[..., bytes]


@pytest.fixture
def folder(tmp_path: Path, picture: Picture) -> Path:
    """Five pairs in a folder of images, one of which lacks its caption."""
    (tmp_path / "images" / "deep").mkdir(parents=True)
    for number in range(6):
        place = tmp_path / "images" / ("deep" if number > 3 else "") / f"{number}"
        place.with_suffix(".png").write_bytes(picture(number))
        if number != 1:
            place.with_suffix(".txt").write_text(f"picture {number}")
    return tmp_path


def tarred(folder: Path, name: str = "set.tar") -> str:
    """The folder's images and captions as a tar."""
    with tarfile.open(folder / name, "w:gz" if name.endswith("gz") else "w") as archive:
        archive.add(folder / "images", "images")
    return str(folder / name)


def csv(folder: Path, rows: int = 6) -> str:
    lines = [f"images/{number % 6}.png,{number}\n" for number in range(rows)]
    (folder / "set.csv").write_text("image,caption\n" + "".join(lines))
    return str(folder / "set.csv")


def coco(folder: Path) -> str:
    images = [{"id": number, "file_name": f"{number}.png"} for number in range(4)]
    annotations = [{"id": n, "image_id": n, "caption": f"picture {n}"} for n in range(4)]
    (folder / "images" / "captions.json").write_text(
        json.dumps({"images": images, "annotations": annotations})
    )
    return str(folder / "images" / "captions.json")


def last(pool: PoolSpec) -> Count:
    return list(count("candidates", pool))[-1]


@pytest.mark.parametrize(
    ("write", "captions", "number"),
    [
        (lambda folder: str(folder / "images"), ["picture 0", "picture 2", "picture 3"], 6),
        (tarred, ["picture 0", "picture 2", "picture 3"], 6),
        (lambda folder: tarred(folder, "set.tgz"), ["picture 0", "picture 2", "picture 3"], 6),
        (csv, ["0", "1", "2"], 6),
        (coco, ["picture 0", "picture 1", "picture 2"], 4),
    ],
)
def test_a_preview_shows_the_first_pairs_that_an_audit_would_read(
    folder: Path, write: Callable[[Path], str], captions: list[str], number: int
) -> None:
    spec = PoolSpec(source=[write(folder)])
    shown = preview("candidates", spec)
    items = [item for shard in plan_shards("candidates", spec) for item in read_shard(shard, spec)]
    assert sorted(pair.caption for pair in shown.pairs) == captions
    for pair in shown.pairs:
        assert any(
            (pair.key, pair.image, pair.source) == (i.key, i.image, i.source)
            for i in items
            if hasattr(i, "image")
        )
    assert last(spec) == Count(number, 1, done=True, exact=True)


def test_what_is_no_pair_is_told_with_its_reason(folder: Path) -> None:
    shown = preview("candidates", PoolSpec(source=[str(folder / "images")]))
    assert [(reject.key, reject.reason) for reject in shown.rejects] == [("1", "no caption: has png")]


def test_sources_add_up_and_globs_and_folders_of_tars_and_tables_count_by_file(folder: Path) -> None:
    (folder / "tars").mkdir()
    for name in ("a.tar", "b.tar"):
        os.rename(tarred(folder, name), folder / "tars" / name)
    csv(folder, rows=2500)
    spec = PoolSpec(source=[str(folder / "tars"), str(folder / "*.csv")])
    counts = list(count("candidates", spec))
    assert counts[-1] == Count(12 + 2500, 3, done=True, exact=True)
    assert [c.pairs for c in counts[:-1]] == [6, 12, 1012, 2012, 2512]
    assert not any(c.done for c in counts[:-1])


def test_a_limit_ends_the_counting_and_the_preview(folder: Path) -> None:
    spec = PoolSpec(source=[csv(folder, rows=5000)], limit=2)
    assert [pair.caption for pair in preview("candidates", spec).pairs] == ["0", "1"]
    assert list(count("candidates", spec)) == [Count(2, 1, done=True, exact=True)]


@pytest.mark.parametrize(
    ("write", "number", "exact"),
    [(lambda folder: str(folder / "images"), 2, True), (csv, 6, False)],
)
def test_keys_pick_pairs_and_a_count_that_did_not_look_at_them_says_so(
    folder: Path, write: Callable[[Path], str], number: int, exact: bool
) -> None:
    (folder / "keys.txt").write_text("0\ndeep/4\n")
    spec = PoolSpec(source=[write(folder)], keys=str(folder / "keys.txt"))
    assert preview("candidates", spec).pairs[0].key == "0"
    assert last(spec) == Count(number, 1, done=True, exact=exact)


def test_the_label_of_a_source_is_on_its_pairs(folder: Path) -> None:
    spec = PoolSpec(source=[csv(folder)], member=[True])
    assert [pair.member for pair in preview("candidates", spec).pairs] == [True] * 3


def test_both_can_be_stopped_before_all_of_a_disk_is_read(folder: Path) -> None:
    spec = PoolSpec(source=[str(folder / "images")])
    asked: list[None] = []

    def stop() -> bool:
        asked.append(None)
        return len(asked) > 2

    assert preview("candidates", spec, stop=stop).pairs[0].caption == "picture 0"
    assert len(preview("candidates", spec, stop=lambda: True).pairs) == 0
    first = list(islice(count("candidates", spec), 1))
    assert first == [Count(4, 1, done=False, exact=True)]


def test_a_damaged_tar_shows_what_is_before_the_damage(folder: Path) -> None:
    source = Path(tarred(folder))
    with tarfile.open(source) as archive:
        end = archive.getmember("images/2.png").offset_data
    source.write_bytes(source.read_bytes()[:end])
    spec = PoolSpec(source=[str(source)])
    shown = preview("candidates", spec)
    assert [pair.key for pair in shown.pairs] == ["images/0"], shown
    assert "tar ends early" in shown.rejects[-1].reason
    assert last(spec).done


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.xyz", b"", "is of an unknown format"),
        ("a.csv", b"picture,caption\n1,2\n", "no column 'image'"),
        ("a.json", b"[]", "is not a COCO captions file"),
        ("a.parquet", gzip.compress(b"x", mtime=0), "is not a readable Parquet file"),
    ],
)
def test_a_source_that_can_not_be_read_is_explained_as_when_it_is_planned(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(content)
    spec = PoolSpec(source=[str(tmp_path / name)])
    for look in (lambda: preview("candidates", spec), lambda: last(spec)):
        with pytest.raises(PoolError, match=words) as caught:
            look()
        assert str(caught.value).startswith(f"pools.candidates: {tmp_path / name}: ")


def test_an_empty_folder_and_a_source_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PoolError, match="holds nothing usable"):
        preview("candidates", PoolSpec(source=[str(tmp_path)]))
    nowhere: dict[str, Any] = {"source": [str(tmp_path / "gone")]}
    assert preview("candidates", PoolSpec(**nowhere)).pairs == ()
    assert last(PoolSpec(**nowhere)) == Count(0, 0, done=True, exact=True)
