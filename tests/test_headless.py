"""A run from a terminal: cancelled, resumed, and landed late."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tui_mia import headless
from tui_mia.display import choose_display
from tui_mia.display.progress import QuietDisplay
from tui_mia.exit_codes import ExitCode
from tui_mia.headless import open_again
from tui_mia.landing import land, land_left_behind, unfinished
from tui_mia.runs import Finished, Launched, RunDirectory, RunDirectoryError, RunState
from tui_mia.runs.directory import runs_folder
from tui_mia.settings import settings_path
from tui_mia.store import DatabaseLocked, list_runs, query, summarise
from tui_mia.store.schema import TABLES

DEADLINE_SECONDS = 60

# The terminal that a session leader opens first becomes its own: Ctrl+C in it is a SIGINT to what runs there.
IN_A_TERMINAL = """
import os, sys
terminal = os.open(sys.argv[1], os.O_RDWR)
for descriptor in (0, 2):
    os.dup2(terminal, descriptor)
os.execv(sys.executable, [sys.executable, "-m", "tui_mia", *sys.argv[2:]])
"""


class Terminal:
    """A command in a terminal of its own; what it shows there is kept, and its stdout apart from it."""

    def __init__(self, *arguments: str) -> None:
        self._ours, theirs = pty.openpty()
        environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", IN_A_TERMINAL, os.ttyname(theirs), *arguments],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=environment,
        )
        self.shown = b""
        self._theirs = theirs
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def press_control_c(self) -> None:
        os.write(self._ours, b"\x03")

    def close(self) -> str:
        """What it printed on stdout, once it has ended."""
        try:
            printed = self.process.communicate(timeout=DEADLINE_SECONDS)[0]
        finally:
            self.process.kill()
            os.close(self._theirs)
            self._reader.join(DEADLINE_SECONDS)
            os.close(self._ours)
        return printed

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # nobody holds the other end any more
            while read := os.read(self._ours, 65536):
                self.shown += read


def wait_for(condition: Any) -> None:
    """Look again and again, up to a deadline."""
    waiting, deadline = threading.Event(), time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        waiting.wait(0.01)


@pytest.fixture
def large_audit(tmp_path: Path, world: Path) -> list[str]:
    """The arguments of an audit of some seconds, in three shards."""
    spec = tmp_path / "audit.toml"
    spec.write_text(
        f'[model]\narchitecture = "local-dir:{world}/models/target"\n[pools.candidates]\n'
        f'source = ["{world}/nonmembers.tar", "{world}/general.tar", "{world}/candidates.tar"]\n'
        "limit = 1100\n[attacks.csa]\n[run]\nbatch_size = 16\n"
        f'[output]\ndatabase = "{tmp_path}/audits.duckdb"\n'
    )
    return ["run", str(spec)]


def test_control_c_cancels_within_two_seconds_and_the_same_command_goes_on(
    large_audit: list[str], tmp_path: Path
) -> None:
    database = tmp_path / "audits.duckdb"
    terminal = Terminal(*large_audit, "--json")
    wait_for(lambda: list(runs_folder(database).glob("*/parts/candidates-000000-000000.parquet")))
    asked = time.time()
    terminal.press_control_c()
    printed = terminal.close()
    ended = time.time()
    assert terminal.process.returncode == ExitCode.INTERRUPTED
    (folder,) = runs_folder(database).iterdir()
    directory = RunDirectory.open(folder)
    finished = RunState.of(directory.events()).finished
    assert finished is not None
    assert finished.status == "cancelled"
    assert finished.time - asked < 2
    assert ended - asked < 4  # with the landing, and Python's own end, on a machine that is busy
    assert not directory.is_running()
    assert summarise(database, directory.run_id).run.status == "cancelled"
    assert '"status": "cancelled"' in printed

    kept = {path: path.stat().st_mtime_ns for path in directory.parts.glob("candidates-*.parquet")}
    assert 0 < len(kept) < 3
    terminal = Terminal(*large_audit)
    printed = terminal.close()
    assert terminal.process.returncode == ExitCode.DONE, terminal.shown
    assert f"resuming run {directory.run_id} of the same spec".encode() in terminal.shown
    assert b"\x1b[?25h" in terminal.shown
    assert f"{directory.run_id}: done" in printed
    assert "\x1b" not in printed
    assert all(path.stat().st_mtime_ns == time_ns for path, time_ns in kept.items())
    (overview,) = list_runs(database)
    assert (overview.run.status, overview.samples) == ("done", {"candidates": 1100})


def test_sigterm_before_the_worker_is_ready_cancels_too(large_audit: list[str], tmp_path: Path) -> None:
    """As early as there is something to cancel: the worker is still importing."""
    command = [sys.executable, "-m", "tui_mia", *large_audit, "--quiet"]
    front_end = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    folder = runs_folder(tmp_path / "audits.duckdb")
    wait_for(lambda: any(path.read_text() for path in folder.glob("*/pid")))
    front_end.terminate()
    error = front_end.communicate(timeout=DEADLINE_SECONDS)[1]
    assert front_end.returncode == ExitCode.INTERRUPTED, error
    (run,) = folder.iterdir()
    assert error == f"tui-mia: run {run.name} was cancelled; the same command goes on with it\n"
    assert not RunDirectory(run).is_running()
    assert list_runs(tmp_path / "audits.duckdb")[0].run.status == "cancelled"


@pytest.fixture
def left_behind(finished_run: Any, tmp_path: Path) -> RunDirectory:
    """A run that finished while no front end was there."""
    database = tmp_path / "audits.duckdb"
    directory = RunDirectory(runs_folder(database) / finished_run.run_id)
    shutil.copytree(finished_run.directory.path, directory.path)
    directory.landed_path.unlink()
    return directory


def test_a_run_that_finished_on_its_own_lands_with_the_next_command(left_behind: RunDirectory) -> None:
    database = left_behind.database
    (message,) = land_left_behind(database)
    assert message == f"run {left_behind.run_id} had finished on its own and is in the database now"
    assert [overview.run.run_id for overview in list_runs(database)] == [left_behind.run_id]
    assert land_left_behind(database) == []


def test_a_run_that_was_put_into_another_database_is_still_to_land_in_its_own(
    left_behind: RunDirectory, tmp_path: Path, tui_mia: Any
) -> None:
    other = tmp_path / "other.duckdb"
    completed = tui_mia("ingest", left_behind.path, "--db", other)
    assert completed.returncode == ExitCode.DONE, completed.stderr
    assert len(list_runs(other)) == 1
    assert len(land_left_behind(left_behind.database)) == 1
    assert len(list_runs(left_behind.database)) == 1


@pytest.mark.parametrize("length", [0, 5])
def test_a_mark_that_is_half_written_costs_another_landing_and_nothing_else(
    left_behind: RunDirectory, length: int
) -> None:
    files = {*left_behind.path.iterdir(), left_behind.landed_path}
    land(left_behind)
    mark = left_behind.landed_path.read_text()
    left_behind.landed_path.write_text(mark[:length])
    assert len(land_left_behind(left_behind.database)) == 1
    assert left_behind.landed_path.read_text() == mark
    assert set(left_behind.path.iterdir()) == files
    assert len(list_runs(left_behind.database)) == 1


def test_a_run_is_marked_also_by_a_link_to_its_database(left_behind: RunDirectory, tmp_path: Path) -> None:
    link = tmp_path / "link.duckdb"
    link.symlink_to(left_behind.database)
    land(left_behind, link)
    assert left_behind.landed_path.exists()


def test_a_run_lands_after_its_inputs_are_gone(left_behind: RunDirectory) -> None:
    text = left_behind.spec_path.read_text()
    left_behind.spec_path.write_text(text.replace("candidates.tar", "gone.tar"))
    assert len(land_left_behind(left_behind.database)) == 1
    assert len(list_runs(left_behind.database)) == 1


def test_a_later_attempt_lands_again(left_behind: RunDirectory) -> None:
    land(left_behind)
    left_behind.append(Launched())
    assert land_left_behind(left_behind.database) == []
    left_behind.append(Finished("failed", "later"))
    assert len(land_left_behind(left_behind.database)) == 1
    (overview,) = list_runs(left_behind.database)
    assert (overview.run.status, overview.run.error) == ("failed", "later")


def test_one_run_that_cannot_land_keeps_nobody_from_the_others(left_behind: RunDirectory) -> None:
    broken = RunDirectory(left_behind.path.with_name("00000000-broken\x1b"))
    shutil.copytree(left_behind.path, broken.path)
    broken.spec_path.write_text("[model")
    first, second = land_left_behind(left_behind.database)
    assert "can't be put into the database" in first
    assert "is not valid TOML" in first
    assert "is in the database now" in second
    assert len(list_runs(left_behind.database)) == 1


def test_a_run_that_has_not_finished_is_not_landed(left_behind: RunDirectory) -> None:
    left_behind.append(Launched())
    assert land_left_behind(left_behind.database) == []
    with pytest.raises(RunDirectoryError, match=r"has not finished; go on with it: tui-mia resume"):
        land(left_behind)


def test_what_has_not_finished_is_told_with_what_to_do(left_behind: RunDirectory) -> None:
    left_behind.append(Launched())
    (told,) = unfinished(left_behind.database)
    assert told.startswith(f"run {left_behind.run_id} was cut off")
    left_behind.queued_path.touch()
    (told,) = unfinished(left_behind.database)
    assert told.startswith(f"run {left_behind.run_id} is queued")
    with left_behind.claim():
        (told,) = unfinished(left_behind.database)
    assert told.startswith(f"run {left_behind.run_id} is going on")


def allow_gigabytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: object) -> None:
    """Set what finished runs may keep of embeddings."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    path = settings_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"embeddings_limit_gb = {limit}\n")


