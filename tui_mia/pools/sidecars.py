"""A sample in files that share a name: the image, .txt caption and .json fields of a tar or a folder."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from tui_mia.pools.fields import decode, parse_object, storable
from tui_mia.pools.files import image_extensions
from tui_mia.pools.found import Content, UnusableError
from tui_mia.spec import PoolSpec


def text_extensions(spec: PoolSpec) -> tuple[str, ...]:
    """The extensions, in lower case, of the files beside an image that are read."""
    named = [spec.caption.lower().removeprefix(".")] if spec.caption else []
    return tuple(dict.fromkeys(["txt", "json", *named]))


def content_of(files: Mapping[str, bytes], present: Collection[str], spec: PoolSpec) -> Content:
    """Put a sample together from its files by extension.

    `present` are the extensions of all its files, also of those that weren't read.

    `spec.caption` names a field of the JSON, or else the extension of the
    caption's file. Where it is not set, .txt goes before the JSON's `caption`.
    """
    image = image_of(files, present, spec)
    fields = parse_object(decode(files["json"])) if "json" in files else {}
    caption = _caption(files, fields, present, spec)
    label_field = spec.member if isinstance(spec.member, str) else "member"
    caption_field = spec.caption or "caption"
    member = fields.pop(label_field, None)
    # img2dataset writes the caption into the JSON too; stored twice it would double the metadata.
    if _same_text(fields.get(caption_field), caption):
        del fields[caption_field]
    return Content(image, caption, member, fields)


def image_of(files: Mapping[str, bytes], present: Collection[str], spec: PoolSpec) -> bytes:
    """The image among the files of a sample, of the preferred extension."""
    image = next((files[extension] for extension in image_extensions(spec) if extension in files), None)
    if image is None:
        raise UnusableError(f"no image: {_has(present)}")
    return image


def _caption(
    files: Mapping[str, bytes], fields: Mapping[str, object], present: Collection[str], spec: PoolSpec
) -> object:
    if spec.caption is None:
        if "txt" in files:
            return decode(files["txt"])
        if "caption" in fields:
            return fields["caption"]
        raise UnusableError(f"no caption: {_has(present)}")
    extension = spec.caption.lower().removeprefix(".")
    if spec.caption in fields:
        return fields[spec.caption]
    if extension in files:
        return decode(files[extension])
    raise UnusableError(f"no caption {spec.caption!r} in the JSON or as an extension: {_has(present)}")


def _has(present: Collection[str]) -> str:
    return f"has {', '.join(storable(extension) for extension in sorted(present))}"


def _same_text(field: object, caption: object) -> bool:
    return isinstance(field, str) and isinstance(caption, str) and field.strip() == caption.strip()
