"""What the Sample pane says about a sample, as text that is safe to show and short enough for a screen."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tui_mia.clean import printable
from tui_mia.tui.dialogs import shown

if TYPE_CHECKING:
    from tui_mia.store import SampleDetail

_LONGEST_TEXT: Final = 20_000
_SIGNATURES: Final = {
    b"\xff\xd8\xff": ".jpg",
    b"\x89PNG": ".png",
    b"RIFF": ".webp",
    b"GIF8": ".gif",
    b"BM": ".bmp",
    b"II*\0": ".tiff",
    b"MM\0*": ".tiff",
}


def heading(detail: SampleDetail, shown_position: int, wanted: int, count: int) -> str:
    """Which sample it is, where it is in the order, and what is known of its membership."""
    place = f"{shown_position + 1:,}" + (f" → {wanted + 1:,}" if wanted != shown_position else "")
    row = detail.row
    known = {True: "member", False: "non-member", None: "membership unknown"}[row.member]
    pool = "known non-member" if row.pool == "nonmembers" else f"{printable(row.pool)}   {known}"
    return f"{place} of {count:,}   #{row.number}   {pool}"


def origin(detail: SampleDetail) -> str:
    """Where a sample came from, in short."""
    size = f"{detail.width:,} x {detail.height:,} pixels, " if detail.width and detail.height else ""
    lines = [f"key {detail.row.key}", f"{size}in {Path(detail.source).name}", detail.row.sample_id]
    return "\n".join(printable(_cut(line)) for line in lines)


def metadata_lines(metadata: str | None) -> str:
    """Metadata as a line for each field; as it is where it is no JSON object."""
    if not metadata:
        return "none"
    try:
        fields = json.loads(metadata)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        return readable(metadata)
    lines = (f"{name}: {_plain(value)}" for name, value in fields.items())
    return _cut("\n".join(printable(line) for line in lines))


def readable(text: str) -> str:
    """Text from outside with its lines, safe to show, and cut where it would take too long to show."""
    return shown(_cut(text))


def file_name(key: str, image: bytes) -> str:
    """A harmless name for a picture, with the ending of its format."""
    stem = re.sub(r"[^\w.-]+", "_", key.rsplit("/", 1)[-1])[:80].strip("._-") or "picture"
    ending = next((ending for start, ending in _SIGNATURES.items() if image.startswith(start)), ".bin")
    return stem + ending


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _cut(text: str) -> str:
    more = len(text) - _LONGEST_TEXT
    return text if more <= 0 else f"{text[:_LONGEST_TEXT]} … and {more:,} more characters"