def test_embeddings_over_the_limit_are_removed_once_a_run_is_saved_and_nothing_else_needs_them(
    left_behind: RunDirectory,
    finished_run: Any,
    tui_mia: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stored = sum(path.stat().st_size for path in left_behind.parts.glob("*.parquet"))
    allow_gigabytes(tmp_path, monkeypatch, stored / 1e9)
    assert len(land_left_behind(left_behind.database)) == 1
    allow_gigabytes(tmp_path, monkeypatch, (stored - 1) / 1e9)
    said = tui_mia("ingest", left_behind.path).stderr
    assert f"removed the stored embeddings of run {left_behind.run_id} ({stored / 1e6:.1f} MB)" in said
    assert not list(left_behind.parts.glob("*.parquet"))

    other = land(left_behind, tmp_path / "other.duckdb")
    verified = tui_mia("verify", "latest", "--json", "--db", other)
    assert json.loads(verified.stdout)["differences"] == [], verified.stderr
    for table in TABLES.keys() - {"runs"}:
        rows = f"SELECT * FROM {table} ORDER BY ALL"
        with query(finished_run.database, rows) as before, query(other, rows) as after:
            assert list(after) == list(before)


def test_whoever_saw_a_run_through_hears_what_was_removed_for_it(
    left_behind: RunDirectory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def at_its_end(*_: object) -> Finished:
        return Finished("done")

    allow_gigabytes(tmp_path, monkeypatch, 0)
    monkeypatch.setattr(headless, "_see_through", at_its_end)
    headless.carry_out(left_behind, choose_display("plain"))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"removed the stored embeddings of run {left_behind.run_id} (")
    assert line.endswith("): embeddings_limit_gb is 0")


def test_settings_that_are_wrong_keep_nobody_from_a_run_that_is_saved(
    left_behind: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow_gigabytes(tmp_path, monkeypatch, '"many"')
    saved, wrong = land_left_behind(left_behind.database)
    assert "is in the database now" in saved
    assert wrong.startswith("stored embeddings are not kept below their limit: ")
    assert "settings.toml: embeddings_limit_gb: must be a number of gigabytes" in wrong
    assert len(list(left_behind.parts.glob("*.parquet"))) > 0


HOLD = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1])
print("held", flush=True)
sys.stdin.readline()
"""


@contextlib.contextmanager
def held(database: Path) -> Iterator[None]:
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(database)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    try:
        yield
    finally:
        child.communicate("\n")


def test_a_database_that_is_held_leaves_the_run_as_it_is_and_says_how_to_finish(
    left_behind: RunDirectory, tui_mia: Any
) -> None:
    land(left_behind)
    left_behind.landed_path.unlink()
    with held(left_behind.database):
        with pytest.raises(DatabaseLocked, match=f"tui-mia ingest .*{left_behind.run_id}"):
            land(left_behind, wait_seconds=0.2)
        assert not left_behind.landed_path.exists()
    completed = tui_mia("ingest", left_behind.path)
    assert completed.returncode == ExitCode.DONE, completed.stderr
    assert completed.stdout == ""
    assert completed.stderr == f"run {left_behind.run_id} is in {left_behind.database}\n"
    assert len(list_runs(left_behind.database)) == 1


def test_a_run_that_is_done_or_whose_inputs_have_changed_is_not_resumed(left_behind: RunDirectory) -> None:
    with pytest.raises(RunDirectoryError, match=r"is done; see it: tui-mia show"):
        open_again(left_behind, QuietDisplay())
    left_behind.append(Finished("failed", "out of memory"))
    assert open_again(left_behind, QuietDisplay()) == left_behind
    left_behind.inputs_path.write_text("as they were")
    with pytest.raises(RunDirectoryError, match=r"input files have changed since; start afresh: .*--new"):
        open_again(left_behind, QuietDisplay())


def test_verbose_tells_of_each_shard_on_stderr_and_in_the_log(
    small_audit: Path, tmp_path: Path, tui_mia: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    database = tmp_path / "audits.duckdb"
    completed = tui_mia("run", small_audit, "--db", database, "--attacks", "csa", "--plain", "--verbose")
    assert completed.returncode == ExitCode.DONE, completed.stderr
    (folder,) = runs_folder(database).iterdir()
    for told in (completed.stderr, RunDirectory(folder).log_path.read_text()):
        for pool, samples in (("candidates", 70), ("nonmembers", 70), ("general", 90)):
            line = rf"\d\d:\d\d:\d\d {pool} 0 \({pool}\.tar\): [\d.]+ s at \d+/s, {samples} samples, "
            assert re.search(line, told)
    assert re.search(r"\d\d:\d\d:\d\d done: start [\d.]+ s, .*, judge ", completed.stderr)
