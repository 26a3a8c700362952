from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tui_mia.pools import Pair, PoolError, Reject, plan_shards
from tui_mia.pools.files import read_inside
from tui_mia.pools.pair import Json
from tui_mia.spec import PoolSpec

ReadPool = Callable[..., tuple[list[Pair], list[Reject]]]
Picture = Callable[..., bytes]

IMAGES = [
    {"id": 9, "file_name": "cat.jpg", "width": 4, "licenses": [1]},
    {"id": 2, "file_name": "dog.jpg"},
]
ANNOTATIONS: list[Any] = [
    {"id": 30, "image_id": 9, "caption": "a cat"},
    {"id": 4, "image_id": 2, "caption": "a dog", "member": True},
    {"id": 21, "image_id": 9, "caption": "one more cat "},
]


@pytest.fixture
def captions(tmp_path: Path, picture: Picture) -> Callable[..., str]:
    """Writes a captions file as COCO has it, images in a folder of the split's name beside annotations/."""
    (tmp_path / "annotations").mkdir()
    (tmp_path / "val2017").mkdir()
    (tmp_path / "val2017" / "cat.jpg").write_bytes(picture(1, "JPEG"))
    (tmp_path / "val2017" / "dog.jpg").write_bytes(picture(2, "JPEG"))

    def write(annotations: list[Any] = ANNOTATIONS, images: list[Any] = IMAGES) -> str:
        path = tmp_path / "annotations" / "captions_val2017.json"
        path.write_text(json.dumps({"info": {}, "images": images, "annotations": annotations}))
        return str(path)

    return write


def test_every_caption_is_a_pair_and_those_of_an_image_come_together(
    captions: Callable[..., str], read_pool: ReadPool, picture: Picture
) -> None:
    source = captions()
    cat: dict[str, Json] = {"image_id": 9, "file_name": "cat.jpg", "width": 4}
    dog: dict[str, Json] = {"image_id": 2, "file_name": "dog.jpg"}
    assert read_pool(source=source) == (
        [
            Pair("4", source, picture(2, "JPEG"), "a dog", 1, True, dog),
            Pair("21", source, picture(1, "JPEG"), "one more cat", 2, None, cat),
            Pair("30", source, picture(1, "JPEG"), "a cat", 3, None, cat),
        ],
        [],
    )


def test_an_image_is_read_once_for_all_its_captions(
    captions: Callable[..., str], read_pool: ReadPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def counting(folder: Path, name: str, limit: int) -> bytes:
        read.append(name)
        return read_inside(folder, name, limit)

    monkeypatch.setattr("tui_mia.pools.coco.read_inside", counting)
    read_pool(source=captions())
    assert read == ["dog.jpg", "cat.jpg"]


def test_images_are_looked_for_beside_the_json_and_where_the_spec_says(
    tmp_path: Path, captions: Callable[..., str], read_pool: ReadPool
) -> None:
    source = captions()
    folder = tmp_path / "val2017"
    folder.rename(tmp_path / "pictures")
    with pytest.raises(
        PoolError, match=r'none of its images is in .*; set pools\.candidates\.image = "\.\.\." to'
    ):
        read_pool(source=source)
    for named in ("../pictures", str(tmp_path / "pictures")):
        assert len(read_pool(source=source, image=named)[0]) == 3
    for image in (tmp_path / "pictures").iterdir():
        image.rename(tmp_path / "annotations" / image.name)
    assert len(read_pool(source=source)[0]) == 3


def test_shards_cut_the_captions_and_together_are_the_whole(
    captions: Callable[..., str], read_pool: ReadPool
) -> None:
    source = captions()
    pairs, _ = read_pool(rows_per_shard=2, source=source)
    assert [(pair.key, pair.position) for pair in pairs] == [("4", 1), ("21", 2), ("30", 1)]


@pytest.mark.parametrize(
    ("annotation", "key", "reason"),
    [
        ({"id": 99, "image_id": 77, "caption": "c"}, "99", "image_id 77 is not among the images"),
        ({"id": 99, "caption": "c"}, "99", "image_id None is not among the images"),
        ({"id": 99, "image_id": 9}, "99", "no caption"),
        ({"id": 99, "image_id": 9, "caption": " "}, "99", "empty caption"),
        ({"id": 99, "image_id": 9, "caption": "c", "member": 7}, "99", "member is 7"),
        ({"id": 99, "image_id": "gone", "caption": "c"}, "99", "no file 'gone.jpg'"),
        ({"id": 99, "image_id": "up", "caption": "c"}, "99", "path leaves the folder of its source"),
        ({"image_id": 9, "caption": "c"}, "", "annotation without an id"),
        ("not an annotation", "", "annotation without an id"),
    ],
)
def test_a_broken_annotation_is_one_reject(
    captions: Callable[..., str], read_pool: ReadPool, annotation: object, key: str, reason: str
) -> None:
    images = [*IMAGES, {"id": "gone", "file_name": "gone.jpg"}, {"id": "up", "file_name": "../../x.jpg"}, 5]
    pairs, [reject] = read_pool(source=captions([*ANNOTATIONS, annotation], images))
    assert [pair.key for pair in pairs] == ["4", "21", "30"]
    assert reject.key == key
    assert reason in reject.reason


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not a COCO captions file: not valid JSON"),
        ("[]", "is not a COCO captions file: JSON holds a list, not an object"),
        ('{"images": []}', 'is not a COCO captions file: that has the lists "images" and "annotations"'),
        (
            '{"images": [], "annotations": [{"id": 1, "image_id": 1, "bbox": []}]}',
            "no annotation has a field 'caption'; give a captions file, or set pools.general.caption",
        ),
    ],
)
def test_a_json_that_holds_no_captions_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "captions.json").write_text(content)
    with pytest.raises(PoolError) as refusal:
        plan_shards("general", PoolSpec(source=[str(tmp_path / "captions.json")]))
    assert message in str(refusal.value)
