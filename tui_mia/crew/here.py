"""One encoder, in the process of the worker itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from tui_mia.crew.loaded import LoadedModels
from tui_mia.encoder import Reencoded, ReuseCounts, Schedule, ShardEncoder, encode_here
from tui_mia.pools import Shard
from tui_mia.runs import Note, RunDirectory
from tui_mia.runs.reporter import Reporter
from tui_mia.spec import AuditSpec


class Here:
    """The models of an audit in this process.

    Raises:
        ModelError: if one can't be loaded.
    """

    def __init__(self, spec: AuditSpec, directory: RunDirectory, report: Reporter) -> None:
        threads, self._threads_before = spec.run.threads, torch.get_num_threads()
        if threads is not None:
            torch.set_num_threads(threads)
        self._models = LoadedModels(spec)
        self._directory = directory
        self._report = report
        self._decoders = threads
        self._encoder: ShardEncoder | None = None
        self.about = self._models.about
        report.device = self.about.device
        report.device_memory = self._models.device_memory

    @property
    def reuse(self) -> ReuseCounts:
        return self._ready.reuse.counts if self._ready.reuse else ReuseCounts()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        try:
            with self._models.lock(lambda message: self._report.tell(Note(message))):
                yield
        finally:
            # Attacks are fitted alike wherever the pairs were encoded.
            torch.set_num_threads(self._threads_before)

    def encode(self, schedule: Schedule) -> None:
        encode_here(self._ready, schedule)

    def repeat(self, shards: Sequence[Shard]) -> Reencoded:
        return self._ready.repeat(shards)

    @property
    def _ready(self) -> ShardEncoder:
        """The encoder; to measure the device for it belongs to the phase that uses it."""
        if self._encoder is None:
            earlier = [run.parts for run in self._directory.others()]
            warn = lambda message: self._report.tell(Note(message, "warning"))  # noqa: E731
            self._encoder = self._models.encoder(
                self._directory.parts, earlier, warn, self._directory.writer, self._decoders
            )
        return self._encoder
