"""What an audit asks of its encoders, wherever they are."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from tui_mia.crew.loaded import About
from tui_mia.encoder import Reencoded, ReuseCounts, Schedule
from tui_mia.pools import Shard


class CrewError(Exception):
    """No encoder is left, or a shard can't be encoded; the message says which, why and what to do."""


class Encoders(Protocol):
    """The models of an audit, ready on one device or several; `about` says what they are.

    `reuse` is what was taken over from earlier runs so far.
    """

    @property
    def about(self) -> About: ...

    @property
    def reuse(self) -> ReuseCounts: ...

    def at_work(self) -> AbstractContextManager[None]:
        """Within it the devices are this run's; no other method but this may be called outside.

        Raises:
            CrewError: if no encoder can be had.
        """
        ...

    def encode(self, schedule: Schedule) -> None:
        """Encode all shards of a schedule; those that can't be are in `schedule.failed`.

        Raises:
            PoolError: if a shard can't be opened, from the one encoder of a worker.
            ModelError: if a device has no memory for a single pair, likewise.
            CrewError: if no encoder is left.
        """
        ...

    def repeat(self, shards: Sequence[Shard]) -> Reencoded:
        """Some candidates encoded once more, in another order and batch."""
        ...
