"""Reasons for rejects, counted; those that differ in a name or a number only are one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

# Whoever made the files may have given each entry a reason of its own.
MOST_KINDS = 200
_OTHERS = "other reasons"
_VARIES = re.compile(r"'[^']*'|\"[^\"]*\"|[0-9][0-9,.]*")


@dataclass(frozen=True)
class RejectKind:
    """How many entries were rejected for a reason of this kind; `example` is the first of them."""

    count: int
    example: str


@dataclass
class Reasons:
    """The reasons of the rejects read so far."""

    total: int = 0
    _kinds: dict[str, tuple[int, str]] = field(default_factory=dict)

    def add(self, reason: str) -> None:
        self.total += 1
        kind = _VARIES.sub("...", reason)
        if kind not in self._kinds and len(self._kinds) >= MOST_KINDS:
            kind = reason = _OTHERS
        count, example = self._kinds.get(kind, (0, reason))
        self._kinds[kind] = count + 1, example

    def most_common(self) -> Iterator[RejectKind]:
        """The kinds, the most common first."""
        for count, example in sorted(self._kinds.values(), key=lambda each: -each[0]):
            yield RejectKind(count, example)
