"""COCO captions: one JSON with images and their captions, and the folder that the images are in."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeAlias

from tui_mia.pools.fields import decode, parse_object, quote, storable
from tui_mia.pools.files import IMAGE_LIMIT_BYTES, read_inside
from tui_mia.pools.found import Content, Found, UnusableError
from tui_mia.pools.pair import PoolName, Shard
from tui_mia.pools.text_lines import Cut, ranges
from tui_mia.spec import PoolSpec

CocoId: TypeAlias = "int | str | None"

_IMAGES_LOOKED_FOR = 100


class Annotation(NamedTuple):
    """One caption of one image; its id is None where the file has none that could be one."""

    image_id: CocoId
    annotation_id: CocoId
    caption: object
    member: object


@dataclass(frozen=True, slots=True)
class CocoFile:
    """What is kept of a captions file: annotations by image, and the plain fields of each image by id."""

    annotations: list[Annotation]
    images: dict[CocoId, dict[str, object]]

    def image_names(self, key: str) -> list[str]:
        """The images, by file name, of the annotations with an id; more than one where ids repeat."""
        rows = (row for row in self.annotations if row.annotation_id is not None)
        found = (self.images.get(row.image_id) for row in rows if storable(str(row.annotation_id)) == key)
        return list(dict.fromkeys(str(image["file_name"]) for image in found if image is not None))


def plan_coco(pool: PoolName, path: Path, spec: PoolSpec, rows_per_shard: int) -> list[Cut]:
    """Check that captions and images are there, and cut the captions into ranges."""
    coco = load_coco(path, _caption_field(spec), _member_field(spec))
    if coco.annotations and all(row.caption is None for row in coco.annotations):
        raise UnusableError(
            f"no annotation has a field {_caption_field(spec)!r}; "
            f"give a captions file, or set pools.{pool}.caption to the field"
        )
    if _image_folder(path, spec, coco) is None:
        names = ", ".join(str(folder) for folder in image_folders(path, spec))
        raise UnusableError(
            f'none of its images is in {names}; set pools.{pool}.image = "..." to the folder of the images'
        )
    return [Cut(start, stop) for start, stop in ranges(len(coco.annotations), rows_per_shard)]


def read_coco(shard: Shard, spec: PoolSpec) -> Iterator[Found]:
    """Stream the captions of a shard; the key is the annotation's id, or its place in the order."""
    assert isinstance(shard.path, Path), "captions are not read by URL"
    coco = load_coco(shard.path, _caption_field(spec), _member_field(spec))
    folder = _image_folder(shard.path, spec, coco)
    if folder is None:
        raise FileNotFoundError(None, "its images are gone", str(shard.path))
    # The captions of an image come together, so its file is read once.
    read_image = lru_cache(maxsize=1)(partial(read_inside, folder, limit=IMAGE_LIMIT_BYTES))
    for position, row in enumerate(islice(coco.annotations, shard.start, shard.stop), start=1):
        key = storable(str(row.annotation_id)) if row.annotation_id is not None else ""
        yield Found(key, position, partial(_load, row, coco, read_image))


@lru_cache(maxsize=4)
def load_coco(path: Path, caption_field: str, member_field: str) -> CocoFile:
    """Read a captions file; its annotations sorted by image, then by their own id."""
    try:
        document = parse_object(decode(path.read_bytes()))
    except UnusableError as problem:
        raise UnusableError(f"is not a COCO captions file: {problem}") from None
    images, annotations = document.get("images"), document.get("annotations")
    if not isinstance(images, list) or not isinstance(annotations, list):
        raise UnusableError('is not a COCO captions file: that has the lists "images" and "annotations"')
    rows = [
        Annotation(
            _id(entry.get("image_id")),
            _id(entry.get("id")),
            entry.get(caption_field),
            entry.get(member_field),
        )
        for entry in (entry if isinstance(entry, dict) else {} for entry in annotations)
    ]
    rows.sort(key=lambda row: (_order(row.image_id), _order(row.annotation_id)))
    return CocoFile(rows, {_id(image["id"]): _plain(image) for image in images if _is_image(image)})


def _load(row: Annotation, coco: CocoFile, read_image: Callable[[str], bytes]) -> Content:
    if row.annotation_id is None:
        raise UnusableError("annotation without an id")
    fields = coco.images.get(row.image_id) if row.image_id is not None else None
    if fields is None:
        raise UnusableError(f"image_id {quote(row.image_id)} is not among the images")
    metadata = {"image_id": row.image_id, **fields}
    return Content(read_image(str(fields["file_name"])), row.caption, row.member, metadata)


def _image_folder(path: Path, spec: PoolSpec, coco: CocoFile) -> Path | None:
    """The first folder that has any of the first images."""
    names = [str(image["file_name"]) for image in islice(coco.images.values(), _IMAGES_LOOKED_FOR)]
    return next(
        (
            folder
            for folder in image_folders(path, spec)
            if any("\0" not in name and os.path.exists(folder / name) for name in names)
        ),
        None,
    )


def image_folders(path: Path, spec: PoolSpec) -> list[Path]:
    """The folders that the images of a captions file may be in, the likeliest first."""
    if spec.image:
        return [path.parent / Path(spec.image).expanduser()]
    split = path.stem.removeprefix("captions_")
    return [path.parent, path.parent / split, path.parent.parent / split]


def _caption_field(spec: PoolSpec) -> str:
    return spec.caption or "caption"


def _member_field(spec: PoolSpec) -> str:
    return spec.member if isinstance(spec.member, str) else "member"


def _id(value: object) -> CocoId:
    return value if isinstance(value, int | str) else None


def _order(value: CocoId) -> tuple[bool, bool, int, str]:
    """Numbers before texts before nothing."""
    number, text = (value, "") if isinstance(value, int) else (0, value or "")
    return (value is None, isinstance(value, str), number, text)


def _is_image(image: object) -> bool:
    return (
        isinstance(image, dict)
        and _id(image.get("id")) is not None
        and isinstance(image.get("file_name"), str)
    )


def _plain(image: dict[str, object]) -> dict[str, object]:
    return {
        name: value for name, value in image.items() if name != "id" and not isinstance(value, list | dict)
    }
