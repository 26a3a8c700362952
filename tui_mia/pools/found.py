"""What the format readers hand on: samples as found, before anyone has judged their contents."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tui_mia.storage import StorageError


class PoolError(Exception):
    """A pool can't be read at all; the message says which source, what is wrong and what to do."""


def unreadable(pool: str, error: OSError, where: object, advice: str = "") -> PoolError:
    """The error of a source that can't be opened or read; a store's says itself what to do."""
    if isinstance(error, StorageError):
        return PoolError(f"pools.{pool}: {error}")
    told = f"pools.{pool}: {where}: can't be read: {error.strerror or error}"
    return PoolError(f"{told}; {advice}" if advice else told)


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
