"""The pace of progress, and the time of phases."""

from __future__ import annotations

import errno
import io
import re
from datetime import datetime
from pathlib import Path

import pytest

from tui_mia.runs import Finished, Note, Progress, RunDirectory, ShardEncoded, Skipped, Started
from tui_mia.runs.reporter import Pace, Reporter


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


def logged(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines of the log without their times and figures of memory."""
    lines = capsys.readouterr().err.splitlines()
    assert all(datetime.strptime(line[:19], "%Y-%m-%d %H:%M:%S") for line in lines)
    return [re.sub(r", [\d,]+ MB of memory$", "", line[20:]) for line in lines]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("tui_mia.runs.reporter.time", clock)
    return clock


@pytest.fixture
def directory(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path)


A_SHARD = ShardEncoded("candidates", 3, "part-3.tar", 4.0, 100, 20, 40)


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


def test_nothing_is_said_of_the_time_left_where_parts_take_different_times(
    clock: Clock, directory: RunDirectory
) -> None:
    report = Reporter(directory)
    report.device_memory = lambda: 5
    with report.phase("attack"):
        clock.now += 10
        report.progress(0.25, 50)
    last = told(directory)[-1]
    assert (last.fraction, last.per_second, last.eta_seconds) == (0.25, None, None)
    assert last.device_memory_bytes == 5
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


def test_the_log_has_one_line_a_phase_with_what_it_took_and_its_rate(
    clock: Clock, directory: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    report = Reporter(directory)
    with report.phase("load"):
        clock.now += 1.5
    with report.phase("encode"):
        clock.now += 4
        report.progress(0.5, 60, 3, "candidates", Pace(10.0, 400.0, 2500.0))
        report.shard(A_SHARD)
        report.progress(1.0, 5100, 20, "candidates", Pace(10.0, None, 2500.0))
    assert logged(capsys) == [
        "load took 1.5 s",
        "encode took 4.0 s, 5,100 samples, 20 rejected, 80 entries encoded at 20/s, at last 2,500 views/s",
    ]


def test_a_verbose_log_has_every_shard_and_the_journal_has_them_in_any_case(
    directory: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    for verbose in (False, True):
        Reporter(directory, verbose=verbose).shard(A_SHARD)
    assert logged(capsys) == [
        "candidates 3 (part-3.tar): 4.0 s at 20/s, 100 samples, 20 rejected, 40 reused",
    ]
    shards = [event for event in directory.events() if isinstance(event, ShardEncoded)]
    assert [(shard.source, shard.reused, bool(shard.memory_bytes)) for shard in shards] == [
        ("part-3.tar", 40, True)
    ] * 2


def test_the_log_says_who_ran_what_was_noted_and_how_it_ended(
    clock: Clock, directory: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    report = Reporter(directory)
    report.tell(Started(7, {"tui-mia": "0.1", "torch": "2.6"}))
    report.tell(Note("something is odd", "warning"))
    report.tell(Skipped("wsa", "needs known non-members"))

    def fail() -> None:
        with report.phase("load"):
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    report.tell(Finished("failed", "no such file"))
    assert logged(capsys) == [
        "worker 7: tui-mia 0.1, torch 2.6",
        "warning: something is odd",
        "wsa was skipped: needs known non-members",
        "load broke off after 0.0 s",
        "failed: no such file",
    ]


class FullDisk(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_log_that_cannot_be_written_fails_no_run(
    directory: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr", FullDisk())
    with Reporter(directory).phase("load"):
        pass
    assert told(directory)
