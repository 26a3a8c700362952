"""The Runs pane: runs that are done, that go on, that die; and its keys."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from tui_mia.board import BoardRun
from tui_mia.runs import Launched, Note, Progress, RunDirectory
from tui_mia.runs.directory import runs_folder
from tui_mia.runs.events import encode_event
from tui_mia.runs.identity import inputs_digest
from tui_mia.spec import AuditSpec, load_spec
from tui_mia.store import list_runs
from tui_mia.store.connect import create_if_missing
from tui_mia.tui.app import TuiMia
from tui_mia.tui.dialogs import Confirm
from tui_mia.tui.panes.runs.pane import RunsPane
from tui_mia.tui.panes.runs.run_list import RunList

MakeApp = Callable[..., TuiMia]
Bring = Callable[..., Awaitable[Any]]
WaitUntil = Callable[..., Awaitable[None]]
ScreenText = Callable[[Pilot[int]], str]

SIZES = [(80, 24), (160, 50)]
RECORDED = Path(__file__).parent / "recorded" / "events.jsonl"
HOLD_DATABASE = """
import duckdb, sys
connection = duckdb.connect(sys.argv[1])
print("held", flush=True)
sys.stdin.readline()
"""
HOLD = "import sys; print('ready', flush=True); sys.stdin.readline()"


@pytest.fixture
def spec(small_audit: Path, tmp_path: Path) -> AuditSpec:
    return load_spec(small_audit, {"output.database": str(tmp_path / "audits.duckdb")})


def with_seed(spec: AuditSpec, seed: int) -> AuditSpec:
    return spec.model_copy(update={"run": spec.run.model_copy(update={"seed": seed})})


class StandIn:
    """A process in the place of a run's worker, which says what a test has it say."""

    def __init__(self, directory: RunDirectory) -> None:
        self.directory = directory
        with directory.claim() as pid_file:
            assert pid_file is not None
            directory.append(Launched())
            self.process = subprocess.Popen(
                [sys.executable, "-c", HOLD],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,
                pass_fds=(pid_file.fileno(),),
            )
            pid_file.write(str(self.process.pid).encode())
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    @property
    def run_id(self) -> str:
        return self.directory.run_id

    def say(self, text: str) -> None:
        with self.directory.events_path.open("a") as file:
            file.write(text)

    def die(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def stand_in(spec: AuditSpec) -> Iterator[StandIn]:
    found = StandIn(RunDirectory.create(spec, inputs_digest(spec)))
    yield found
    found.die()


@pytest.fixture
def finished(finished_run: Any, tmp_path: Path) -> str:
    """A finished run in a database of the test's own; its id."""
    shutil.copy(finished_run.database, tmp_path / "audits.duckdb")
    shutil.copytree(runs_folder(finished_run.database), runs_folder(tmp_path / "audits.duckdb"))
    return str(finished_run.run_id)


def opened_panes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The panes that are asked for from now on; none of them opens."""
    opened: list[str] = []
    monkeypatch.setattr(TuiMia, "open_pane", lambda self, name: opened.append(name))
    return opened


def runs_pane(app: TuiMia) -> RunsPane:
    return app.query_one(RunsPane)


def chosen(app: TuiMia) -> BoardRun | None:
    return app.query_one(RunList).chosen


@pytest.mark.parametrize("size", SIZES)
async def test_an_empty_folder_says_what_to_do_and_its_keys_work(
    make_app: MakeApp,
    bring: Bring,
    wait_until: WaitUntil,
    screen_text: ScreenText,
    monkeypatch: pytest.MonkeyPatch,
    size: tuple[int, int],
) -> None:
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await bring(pilot, "runs")
        await wait_until(pilot, lambda: "No run yet in audits.duckdb" in screen_text(pilot))
        assert "tui-mia demo" in screen_text(pilot)
        assert "x Cancel" not in screen_text(pilot)
        opened = opened_panes(monkeypatch)
        await pilot.press("n")
        await wait_until(pilot, lambda: opened == ["audit"])


@pytest.mark.parametrize("size", SIZES)
async def test_a_finished_run_is_shown_with_its_figures(
    make_app: MakeApp,
    bring: Bring,
    wait_until: WaitUntil,
    screen_text: ScreenText,
    finished: str,
    size: tuple[int, int],
) -> None:
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await bring(pilot, "runs")
        await wait_until(pilot, lambda: "verdict inconclusive" in screen_text(pilot))
        text = screen_text(pilot)
        assert f"> ✓ done       {finished}" in text
        # At 80 columns the verdict takes the place of the pools, which are in the summary below.
        assert ("70/70/90" if size[0] > 80 else "wsa_rich of 7 shift") in text
        assert " of 7" in text
        assert "wsa_rich" in text
        assert "70 candidates, 90 general, 70 nonmembers" in text
        assert isinstance(app.focused, RunList)
        assert all(key in text for key in ("⏎ Results", "n New audit", "l Log", "q Quit"))
        assert "x Cancel" not in text
        assert "r Resume" not in text


async def test_keys_hand_the_chosen_run_to_other_panes(
    make_app: MakeApp, bring: Bring, wait_until: WaitUntil, finished: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, object]] = []
    for name in ("show_results", "show_plots", "edit_spec"):
        monkeypatch.setattr(TuiMia, name, lambda self, what, name=name: asked.append((name, what)))
    app = make_app()
    async with app.run_test() as pilot:
        await bring(pilot, "runs")
        await wait_until(pilot, lambda: chosen(app))
        run = chosen(app)
        assert run is not None
        await pilot.press("enter", "v", "p", "e", "E", "y")
        await wait_until(pilot, lambda: len(asked) == 5)
        assert asked == [
            ("show_results", finished),
            ("show_results", finished),
            ("show_plots", [finished]),
            ("edit_spec", run.spec),
            ("edit_spec", run.spec),
        ]
        await wait_until(pilot, lambda: app.clipboard == finished)
        await pilot.click(RunList, offset=(5, 0))
        assert len(asked) == 5
        await pilot.double_click(RunList, offset=(5, 0))
        await wait_until(pilot, lambda: len(asked) == 6)


async def test_the_log_takes_the_place_of_the_summary_and_back(
    make_app: MakeApp,
    bring: Bring,
    wait_until: WaitUntil,
    screen_text: ScreenText,
    finished: str,
    tmp_path: Path,
) -> None:
    log = runs_folder(tmp_path / "audits.duckdb") / finished / "worker.log"
    log.write_text("".join(f"line {number}\n" for number in range(100)) + "\x1b[31m[/x] the end\n")
    app = make_app()
    async with app.run_test() as pilot:
        await bring(pilot, "runs")
        await wait_until(pilot, lambda: "verdict inconclusive" in screen_text(pilot))
        await pilot.press("l")
        await wait_until(pilot, lambda: r"\x1b[31m[/x] the end" in screen_text(pilot))
        assert "bal. acc." not in screen_text(pilot)
        await pilot.press("l")
        await wait_until(pilot, lambda: "verdict inconclusive" in screen_text(pilot))


async def test_a_run_is_deleted_only_after_a_question(
    make_app: MakeApp,
    bring: Bring,
    wait_until: WaitUntil,
    screen_text: ScreenText,
    finished: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await bring(pilot, "runs")
        await wait_until(pilot, lambda: chosen(app))
        await pilot.press("d")
        await wait_until(pilot, lambda: isinstance(app.screen, Confirm))
        assert finished in screen_text(pilot)
        await pilot.press("enter")
        await wait_until(pilot, lambda: not isinstance(app.screen, Confirm))
        assert len(list_runs(tmp_path / "audits.duckdb")) == 1
        await pilot.press("d")
        await wait_until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("y")
        await wait_until(pilot, lambda: "No run yet" in screen_text(pilot))
        assert list_runs(tmp_path / "audits.duckdb") == []
        opened = opened_panes(monkeypatch)
        await pilot.press("n")
        await wait_until(pilot, lambda: opened == ["audit"])


@pytest.mark.parametrize("size", SIZES)
async def test_a_recorded_run_is_watched_to_its_end(
    make_app: MakeApp,
    bring: Bring,
    wait_until: WaitUntil,
    screen_text: ScreenText,
    stand_in: StandIn,
    size: tuple[int, int],
) -> None:
    lines = [line for line in RECORDED.read_text().splitlines(keepends=True) if '"launched"' not in line]
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await bring(pilot, "runs")
        await wait_until(pilot, lambda: f"● starting   {stand_in.run_id}" in screen_text(pilot))
        assert "x Cancel" in screen_text(pilot)
        assert "r Resume" not in screen_text(pilot)
        for line in lines[:-1]:
            stand_in.say(line)
        await wait_until(pilot, lambda: "skipped wsa: needs known non-members" in screen_text(pilot))
        text = screen_text(pilot)
        assert f"● running    {stand_in.run_id}" in text
        assert "save 0%" in text
        assert "rejects 3 pairs could not be used" in text
        assert "encode 4." in text
        assert "general: 100 left out" in text
        stand_in.say(lines[-1])
        stand_in.die()
        await wait_until(pilot, lambda: f"✓ done       {stand_in.run_id}" in screen_text(pilot))
        assert any("is done" in line.message for line in app.journal)


async def test_progress_is_shown_with_rate_and_time_left(
    make_app: MakeApp, bring: Bring, wait_until: WaitUntil, screen_text: ScreenText, stand_in: StandIn
) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await bring(pilot, "runs")
        progress = Progress("encode", 0.5, 1200, 2, 60.0, 20.0, "candidates", "cpu", 2**31)
        stand_in.say(encode_event(progress) + "\n")
        await wait_until(pilot, lambda: "encode 50% 20s left" in screen_text(pilot))
        text = screen_text(pilot)
        assert "1,200 at 60/s, 2 rejected, 20s left, in candidates" in text
        assert "████" in text
        assert "memory  2.0 GB" in text


async def test_a_worker_that_dies_is_a_message_with_the_end_of_its_log(
    make_app: MakeApp, bring: Bring, wait_until: WaitUntil, screen_text: ScreenText, stand_in: StandIn
) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await bring(pilot, "runs")
        await wait_until(pilot, lambda: "● starting" in screen_text(pilot))
        stand_in.directory.log_path.write_text("CUDA error: out of memory\n")
        stand_in.die()
        await wait_until(pilot, lambda: f"✗ cut off    {stand_in.run_id}" in screen_text(pilot))
        await wait_until(pilot, lambda: "error   CUDA error: out of memory" in screen_text(pilot))
        assert "r Resume" in screen_text(pilot)


async def test_a_real_run_is_cancelled_at_once_resumed_and_cancelled_again(
    make_app: MakeApp, bring: Bring, wait_until: WaitUntil, screen_text: ScreenText, spec: AuditSpec
) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await bring(pilot, "runs")
        run_id = await app.board.submit(spec)
        waiting = await app.board.submit(with_seed(spec, 1))
        await wait_until(pilot, lambda: "waits for cpu" in screen_text(pilot))
        await pilot.press("G")
        await wait_until(pilot, lambda: (run := chosen(app)) and run.run_id == run_id)
        begin = time.monotonic()
        await pilot.press("x", "x")
        await wait_until(pilot, lambda: f"- cancelled  {run_id}" in screen_text(pilot))
        assert time.monotonic() - begin < 5  # 2.5 on a machine that has nothing else to do
        # Its device is free for the one that waited.
        await wait_until(pilot, lambda: f"● starting   {waiting}" in screen_text(pilot))
        await pilot.press("r")
        await wait_until(pilot, lambda: f"○ queued     {run_id}" in screen_text(pilot))
        assert "number 1" not in screen_text(pilot) or "number 1 in the queue" in screen_text(pilot)
        await pilot.press("x")
        await wait_until(pilot, lambda: f"- cancelled  {run_id}" in screen_text(pilot))
        await app.board.cancel_all()


async def test_what_the_board_refuses_is_said(
    make_app: MakeApp, bring: Bring, wait_until: WaitUntil, stand_in: StandIn
) -> None:
    stand_in.directory.inputs_path.write_text("as they were")
    stand_in.die()
    app = make_app()
    async with app.run_test() as pilot:
        await bring(pilot, "runs")
        await wait_until(pilot, lambda: (run := chosen(app)) and run.status == "cut off")
        await pilot.press("r")
        await wait_until(pilot, lambda: "input files have changed" in app.journal[-1].message)


async def test_a_database_that_is_held_is_told_and_the_run_is_saved_later(
    make_app: MakeApp,
    bring: Bring,
    wait_until: WaitUntil,
    screen_text: ScreenText,
    finished: str,
    tmp_path: Path,
) -> None:
    database = tmp_path / "audits.duckdb"
    create_if_missing(database)
    (runs_folder(database) / finished / "landed").unlink()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD_DATABASE, str(database)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    app = make_app()
    async with app.run_test() as pilot:
        await bring(pilot, "runs")
        await wait_until(pilot, lambda: "waits for database" in screen_text(pilot))
        assert app.query_one("#runs-problem", Static).display
        assert "is held by process" in screen_text(pilot)
        await asyncio.to_thread(holder.communicate, "\n")
        await pilot.press("R")
        await wait_until(pilot, lambda: f"✓ done       {finished}" in screen_text(pilot))
        await wait_until(pilot, lambda: not app.query_one("#runs-problem", Static).display)


async def test_vim_keys_move_and_the_chosen_run_stays_chosen_when_another_comes(
    make_app: MakeApp, bring: Bring, wait_until: WaitUntil, spec: AuditSpec
) -> None:
    for seed in range(30):
        RunDirectory.create(with_seed(spec, seed), "")
    app = make_app()
    async with app.run_test() as pilot:
        await bring(pilot, "runs")
        await wait_until(pilot, lambda: chosen(app))
        ids = [run.run_id for run in app.board.runs()]
        where = []
        for key in ("j", "j", "k", "G", "ctrl+u", "g", "ctrl+d", "down", "up", "end", "home", "j"):
            await pilot.press(key)
            run = chosen(app)
            assert run is not None
            where.append(ids.index(run.run_id))
        assert where[:4] == [1, 2, 1, 29]
        assert 20 < where[4] < 25
        assert where[5] == 0
        assert where[6] == 29 - where[4]
        assert where[7:] == [where[6] + 1, where[6], 29, 0, 1]
        new = RunDirectory.create(with_seed(spec, 99), "")
        await app.board.refresh()
        await wait_until(pilot, lambda: app.board.runs()[0].run_id == new.run_id)
        run = chosen(app)
        assert run is not None
        assert run.run_id == ids[1]


async def test_whoever_comes_back_to_a_new_run_sees_that_one(
    make_app: MakeApp, bring: Bring, wait_until: WaitUntil, spec: AuditSpec, finished: str
) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await bring(pilot, "runs")
        await wait_until(pilot, lambda: chosen(app))
        await bring(pilot, "log")
        new = RunDirectory.create(with_seed(spec, 99), "")
        await app.board.refresh()
        await bring(pilot, "runs")
        await wait_until(pilot, lambda: (run := chosen(app)) and run.run_id == new.run_id)


async def test_nothing_is_drawn_when_nothing_has_changed(
    make_app: MakeApp, bring: Bring, wait_until: WaitUntil, screen_text: ScreenText, finished: str
) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await bring(pilot, "runs")
        await wait_until(pilot, lambda: "verdict inconclusive" in screen_text(pilot))
        pane = runs_pane(app)
        drawn: list[object] = []
        pane._show_detail = lambda: drawn.append(1)  # type: ignore[method-assign]
        for _ in range(20):
            pane._pull()
            await pilot.pause()
        assert drawn == []


async def test_a_storm_of_events_leaves_keys_their_turn(
    make_app: MakeApp, bring: Bring, wait_until: WaitUntil, finished: str, stand_in: StandIn
) -> None:
    lines = 40_000
    storm = "".join(
        encode_event(Note(f"pair {n}") if n % 2 else Progress("encode", n / lines, n, n)) + "\n"
        for n in range(lines)
    )
    app = make_app()
    async with app.run_test() as pilot:
        await bring(pilot, "runs")
        await wait_until(pilot, lambda: chosen(app) and len(app.board.runs()) == 2)
        run_list = app.query_one(RunList)
        stand_in.say(storm)

        def is_over() -> bool:
            run = app.board.run(stand_in.run_id)
            return run is not None and run.state is not None and run.state.rejects == lines - 2

        longest, keys = 0.0, 0
        while not is_over():
            before = run_list.chosen
            began = time.monotonic()
            run_list.action_move(1 if before is app.board.runs()[0] else -1)
            await asyncio.sleep(0)
            longest, keys = max(longest, time.monotonic() - began), keys + 1
            await asyncio.sleep(0.01)
        assert keys > 5
        assert longest < 0.3


async def test_hostile_text_is_shown_and_not_obeyed(
    make_app: MakeApp,
    bring: Bring,
    wait_until: WaitUntil,
    screen_text: ScreenText,
    stand_in: StandIn,
    hostile: str,
) -> None:
    stand_in.directory.log_path.write_text(hostile)
    app = make_app()
    async with app.run_test(size=(160, 50)) as pilot:
        await bring(pilot, "runs")
        stand_in.say(encode_event(Progress(hostile, 0.5, pool=hostile)) + "\n")
        stand_in.say(encode_event(Note(hostile)) + "\n")
        await wait_until(pilot, lambda: screen_text(pilot).count("PWNED") >= 3)
        assert "\x1b" not in screen_text(pilot)
        assert r"\x1b]2;PWNED" in screen_text(pilot)


async def test_of_very_many_runs_only_the_lines_on_the_screen_are_made(
    make_app: MakeApp, bring: Bring, screen_text: ScreenText
) -> None:
    runs = [BoardRun(f"run-{number:05}", "done", in_database=True) for number in range(5_000)]
    app = make_app()
    async with app.run_test() as pilot:
        pane = await bring(pilot, "runs")
        pane.remove_class("-empty")
        run_list = app.query_one(RunList)
        began = time.monotonic()
        run_list.show(runs)
        await pilot.pause()
        assert time.monotonic() - began < 2
        run_list.focus()
        run_list.action_choose_last()
        await pilot.pause()
        assert "> ✓ done       run-04999" in screen_text(pilot)
        assert "run-04990" not in screen_text(pilot)
