"""The worker's side of the events: phases, their times, and progress at a pace that no display drowns in.

The worker's log, which its stderr is, has a line for each phase and for what a user is told; each
shard too where it is to be verbose.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Final

import psutil

from tui_mia.runs.directory import RunDirectory
from tui_mia.runs.events import (
    DeviceProgress,
    Event,
    Finished,
    Progress,
    ShardEncoded,
    Skipped,
    Stage,
    Started,
)
from tui_mia.runs.narration import narrate, phase_line

SECONDS_BETWEEN_EVENTS = 0.5


@dataclass(frozen=True)
class Pace:
    """How fast a phase goes, named and meant as in `Progress`; None for what is not known."""

    per_second: float | None = None
    eta_seconds: float | None = None
    views_per_second: float | None = None
    encodings_per_second: float | None = None
    share_of_peak: float | None = None
    bottleneck: Stage | None = None


UNKNOWN: Final = Pace()


class Reporter:
    """Writes the events of one attempt at a run.

    `seconds` is what each phase took so far, `encoded` the share of the pairs that is encoded,
    `devices` what each encoder has done where there are several.
    """

    def __init__(self, directory: RunDirectory, *, verbose: bool = False) -> None:
        self.seconds: dict[str, float] = {}
        self.encoded = 0.0
        self.device: str | None = None
        self.device_memory: Callable[[], int | None] = lambda: None
        self.devices: tuple[DeviceProgress, ...] = ()
        self._directory = directory
        self._verbose = verbose
        self._process = psutil.Process()
        self._phase = ""
        self._phase_began = self._told_at = 0.0
        self._untold: Progress | None = None
        self._last = Progress("", 0.0)
        self._encoded = 0

    def tell(self, event: Event) -> None:
        self._directory.append(event)
        if (line := self._line(event)) is not None:
            _log(line)

    def shard(self, event: ShardEncoded) -> None:
        """Tell of a shard, with the memory that the worker has then."""
        self._encoded += event.samples + event.rejects - event.reused
        self.tell(replace(event, memory_bytes=self._process.memory_info().rss))

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Name the phase that the work inside belongs to, and time it."""
        self._phase, self._phase_began, self._told_at = name, time.monotonic(), -math.inf
        self._encoded, took = 0, "broke off after"
        self.progress(0.0)
        try:
            yield
            took = "took"
        finally:
            self.seconds[name] = round(time.monotonic() - self._phase_began, 3)
            if self._untold is not None:
                self._tell_progress(self._untold)
            memory = self._process.memory_info().rss
            _log(phase_line(self._last, took, self.seconds[name], self._encoded, memory))

    def progress(
        self,
        fraction: float,
        samples: int = 0,
        rejects: int = 0,
        pool: str | None = None,
        pace: Pace = UNKNOWN,
    ) -> None:
        """Say how far the phase is: at its start and end, and in between a few times a second at most.

        Its parts may take very different times: only who knows a `pace` says what is left.
        """
        if self._phase == "encode":
            self.encoded = fraction
        self._untold = self._last = Progress(
            phase=self._phase,
            fraction=round(min(fraction, 1.0), 4),
            samples=samples,
            rejects=rejects,
            pool=pool,
            device=self.device,
            devices=self.devices if self._phase == "encode" else (),
            **asdict(pace),
        )
        if time.monotonic() - self._told_at >= SECONDS_BETWEEN_EVENTS:
            self._tell_progress(self._untold)

    def _tell_progress(self, progress: Progress) -> None:
        self._untold, self._told_at = None, time.monotonic()
        memory, of_device = self._process.memory_info().rss, self.device_memory()
        memory += sum(each.memory_bytes or 0 for each in progress.devices)
        self.tell(replace(progress, memory_bytes=memory, device_memory_bytes=of_device))

    def _line(self, event: Event) -> str | None:
        """What the log has of an event."""
        match event:
            case Started():
                versions = ", ".join(f"{name} {number}" for name, number in event.versions.items())
                return f"worker {event.pid}: {versions}"
            case ShardEncoded() if not self._verbose:
                return None
            case Skipped():
                return f"{event.attack} was skipped: {event.reason}"
            case Finished():
                return event.status if event.error is None else f"{event.status}: {event.error}"
            case _:
                return narrate(event)


def _log(line: str) -> None:
    with suppress(OSError):  # a full disk: the run does not fail for its log
        print(f"{datetime.now():%Y-%m-%d %H:%M:%S} {line}", file=sys.stderr, flush=True)
