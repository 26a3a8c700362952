"""The worker's side of the events: phases, their times, and progress at a pace that no display drowns in."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil

from tui_mia.runs.directory import RunDirectory
from tui_mia.runs.events import Event, Progress

SECONDS_BETWEEN_EVENTS = 0.2


class Reporter:
    """Writes the events of one attempt at a run; `seconds` is what each phase took so far."""

    def __init__(self, directory: RunDirectory) -> None:
        self.seconds: dict[str, float] = {}
        self.device_memory: Callable[[], int | None] = lambda: None
        self._directory = directory
        self._process = psutil.Process()
        self._phase = ""
        self._phase_began = self._told = 0.0

    def tell(self, event: Event) -> None:
        self._directory.append(event)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Name the phase that the work inside belongs to, and time it."""
        self._phase, self._phase_began, self._told = name, time.monotonic(), 0.0
        self.progress(0.0)
        try:
            yield
        finally:
            self.seconds[name] = round(time.monotonic() - self._phase_began, 3)

    def progress(self, fraction: float, samples: int = 0, rejects: int = 0, pool: str | None = None) -> None:
        """Say how far the phase is: at its start and end, and in between a few times a second at most."""
        now = time.monotonic()
        if fraction < 1 and now - self._told < SECONDS_BETWEEN_EVENTS:
            return
        self._told = now
        elapsed = now - self._phase_began
        self.tell(
            Progress(
                phase=self._phase,
                fraction=round(min(fraction, 1.0), 4),
                samples=samples,
                rejects=rejects,
                per_second=round(samples / elapsed, 2) if samples and elapsed > 0 else None,
                eta_seconds=round(elapsed * (1 - fraction) / fraction, 1) if 0 < fraction < 1 else None,
                pool=pool,
                memory_bytes=self._process.memory_info().rss,
                device_memory_bytes=self.device_memory(),
            )
        )
