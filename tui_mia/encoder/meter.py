"""How fast the encoding goes, what share of the machine that is, and what it waits for."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple, TypeVar, get_args

import torch

from tui_mia.encoder.machine import matmul_flops
from tui_mia.encoder.model import NumberFormat, TargetModel
from tui_mia.runs.events import Stage
from tui_mia.runs.reporter import Pace

# Rates are those of so many seconds: the speed of now, not that of another pool an hour ago.
WINDOW_SECONDS = 60.0
SECONDS_BETWEEN_MARKS = 1.0
# Whoever waits for a stage so much of the time would gain little by making another one faster.
WAITS_FOR_DECODING = 0.2
# A CPU is at times half as fast as at others, with nothing to be seen of why: its peak is the best
# of short looks, one at the start and more on the way, and soon another after one that can't be right.
SECONDS_FOR_PEAK = 0.1
SECONDS_BETWEEN_LOOKS = 30.0
SECONDS_TO_NEXT_LOOK = 5.0

NUMBER_FORMATS: tuple[NumberFormat, ...] = get_args(NumberFormat)
_Batch = TypeVar("_Batch")


@dataclass(frozen=True)
class Work:
    """What a model was given: images, captions, and over how many tokens these ran."""

    images: int = 0
    captions: int = 0
    tokens: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(self.images + other.images, self.captions + other.captions, self.tokens + other.tokens)


class _Totals(NamedTuple):
    """Sums over an attempt: counts, operations in each number format, and seconds."""

    elapsed: float = 0.0
    samples: float = 0.0
    entries: float = 0.0
    images: float = 0.0
    captions: float = 0.0
    fp32: float = 0.0
    fp16: float = 0.0
    bf16: float = 0.0
    decoding: float = 0.0
    views: float = 0.0
    model: float = 0.0

    def since(self, earlier: _Totals) -> _Totals:
        return _Totals(*(now - then for now, then in zip(self, earlier, strict=True)))


class Meter:
    """What an attempt at a run has encoded and how long that took; what it found encoded does not count.

    The share of the machine's peak is the rate of the models' operations, over all
    the time that goes by, against that of matrix products on their device. It is not
    known without `models`, where either could not be had, and where it is above 1.
    """

    def __init__(self, models: Sequence[TargetModel] = ()) -> None:
        self._models = models
        self._peaks: dict[NumberFormat, float] = {}
        self._looked_at = 0.0
        self._totals = _Totals()
        self._marks = deque([self._totals])
        self._began: float | None = None
        self._all_counted = bool(models)
        self._on_gpu = False
        self._look()

    @contextmanager
    def shard(self) -> Iterator[None]:
        """The time of a shard; that of one of which nothing was left to encode does not count."""
        entries, self._began = self._totals.entries, time.perf_counter()
        try:
            yield
        finally:
            if self._totals.entries > entries:
                self._totals = self._now()
            self._began = None

    @contextmanager
    def stage(self, stage: Stage) -> Iterator[None]:
        """Time that the encoding spends on a stage; a GPU that works on is not waited for."""
        began = time.perf_counter()
        try:
            yield
        finally:
            spent: float = getattr(self._totals, stage) + time.perf_counter() - began
            self._totals = self._totals._replace(**{stage: spent})

    def waiting(self, batches: Iterable[list[_Batch]]) -> Iterator[list[_Batch]]:
        """The batches; the time until each of them is there is that of decoding."""
        coming = iter(batches)
        while True:
            with self.stage("decoding"):
                batch = next(coming, None)
            if batch is None:
                return
            yield batch

    def worked(self, model: TargetModel, work: Work) -> None:
        """Hear of what a model has done."""
        self._on_gpu |= model.device.type == "cuda"
        totals = self._totals
        self._totals = totals._replace(
            images=totals.images + work.images, captions=totals.captions + work.captions
        )
        if model.operations is None:
            self._all_counted = False
            return
        a_token = model.operations.caption / model.operations.context_length
        operations = work.images * model.operations.image + work.tokens * a_token
        before: float = getattr(totals, model.number_format)
        self._totals = self._totals._replace(**{model.number_format: before + operations})

    def encoded(self, samples: int, rejects: int) -> None:
        """Hear of the samples and rejects of a batch."""
        totals = self._totals
        self._totals = totals._replace(
            samples=totals.samples + samples, entries=totals.entries + samples + rejects
        )
        now = self._now()
        if now.elapsed - self._marks[-1].elapsed >= SECONDS_BETWEEN_MARKS:
            self._marks.append(now)
        while len(self._marks) > 1 and now.elapsed - self._marks[1].elapsed >= WINDOW_SECONDS:
            self._marks.popleft()
        share = self._share(now.since(self._marks[0]))
        wrong = share is not None and share > 1
        if now.elapsed - self._looked_at >= (SECONDS_TO_NEXT_LOOK if wrong else SECONDS_BETWEEN_LOOKS):
            self._looked_at = now.elapsed
            # A GPU has work at hand that would have to be waited for, and is not so fickle.
            if not self._on_gpu:
                self._look()

    def pace(self, entries_left: float) -> Pace:
        """The speed of now, and the time for what is probably left; nothing before the first batch."""
        lately = self._now().since(self._marks[0])
        if not lately.entries or lately.elapsed <= 0:
            return Pace()
        seconds, share = lately.elapsed, self._share(lately)
        return Pace(
            per_second=round(lately.samples / seconds, 2),
            eta_seconds=round(entries_left * seconds / lately.entries, 1) if entries_left > 0 else None,
            views_per_second=round(lately.images / seconds, 2),
            encodings_per_second=round((lately.images + lately.captions) / seconds, 2),
            # Above 1 it is the peak that is wrong: the machine was slower when it was measured.
            share_of_peak=round(share, 4) if share is not None and share <= 1 else None,
            bottleneck=self._bottleneck(lately),
        )

    def speed(self) -> tuple[float, Pace]:
        """Entries a second of now, and the pace but for what is left; 0 before the first batch."""
        lately = self._now().since(self._marks[0])
        return (lately.entries / lately.elapsed if lately.elapsed > 0 else 0.0), self.pace(0)

    def _bottleneck(self, lately: _Totals) -> Stage:
        if lately.decoding > WAITS_FOR_DECODING * lately.elapsed:
            return "decoding"
        # What a GPU is at is not known without waiting for it.
        return "views" if lately.views > lately.model and not self._on_gpu else "model"

    def _share(self, lately: _Totals) -> float | None:
        operations = {name: getattr(lately, name) for name in NUMBER_FORMATS if getattr(lately, name)}
        if not self._all_counted or not operations or not operations.keys() <= self._peaks.keys():
            return None
        return float(sum(count / self._peaks[name] for name, count in operations.items()) / lately.elapsed)

    def _look(self) -> None:
        """Measure the peak in each number format; the best of all times counts."""
        formats = {each.number_format: each for each in self._models if each.operations is not None}
        for name, model in formats.items():
            try:
                peak = matmul_flops(model.device, model.dtype, SECONDS_FOR_PEAK)
            except RuntimeError:  # no memory to spare: the run has better use for what there is
                continue
            self._peaks[name] = max(peak, self._peaks.get(name, 0.0))
            if model.device.type == "cuda":
                # What the run takes of its GPU at most is told beside these figures.
                torch.cuda.reset_peak_memory_stats(model.device)

    def _now(self) -> _Totals:
        """The totals, with the time of the shard that is being encoded."""
        since = 0.0 if self._began is None else time.perf_counter() - self._began
        return self._totals._replace(elapsed=self._totals.elapsed + since)
