"""What is told of the speed of encoding, by a clock that the tests turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from tui_mia.encoder import Meter, TargetModel, meter
from tui_mia.encoder.encode import encode_shard
from tui_mia.encoder.meter import WINDOW_SECONDS, Work
from tui_mia.pools import Pair
from tui_mia.runs.reporter import Pace

PEAK = 1e9


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("tui_mia.encoder.meter.time", clock)
    return clock


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What is measured of a machine in turn: the last one again and again, operations a second."""
    rates = [PEAK]
    looks = iter(range(10**6))
    monkeypatch.setattr(
        meter, "matmul_flops", lambda device, dtype, seconds: rates[min(next(looks), len(rates) - 1)]
    )
    return rates


def test_rates_are_those_of_the_time_that_encoding_took(clock: Clock, clip: TargetModel) -> None:
    found = Meter([clip])
    clock.now += 100
    with found.shard():
        clock.now += 2
        found.worked(clip, Work(images=24, captions=6, tokens=60))
        found.encoded(8, 2)
        pace = found.pace(entries_left=20)
    assert (pace.per_second, pace.views_per_second, pace.encodings_per_second) == (4.0, 12.0, 15.0)
    assert pace.eta_seconds == 4.0


def test_before_the_first_batch_nothing_is_known(clock: Clock, clip: TargetModel) -> None:
    found = Meter([clip])
    assert found.pace(10) == Pace()
    with found.shard():
        clock.now += 5
        assert found.pace(10) == Pace()


def test_the_time_of_a_shard_that_was_found_encoded_does_not_count(clock: Clock) -> None:
    found = Meter()
    with found.shard():
        clock.now += 1
        found.encoded(10, 0)
    with found.shard():
        clock.now += 1000
    with found.shard():
        clock.now += 1
        found.encoded(10, 0)
    assert found.pace(0) == Pace(10.0, None, 0.0, 0.0, None, "model")


def test_the_share_of_the_peak_is_of_images_and_of_the_tokens_that_captions_run_for(
    clock: Clock, clip: TargetModel
) -> None:
    assert clip.operations is not None
    found = Meter([clip])
    with found.shard():
        clock.now += 1
        found.worked(clip, Work(images=50, captions=2, tokens=clip.operations.context_length))
        found.encoded(2, 0)
        operations = 50 * clip.operations.image + clip.operations.caption
        assert found.pace(0).share_of_peak == pytest.approx(operations / PEAK, abs=1e-4)


def test_a_peak_that_cannot_be_right_is_not_told_and_soon_measured_again(
    clock: Clock, clip: TargetModel, machine: list[float]
) -> None:
    """A machine that was slow at the start does not make the models seem to use all of it."""
    assert clip.operations is not None
    operations = clip.operations.image
    machine[:] = [0.5 * operations, 2.0 * operations, 0.1 * operations]
    found = Meter([clip])
    told = []
    with found.shard():
        for _ in range(60):
            clock.now += 1
            found.worked(clip, Work(images=1))
            found.encoded(1, 0)
            told.append(found.pace(0).share_of_peak)
    # Twice what was measured at first; at a later look the machine is slow again, which changes nothing.
    assert told == [None] * 4 + [0.5] * 56


def test_a_model_that_could_not_be_counted_has_no_share_but_a_speed(clock: Clock, clip: TargetModel) -> None:
    uncounted = replace(clip, operations=None)
    found = Meter([clip, uncounted])
    with found.shard():
        clock.now += 1
        for model in (clip, uncounted):
            found.worked(model, Work(images=5))
        found.encoded(5, 0)
        assert found.pace(0).share_of_peak is None
        assert found.pace(0).views_per_second == 10.0


def test_a_device_without_memory_for_the_measure_has_no_share(
    clock: Clock, clip: TargetModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> float:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(meter, "matmul_flops", fail)
    found = Meter([clip])
    with found.shard():
        clock.now += 1
        found.worked(clip, Work(images=5))
        found.encoded(5, 0)
        assert found.pace(0).share_of_peak is None


@pytest.mark.parametrize(
    ("decoding", "views", "model", "slowest"),
    [
        (0.1, 0.3, 0.6, "model"),
        (0.1, 0.6, 0.3, "views"),
        (0.4, 0.1, 0.5, "decoding"),
        (0.4, 0.5, 0.1, "decoding"),
    ],
)
def test_the_bottleneck_is_decoding_where_it_is_waited_for_or_else_what_takes_longer(
    decoding: float, views: float, model: float, slowest: str, clock: Clock
) -> None:
    found = Meter()
    with found.shard():
        for stage, seconds in (("decoding", decoding), ("views", views), ("model", model)):
            with found.stage(stage):  # type: ignore[arg-type]
                clock.now += seconds
        found.encoded(1, 0)
        assert found.pace(0).bottleneck == slowest


def test_of_a_gpu_it_is_not_told_what_it_is_at(clock: Clock, clip: TargetModel) -> None:
    """What the views seem to take is the time that it takes to ask for them."""
    found = Meter()
    with found.shard():
        with found.stage("views"):
            clock.now += 1
        found.worked(replace(clip, device=torch.device("cuda:0")), Work(images=1))
        found.encoded(1, 0)
        assert found.pace(0).bottleneck == "model"


def test_the_time_until_a_batch_is_there_is_that_of_decoding(clock: Clock) -> None:
    def slow() -> object:
        for number in range(3):
            clock.now += 3
            yield [number]

    found = Meter()
    with found.shard():
        for batch in found.waiting(slow()):  # type: ignore[arg-type, var-annotated]
            clock.now += 1
            found.encoded(len(batch), 0)
    assert found.pace(0).bottleneck == "decoding"
    assert found.pace(0).per_second == 0.25


def test_a_speed_is_that_of_the_last_minute(clock: Clock) -> None:
    found = Meter()
    with found.shard():
        for _ in range(100):
            clock.now += 1
            found.encoded(1000, 0)
        for _ in range(int(WINDOW_SECONDS)):
            clock.now += 1
            found.encoded(10, 0)
    assert found.pace(100).per_second == 10.0
    assert found.pace(100).eta_seconds == 10.0


def test_batches_that_take_longer_than_the_window_still_have_a_speed(clock: Clock) -> None:
    found = Meter()
    with found.shard():
        for samples in (10, 20, 40):
            clock.now += 3 * WINDOW_SECONDS
            found.encoded(samples, 0)
            assert found.pace(0).per_second == round(samples / (3 * WINDOW_SECONDS), 2)


def test_a_shard_tells_the_meter_all_that_its_models_do(
    clip: TargetModel,
    siglip: TargetModel,
    make_pairs: Callable[..., list[Pair]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[tuple[TargetModel, Work]] = []
    monkeypatch.setattr(Meter, "worked", lambda self, model, work: told.append((model, work)))
    batches: list[tuple[int, int]] = []
    monkeypatch.setattr(Meter, "encoded", lambda self, *batch: batches.append(batch))
    pairs = make_pairs(12)
    encode_shard(pairs, clip, 2, 0, 4, reference=siglip, meter=Meter())
    assert batches == [(4, 0)] * 3
    for model in (clip, siglip):
        work = sum((work for worked, work in told if worked is model), Work())
        assert (work.images, work.captions) == (36, 4)
        whole = 4 * model.operations.context_length if model.operations else 0
        # A causal tower runs to the end of a caption, any other over the whole context.
        assert work.tokens < whole if model is clip else work.tokens == whole
