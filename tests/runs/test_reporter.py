"""The pace of progress, and the time of phases."""

from __future__ import annotations

from pathlib import Path

import pytest

from tui_mia.runs import Progress, RunDirectory
from tui_mia.runs.reporter import Pace, Reporter


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("tui_mia.runs.reporter.time", clock)
    return clock


@pytest.fixture
def directory(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path)


def told(directory: RunDirectory) -> list[Progress]:
    return [event for event in directory.events() if isinstance(event, Progress)]


def test_a_phase_is_told_at_its_start_at_a_pace_and_at_its_end(clock: Clock, directory: RunDirectory) -> None:
    report = Reporter(directory)
    with report.phase("encode"):
        for step in range(1, 101):
            clock.now += 0.1
            report.progress(step / 100, step, 0, "candidates")
    found = told(directory)
    assert found[0].fraction == 0
    assert (found[-1].fraction, found[-1].samples) == (1, 100)
    assert 15 <= len(found) <= 25
    assert report.seconds == {"encode": 10.0}


def test_a_full_bar_does_not_flood_whoever_looks_on(clock: Clock, directory: RunDirectory) -> None:
    report = Reporter(directory)
    with report.phase("encode"):
        for samples in range(1000):
            clock.now += 0.001
            report.progress(1.0, samples)
    found = told(directory)
    assert len(found) < 10
    assert found[-1].samples == 999


def test_speed_and_time_left_follow_from_what_was_done(clock: Clock, directory: RunDirectory) -> None:
    report = Reporter(directory)
    report.device_memory = lambda: 5
    with report.phase("encode"):
        clock.now += 10
        report.progress(0.25, 50)
    last = told(directory)[-1]
    assert (last.per_second, last.eta_seconds, last.device_memory_bytes) == (5.0, 30.0, 5)
    assert last.memory_bytes is not None
    assert last.memory_bytes > 2**20


def test_a_phase_that_fails_is_timed_too(clock: Clock, directory: RunDirectory) -> None:
    report = Reporter(directory)

    def fail() -> None:
        with report.phase("load"):
            clock.now += 2
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert report.seconds == {"load": 2.0}


def test_a_pace_that_is_told_is_passed_on_as_it_is(clock: Clock, directory: RunDirectory) -> None:
    """A phase that found half of its work done has not done it in no time."""
    report = Reporter(directory)
    with report.phase("encode"):
        clock.now += 1
        report.progress(0.5, 5000, 3, "candidates", Pace())
        clock.now += 1
        report.progress(0.6, 6000, 3, "candidates", Pace(10.0, 400.0, 50.0, 60.0, 0.25, "views"))
    unknown, known = told(directory)[1:]
    assert (unknown.samples, unknown.per_second, unknown.eta_seconds) == (5000, None, None)
    assert (known.per_second, known.eta_seconds) == (10.0, 400.0)
    assert (known.views_per_second, known.encodings_per_second) == (50.0, 60.0)
    assert (known.share_of_peak, known.bottleneck) == (0.25, "views")
