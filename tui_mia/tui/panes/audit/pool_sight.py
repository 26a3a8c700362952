"""What a pool would have: its first pairs and how many there are, found in a thread."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from tui_mia.pools import PoolError
from tui_mia.pools.preview import Count, Preview, count, preview
from tui_mia.spec import PoolName, PoolSpec
from tui_mia.tui.latest import Stop

PAIRS_SHOWN = 3
SECONDS_TO_LOOK = 5.0
SECONDS_BETWEEN_COUNTS = 0.25


@dataclass(frozen=True)
class PoolSight:
    """What is known so far of a pool."""

    preview: Preview | None = None
    count: Count | None = None
    problem: str = ""


@dataclass(frozen=True)
class PoolQuestion:
    """A pool to look at; None where nothing can be looked at yet."""

    name: PoolName
    spec: PoolSpec | None


def look(question: PoolQuestion, stop: Stop) -> Iterator[PoolSight]:
    """The first pairs as soon as they are read, then how many there are."""
    if question.spec is None:
        yield PoolSight()
        return
    deadline = time.monotonic() + SECONDS_TO_LOOK
    sight = PoolSight()
    try:
        found = preview(
            question.name, question.spec, PAIRS_SHOWN, lambda: stop() or time.monotonic() > deadline
        )
        sight = replace(sight, preview=found)
        yield sight
        yield from _counts(question.name, question.spec, sight)
    except PoolError as error:
        yield replace(sight, problem=str(error).removeprefix(f"pools.{question.name}: "))


def _counts(name: PoolName, spec: PoolSpec, sight: PoolSight) -> Iterator[PoolSight]:
    told = 0.0
    for counted in count(name, spec):
        # The same again, so that whoever takes these can stop at any of them.
        if counted.done or time.monotonic() - told > SECONDS_BETWEEN_COUNTS:
            told, sight = time.monotonic(), replace(sight, count=counted)
        yield sight
