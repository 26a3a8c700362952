"""One encoder of several, in a process of its own, and what it tells whoever hands out the shards.

How the two reach each other, on one machine or over many, is none of its business.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

import psutil
import torch

from tui_mia.crew.loaded import About, LoadedModels
from tui_mia.encoder import Job, ModelError, Reencoded, ReuseCounts, ShardEncoder
from tui_mia.network import keep_off_the_network
from tui_mia.pools import PoolError, Shard
from tui_mia.runs import RunDirectory
from tui_mia.runs.reporter import UNKNOWN, Pace
from tui_mia.spec import AuditSpec

SECONDS_BETWEEN_TELLING = 0.25


@dataclass(frozen=True)
class Place:
    """Where an encoder is to work: `name` tells it apart from the others of its run.

    `threads` is how many of a CPU it has, None for as many as PyTorch takes. `writer` is who it
    is to those that come after it.
    """

    name: str
    device: str
    threads: int | None
    writer: str


@dataclass(frozen=True)
class Speed:
    """How fast an encoder is now: entries a second, the rates of `Pace`, and bytes of memory."""

    entries_per_second: float = 0.0
    pace: Pace = UNKNOWN
    memory_bytes: int | None = None
    device_memory_bytes: int | None = None


@dataclass(frozen=True)
class Told:
    """What has happened to a shard since the last that was told of it; see `Schedule`."""

    samples: int = 0
    rejects: int = 0
    position: int = 0
    found_samples: int = 0
    found_rejects: int = 0
    warnings: tuple[str, ...] = ()
    speed: Speed = field(default_factory=Speed)


@dataclass(frozen=True)
class Encoded:
    """All parts of a shard are there; what was taken over for it."""

    told: Told
    reuse: ReuseCounts


@dataclass(frozen=True)
class Refused:
    """A shard or a model that can't be used, however often it is tried; the words say why."""

    words: str


@dataclass(frozen=True)
class Broken:
    """The encoder is gone or can't go on, for a reason of its device, its machine or the program."""

    words: str


@dataclass(frozen=True)
class Lost:
    """The encoder is gone with its machine: it need not be started again."""

    words: str


# A string is for the log.
Message: TypeAlias = About | Told | Encoded | Reencoded | Refused | Broken | Lost | str


def serve(
    spec: AuditSpec,
    run: Path,
    place: Place,
    receive: Callable[[], Job | Sequence[Shard]],
    send: Callable[[Message], None],
) -> None:
    """Load, and encode what is asked for, one after the other, until the process is ended."""
    try:
        try:
            member = Member(spec, run, place)
        except ModelError as error:
            send(Refused(str(error)))
            return
        send(member.about)
        with member.lock(send):
            while True:
                asked = receive()
                try:
                    send(member.encode(asked, send) if isinstance(asked, Job) else member.repeat(asked))
                except (PoolError, ModelError) as error:
                    send(Refused(str(error)))
    except Exception as error:
        traceback.print_exc()
        send(Broken(f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"))


class Member:
    """The models on one device, at work on the shards of a run that has several encoders.

    Raises:
        ModelError: if a model can't be loaded.
    """

    def __init__(self, spec: AuditSpec, run: Path, place: Place) -> None:
        keep_off_the_network(spec)
        if place.threads is not None:
            torch.set_num_threads(place.threads)
        of_device = spec.model.model_copy(update={"device": place.device})
        self._spec = spec.model_copy(update={"model": of_device})
        self._directory = RunDirectory.open(run)
        self._place = place
        self._models = LoadedModels(self._spec)
        self._encoder: ShardEncoder | None = None
        self._process = psutil.Process()
        self._lock = threading.Lock()
        self._told = Told()

    @property
    def about(self) -> About:
        return self._models.about

    def lock(self, tell: Callable[[str], None]) -> AbstractContextManager[None]:
        """Keeps a GPU to this process; a CPU belongs to the run, whose encoders share it."""
        return self._models.lock(tell, of_cpu=False)

    def encode(self, job: Job, on_told: Callable[[Told], None] = lambda told: None) -> Encoded:
        """Encode a shard; `on_told` hears a few times a second how far it is.

        Raises:
            PoolError: if the shard can't be opened.
            ModelError: if the device has no memory for a single pair.
        """
        encoder = self._ready()
        # Not where the shard before it ended.
        self._add(position=0)
        before, told_at = encoder.reuse.counts if encoder.reuse else ReuseCounts(), time.monotonic()

        def on_batch(samples: int, rejects: int, position: int) -> None:
            nonlocal told_at
            self._add(samples=samples, rejects=rejects, position=position)
            if time.monotonic() - told_at >= SECONDS_BETWEEN_TELLING:
                told_at = time.monotonic()
                on_told(self.news())

        def on_found(samples: int, rejects: int) -> None:
            self._add(found_samples=samples, found_rejects=rejects)

        encoder.encode(job, on_batch, on_found)
        after = encoder.reuse.counts if encoder.reuse else ReuseCounts()
        return Encoded(self.news(), after.since(before))

    def repeat(self, shards: Sequence[Shard]) -> Reencoded:
        """Some candidates encoded once more, in another order and batch."""
        return self._ready().repeat(shards)

    def news(self) -> Told:
        """What has happened since it was asked the last time; from any thread."""
        with self._lock:
            told = replace(self._told, speed=self._speed())
            self._told = Told(position=told.position)
        return told

    def _add(
        self,
        samples: int = 0,
        rejects: int = 0,
        position: int | None = None,
        found_samples: int = 0,
        found_rejects: int = 0,
        warnings: tuple[str, ...] = (),
    ) -> None:
        with self._lock:
            told = self._told
            self._told = Told(
                samples=told.samples + samples,
                rejects=told.rejects + rejects,
                position=told.position if position is None else position,
                found_samples=told.found_samples + found_samples,
                found_rejects=told.found_rejects + found_rejects,
                warnings=(*told.warnings, *warnings),
            )

    def _speed(self) -> Speed:
        if self._encoder is None:
            return Speed()
        entries, pace = self._encoder.meter.speed()
        return Speed(entries, pace, self._process.memory_info().rss, self._models.device_memory())

    def _ready(self) -> ShardEncoder:
        if self._encoder is None:
            earlier = [run.parts for run in self._directory.others()]
            self._encoder = self._models.encoder(
                self._directory.parts,
                earlier,
                lambda message: self._add(warnings=(f"{self._place.name}: {message}",)),
                self._place.writer,
                self._place.threads,
            )
        return self._encoder
