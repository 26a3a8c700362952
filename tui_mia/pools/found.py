"""What the format readers hand on: samples as found, before anyone has judged their contents."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


class PoolError(Exception):
    """A pool can't be read at all; the message says which source, what is wrong and what to do."""


class UnusableError(Exception):
    """Inside this room: why a sample can't be a pair, or why a file can't be read (further).

    It ends as the reason of a `Reject`, or while planning as a `PoolError`.
    """


@dataclass(frozen=True, slots=True)
class Content:
    """The raw contents of a sample; caption, label and metadata are of any type."""

    image: bytes
    caption: object
    member: object
    metadata: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Found:
    """A sample that exists under `key`; `load` gets its contents, or raises `UnusableError`.

    Contents are loaded only after the key was looked up among the wanted ones.
    `position` is as in `Pair`.
    """

    key: str
    position: int
    load: Callable[[], Content]
