"""Turns what files hold into captions, labels and metadata that can be stored."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping
from decimal import Decimal

from tui_mia.pools.found import UnusableError
from tui_mia.pools.pair import Json

_MEMBER_WORDS = {"true", "yes", "1", "1.0", "member"}
_NONMEMBER_WORDS = {"false", "no", "0", "0.0", "nonmember", "non-member"}
_LONGEST_QUOTE = 60


def decode(content: bytes) -> str:
    """Read UTF-8, with or without a byte order mark; broken bytes become lone surrogates.

    So that a broken byte costs only the field that it is in: a caption with a
    lone surrogate is rejected later, a metadata value is escaped.
    """
    return content.decode("utf-8", "surrogateescape").removeprefix("\ufeff")


def storable(text: str) -> str:
    """Escape what UTF-8 can't hold (lone surrogates) as `\\udcff`."""
    return text.encode("utf-8", "backslashreplace").decode()


def parse_object(text: str) -> dict[str, object]:
    """Parse a JSON object, or raise `UnusableError`."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise UnusableError("JSON is nested too deeply") from None
    except ValueError as error:
        raise UnusableError(f"not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise UnusableError(f"JSON holds {_kind(value)}, not an object")
    return value


def clean_caption(value: object) -> str:
    """The caption without surrounding whitespace, or raise `UnusableError`."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        raise UnusableError("no caption")
    if not isinstance(value, str):
        raise UnusableError(f"caption is {_kind(value)}, not text")
    caption = value.strip()
    if not caption:
        raise UnusableError("empty caption")
    try:
        caption.encode()
    except UnicodeEncodeError as error:
        raise UnusableError(
            f"caption is not valid text at character {error.start}: broken UTF-8 or a lone surrogate"
        ) from None
    return caption


def clean_label(value: object) -> bool | None:
    """The known membership: True, False, or None where nothing is said. Else raise `UnusableError`."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    word = str(value).strip().casefold()
    if not word:
        return None
    if word in _MEMBER_WORDS:
        return True
    if word in _NONMEMBER_WORDS:
        return False
    raise UnusableError(f"member is {quote(value)}; write true, false or nothing")


def clean_metadata(values: Mapping[str, object]) -> dict[str, Json]:
    """What of `values` JSON can hold: bytes are left out, NaN becomes null, dates become text."""
    try:
        return _clean_mapping(values)
    except RecursionError:
        raise UnusableError("metadata is nested too deeply") from None


def quote(value: object) -> str:
    """A value as it can stand in a message: short and on one line."""
    text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    return text if len(text) <= _LONGEST_QUOTE else text[: _LONGEST_QUOTE - 3] + "..."


def _clean_mapping(values: Mapping[str, object]) -> dict[str, Json]:
    return {
        storable(str(name)): _clean(value)
        for name, value in values.items()
        if not isinstance(value, bytes | bytearray | memoryview)
    }


def _clean(value: object) -> Json:
    match value:
        case None | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else None
        case Decimal():
            return _clean(float(value))
        case dict():
            return _clean_mapping(value)
        case list() | tuple():
            return [_clean(item) for item in value if not isinstance(item, bytes)]
        case datetime.date() | datetime.time():
            return value.isoformat()
        case _:
            return storable(str(value))


def _kind(value: object) -> str:
    """What a JSON user would call the type of `value`."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case bytes():
            return "bytes"
        case list() | tuple():
            return "a list"
        case dict():
            return "an object"
        case _:
            return f"a {type(value).__name__}"
