"""A run in full, part by part, without a screen."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console, Group

from tui_mia.board import BoardRun, RunStatus
from tui_mia.runs import Launched, Loaded, Note, Phase, Progress, RunState, Skipped
from tui_mia.runs.events import DeviceProgress, read_events
from tui_mia.runs.gpu import Gpu
from tui_mia.store import AttackFigures, Figure, RunRow, RunSummary, VerdictRow
from tui_mia.tui.panes.runs.run_detail import (
    RunFacts,
    bar,
    detail_parts,
    log_parts,
    memory_words,
    phase_times,
)

RECORDED = Path(__file__).parent / "recorded" / "events.jsonl"
NOW = 1_000.0
SPEC = """
[model]
architecture = "ViT-B-32"
pretrained = "laion2b_s34b_b79k"
[pools.candidates]
source = ["a.tar"]
[pools.nonmembers]
source = ["b.tar"]
[attacks.csa]
[attacks.wsa]
"""


def a_run(status: RunStatus, state: RunState | None = None, problem: str | None = None) -> BoardRun:
    return BoardRun("run-7", status, device="cpu", spec_text=SPEC, state=state, problem=problem)


def shown(
    run: BoardRun,
    facts: RunFacts | None = None,
    gpu: Gpu | None = None,
    place: int | None = None,
    width: int = 78,
) -> str:
    return as_text(Group(*detail_parts(run, facts, NOW, gpu, place)), width)


def as_text(parts: Group, width: int = 78) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    with console.capture() as capture:
        console.print(parts)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


ENCODING = RunState.of(
    [
        Launched(time=NOW - 70),
        Progress("start", 0.0, time=NOW - 69),
        Loaded("cpu", "fp32", "a", "b", "c"),
        Progress("encode", 0.0, time=NOW - 65),
        Progress("encode", 0.25, 1200, 3, 20.0, 180.0, "general", "cpu", 2**31, time=NOW - 5),
    ]
)


def test_a_run_that_goes_on_shows_how_far_it_is_and_what_it_takes() -> None:
    assert shown(a_run("running", ENCODING)) == "\n".join(
        [
            "run     run-7: ● running, on cpu, 1m10s",
            "model   ViT-B-32 laion2b_s34b_b79k, fp32",
            "pools   candidates, nonmembers",
            "attacks csa, wsa",
            "encode  ████████████████░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░  25%",
            "        1,200 at 20/s, 3 rejected, 3m00s left, in general",
            "rejects 3 pairs could not be used",
            "times   start 4.0s  encode 1m05s…",
            "memory  2.0 GB",
        ]
    )


def test_a_run_that_encodes_shows_how_fast_and_what_it_waits_for() -> None:
    encoding = replace(
        Progress("encode", 0.25, 1_200_000, 3, 20.0, 180.0, "general", "cpu", 2**31, time=NOW),
        views_per_second=120.0,
        encodings_per_second=144.5,
        share_of_peak=0.625,
        bottleneck="views",
    )
    lines = shown(a_run("running", ENCODING.after(encoding))).splitlines()
    assert lines[5] == "        1,200,000 at 20/s, 3 rejected, 3m00s left, in general"
    assert lines[6] == "speed   views-bound, 62% of peak, 120 views/s, 144 encodings/s"
    assert lines[-1] == "memory  2.0 GB"
    devices = (DeviceProgress("cuda:0", 900, 15.0), DeviceProgress("cuda:1", 300, is_lost=True))
    lines = shown(a_run("running", ENCODING.after(replace(encoding, devices=devices)))).splitlines()
    assert lines[7:9] == ["devices cuda:0: 900 at 15/s", "        cuda:1: 300, then lost"]


def test_below_a_run_that_goes_on_is_the_end_of_its_log() -> None:
    state = ENCODING.after(Note("waiting for cpu: another run is using it", "warning", time=NOW))
    text = shown(a_run("running", state), RunFacts("run-7", log=[f"line {n}" for n in range(20)]))
    assert "log     line 14" in text
    assert text.endswith("        line 19")
    whole = as_text(Group(*log_parts(a_run("running", state), RunFacts("run-7", log=["last"]))))
    assert "warning: waiting for cpu" in whole
    assert whole.endswith("last")
    assert "printed nothing" in as_text(Group(*log_parts(a_run("starting"), None)))


def test_a_run_whose_worker_has_said_nothing_yet_is_starting() -> None:
    assert "its worker is starting" in shown(a_run("starting", RunState()))


def test_a_run_that_cannot_be_saved_says_why() -> None:
    text = shown(a_run("saving", ENCODING, "not in the database yet: held by process 7"))
    assert "problem not in the database yet: held by process 7" in text
    assert "1m10s" not in text.splitlines()[0]


def test_a_queued_run_says_what_it_waits_for_and_how_to_take_it_out() -> None:
    text = shown(a_run("queued"), place=2)
    assert text.splitlines()[0] == "run     run-7: ○ queued, waits for cpu, number 2 in the queue"
    assert "x takes it out of the queue" in text


FIGURES = AttackFigures(0.75, 0.7, {"0.1": 0.5, "0.01": 0.2, "0.001": None}, {"lambda": 1.5})
FIGURES = replace(FIGURES, figures={"auc": Figure(0.75, 0.701, 0.799, 70)}, verdict=VerdictRow("leak"))
ROW = RunRow(
    run_id="run-7",
    status="done",
    finished_at=datetime(2026, 11, 23, 17, 11, tzinfo=UTC),
    architecture="ViT-B-32",
    precision="exact (fp32)",
    device="cpu",
    seconds={"start": 4.0, "encode": 75.0},
    skipped={"loss": "needs known non-members"},
)


def summary(row: RunRow, verdict: VerdictRow | None = None, **attacks: AttackFigures) -> RunFacts:
    found = RunSummary(Path("a.duckdb"), row, {"candidates": 70}, 0, [], attacks, verdict)
    return RunFacts("run-7", found)


def test_a_finished_run_shows_its_figures_in_the_words_of_the_command_line() -> None:
    lines = shown(a_run("done"), summary(ROW, csa=FIGURES)).splitlines()
    assert lines[0].startswith("run     run-7: ✓ done, ended 2026-11-23 ")
    assert [line.rstrip() for line in lines[1:]] == [
        "model   ViT-B-32, exact (fp32), on cpu",
        "pools   70 candidates; 0 rejected",
        "attack    AUC         95 %  TPR@10%  TPR@1%  TPR@0.1%  verdict",
        "csa     0.750  0.701-0.799    0.500   0.200         -  leak",
        "-       too few labelled candidates: fewer than 10 false positives expected",
        "fit     csa: lambda 1.5",
        "skipped loss: needs known non-members",
        "times   start 4.0s  encode 1m15s",
    ]


def test_without_labels_it_shows_how_many_p_values_are_low() -> None:
    figures = AttackFigures(compared=70, low_p_values={"0.05": 12, "0.01": 4})
    text = shown(a_run("done"), summary(ROW, csa=figures))
    assert "p <= 0.05  p <= 0.01" in text
    assert "of non-members" in text


def test_the_verdict_and_why_are_on_top_and_long_reasons_are_wrapped() -> None:
    verdict = VerdictRow("inconclusive: distribution shift", ["csa: " + "as high as that " * 8, "Second."])
    lines = shown(a_run("done"), summary(ROW, verdict, csa=FIGURES), width=60).splitlines()
    assert lines[0] == "verdict inconclusive: distribution shift"
    assert lines[1].startswith("        csa: as high")
    assert max(map(len, lines)) <= 60
    words = " ".join(" ".join(lines).split())
    assert "as high as that " * 8 + "Second. run run-7" in words


@pytest.mark.parametrize("width", [44, 50, 56, 62, 78])
def test_a_narrow_screen_has_fewer_columns_and_every_figure_whole(width: int) -> None:
    text = shown(a_run("done"), summary(ROW, csa=FIGURES, aea_standardised=FIGURES), width=width)
    (line,) = [line for line in text.splitlines() if line.startswith("aea_standardised")]
    assert line.split()[1] == "0.750"
    assert line.split()[-1] == "leak"
    assert "…" not in text


def test_a_run_that_failed_says_why_and_that_it_can_go_on() -> None:
    row = replace(ROW, status="failed", error="out of memory\nof the GPU")
    text = shown(a_run("failed"), summary(row))
    assert "error   out of memory\nerror   of the GPU" in text
    assert "r goes on with what it had encoded" in text


def test_a_run_that_is_not_in_the_database_says_what_is_known() -> None:
    problem = "its worker ended without a word; the end of its log:\nKilled"
    text = shown(a_run("cut off", ENCODING, problem))
    assert "error   its worker ended without a word; the end of its log:\n        Killed" in text
    assert "times   start 4.0s  encode 1m00s" in text
    assert "pools   candidates, nonmembers" in text
    locked = shown(a_run("done"), RunFacts("run-7", problem="held by process 7"))
    assert "problem held by process 7" in locked


def test_what_a_real_run_said_is_shown_at_each_of_its_moments() -> None:
    events = read_events(RECORDED)
    for number in range(len(events)):
        text = shown(a_run("running", RunState.of(events[: number + 1])), width=60)
        assert "run-7: ● running" in text
    assert "skipped wsa: needs known non-members" in text
    assert "rejects 3 pairs could not be used" in text


@pytest.mark.parametrize(("fraction", "text"), [(0, "░░░░"), (0.5, "██░░"), (1, "████"), (7, "████")])
def test_a_bar_can_be_read_without_colours(fraction: float, text: str) -> None:
    assert bar(fraction, 4) == text


def test_the_phase_that_goes_on_is_timed_by_the_clock() -> None:
    phases = (Phase("start", 0.0, 4.0), Phase("encode", 4.0, 90.0))
    assert phase_times(phases, 100.0) == ["start 4.0s", "encode 1m36s…"]
    assert phase_times(phases, None) == ["start 4.0s", "encode 1m26s"]
    assert phase_times(phases, 1.0) == ["start 4.0s", "encode 0.0s…"]


@pytest.mark.parametrize(
    ("progress", "gpu", "words"),
    [
        (Progress("a", 0), None, "not known yet"),
        (Progress("a", 0, memory_bytes=45 * 2**20), None, "45 MB"),
        (
            Progress("a", 0, memory_bytes=2**30, device_memory_bytes=3 * 2**30),
            Gpu(0, "GPU-1", "H100", 10 * 2**30, 80 * 2**30, 0.97),
            "1.0 GB; 3.0 GB of its GPU at most; H100, 10.0 of 80 GB in use, 97% busy",
        ),
        (Progress("a", 0, memory_bytes=2**30), Gpu(0, "GPU-1", "H100"), "1.0 GB; H100"),
    ],
)
def test_memory_is_told_as_far_as_it_is_known(progress: Progress, gpu: Gpu | None, words: str) -> None:
    assert memory_words(progress, gpu) == words


def test_text_from_outside_is_shown_and_not_obeyed() -> None:
    hostile = "[/x] [bold]\x1b]2;PWNED\x07\u202e"
    state = ENCODING.after(Note(hostile)).after(Skipped(hostile, hostile))
    state = state.after(Progress(hostile, 0.5, pool=hostile))
    run = BoardRun("run", "running", device=hostile, spec_text="[model", state=state, problem=hostile)
    facts = RunFacts("run", log=[hostile])
    for text in (shown(run, facts), shown(replace(run, status="cut off"), facts)):
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "[bold]" in text
    assert "\x1b" not in as_text(Group(*log_parts(run, facts)))
