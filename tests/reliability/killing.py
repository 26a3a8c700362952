"""Runs that are killed at a chosen moment, gone on with, and compared with one that nobody disturbed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

import duckdb
import psutil

from tui_mia.runs import Finished, Launched, Progress, RunDirectory
from tui_mia.runs.directory import runs_folder
from tui_mia.runs.events import Event
from tui_mia.runs.tables import TABLES

DEADLINE_SECONDS: Final = 300.0
POLL_SECONDS: Final = 0.002
# What a run goes through: before there is a worker, the worker's phases, and the way into the database.
MOMENTS: Final = (
    "launch", "start", "plan", "load", "encode", "repeat", "sort", "attack", "check", "judge", "landing",
)  # fmt: skip

Victim: TypeAlias = Literal["worker", "front end", "both"]
Command: TypeAlias = Literal["run", "resume", "board"]
COMMANDS: Final[tuple[Command, ...]] = ("run", "resume", "board")

# Python looks for this module in every process that it starts. The victim dies with its file written and
# not yet in its place, which is also what a power cut leaves.
DIE_BEFORE_A_RENAME = """
import os, signal, sys

if (os.environ["DIE_IN"] == "worker") == ("tui_mia.worker" in sys.orig_argv):
    left = int(os.environ["DIE_AT"])

    def dying(rename):
        def renamed(*arguments, **options):
            global left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return rename(*arguments, **options)

        return renamed

    os.replace, os.link = dying(os.replace), dying(os.link)
"""

THROUGH_THE_BOARD = """
import asyncio, sys
from pathlib import Path
from tui_mia.board import Board

async def see_through(database, run_id):
    board = Board(Path(database), lambda message, level: print(level, message, file=sys.stderr))
    await board.open()
    if board.run(run_id).status in ("failed", "cancelled", "cut off"):
        await board.resume(run_id)
    while board.run(run_id).status not in ("done", "failed", "cancelled", "cut off"):
        await asyncio.sleep(0.05)
    status = board.run(run_id).status
    await board.leave()
    return 0 if status == "done" else 1

sys.exit(asyncio.run(see_through(*sys.argv[1:])))
"""


@dataclass(frozen=True)
class KillAt:
    """SIGKILL when so many seconds of a phase are over, as the events tell it."""

    victim: Victim
    moment: str
    seconds: float


@dataclass(frozen=True)
class KillBeforeRename:
    """SIGKILL between the write and the rename of a file, once `renames` others are in their place."""

    victim: Literal["worker", "front end"]
    renames: int


Kill: TypeAlias = KillAt | KillBeforeRename


@dataclass(frozen=True)
class Audit:
    """A spec, the database that its run goes to, and the one run of it there."""

    spec_path: Path
    database: Path

    @property
    def directory(self) -> RunDirectory | None:
        """The run's directory, once there is one."""
        found = [path for path in runs_folder(self.database).glob("*/") if (path / "spec.toml").is_file()]
        assert len(found) <= 1, f"more than one run: {found}"
        return RunDirectory(found[0]) if found else None

    def finished(self) -> Finished | None:
        """How the run ended; None while somebody is at work on it, and where its worker was killed."""
        directory = self.directory
        last = directory.last_event() if directory else None
        if directory is None or not isinstance(last, Finished):
            return None
        while directory.is_running():  # it has said its last word
            time.sleep(POLL_SECONDS)
        return last

    def start(self, command: Command, kill: KillBeforeRename | None = None) -> subprocess.Popen[bytes]:
        """Start a front end: what it says goes to a file beside the database."""
        environment = dict(os.environ)
        if kill is not None:
            folder = self.database.parent / "sitecustomize"
            folder.mkdir(exist_ok=True)
            (folder / "sitecustomize.py").write_text(DIE_BEFORE_A_RENAME)
            path = [str(folder), *filter(None, [environment.get("PYTHONPATH")])]
            environment |= {"DIE_IN": kill.victim, "DIE_AT": str(kill.renames)}
            environment["PYTHONPATH"] = os.pathsep.join(path)
        with (self.database.parent / "said").open("ab") as said:
            return subprocess.Popen(
                [sys.executable, *self._arguments(command)],
                stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=environment, start_new_session=True,
            )  # fmt: skip

    def _arguments(self, command: Command) -> list[str]:
        database, directory = str(self.database), self.directory
        if command == "board" and directory is not None:
            return ["-c", THROUGH_THE_BOARD, database, directory.run_id]
        if command == "resume" and directory is not None:
            return ["-m", "tui_mia", "resume", directory.run_id, "--db", database, "--plain"]
        return ["-m", "tui_mia", "run", str(self.spec_path), "--db", database, "--plain"]


def killed(audit: Audit, command: Command, kill: Kill) -> bool:
    """Go on with an audit and kill it on the way; whether it was there to be killed."""
    before = _launches(audit)
    command = _same_run(audit, command)
    front_end = audit.start(command, kill if isinstance(kill, KillBeforeRename) else None)
    if isinstance(kill, KillBeforeRename):
        front_end.wait(DEADLINE_SECONDS)
        return front_end.returncode != 0
    try:
        return _killed_at(audit, front_end, kill, before)
    finally:
        if kill.victim != "worker" and front_end.poll() is None:
            front_end.kill()
        front_end.wait(DEADLINE_SECONDS)


def _killed_at(audit: Audit, front_end: subprocess.Popen[bytes], kill: KillAt, before: int) -> bool:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not _reached(audit, kill.moment, before):
        if front_end.poll() is not None:
            return False
        assert time.monotonic() < deadline, f"{audit.spec_path}: {kill} did not come"
        time.sleep(POLL_SECONDS)
    time.sleep(kill.seconds)
    directory = audit.directory
    worker = directory.worker() if directory else None
    victims = [pid for pid in (front_end.pid, worker) if pid is not None]
    if kill.victim != "both":
        victims = [front_end.pid] if kill.victim == "front end" else [worker] if worker else []
    was_there = front_end.poll() is None and bool(victims)
    for pid in victims:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            was_there = False
    return was_there


def gone_on_with(audit: Audit, command: Command) -> None:
    """See an audit through to its end, whatever was done to it."""
    last = audit.finished()
    if last is not None and last.status == "done":  # it ended on its own: the next command lands it
        _checked([sys.executable, "-m", "tui_mia", "runs", "--db", str(audit.database)])
        return
    front_end = audit.start(_same_run(audit, command))
    front_end.wait(DEADLINE_SECONDS)
    last = audit.finished()
    is_done = last is not None and last.status == "done"
    assert is_done, (audit.database.parent / "said").read_text()
    if front_end.returncode != 0:  # the worker that was joined was done before
        _checked([sys.executable, "-m", "tui_mia", "runs", "--db", str(audit.database)])


def _same_run(audit: Audit, command: Command) -> Command:
    """`run` makes a new run of a spec that has run to its end, and a worker may be there in a moment."""
    directory = audit.directory
    return (
        "resume"
        if directory is not None and directory.is_running() and command == "run" and _is_late(directory)
        else command
    )


def _is_late(directory: RunDirectory) -> bool:
    last = directory.last_event()
    return isinstance(last, Progress) and MOMENTS.index(last.phase) > MOMENTS.index("encode")


def _checked(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_SECONDS)
    assert done.returncode == 0, done.stderr


def finished_parts(audit: Audit) -> Mapping[str, tuple[int, int]]:
    """The parts that are there, each with what changes if it is written again.

    The rejects of a part come before it: where they are alone it is not finished.
    """
    found = audit.directory.parts.glob("*.parquet") if audit.directory else []
    paths = [path for path in found if not path.name.startswith("rejects-")]
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths}


def seconds_of_moments(directory: RunDirectory, began: float, ended: float) -> dict[str, float]:
    """How long each moment of a run lasted, of which the front end was there from `began` to `ended`."""
    events = directory.events()
    launched = next(event for event in events if isinstance(event, Launched))
    last = events[-1]
    assert isinstance(last, Finished), last
    return {"launch": launched.time - began, **last.seconds, "landing": ended - last.time}


def differences(audit: Audit, undisturbed: Audit) -> list[str]:
    """What a finished run has or lacks in comparison with the undisturbed one."""
    ours, theirs = audit.directory, undisturbed.directory
    assert ours is not None
    assert theirs is not None
    found = [
        f"tables/{table}.parquet is not the same"
        for table in TABLES
        if (ours.tables / f"{table}.parquet").read_bytes()
        != (theirs.tables / f"{table}.parquet").read_bytes()
    ]
    of_ours, of_theirs = _rows(audit.database), _rows(undisturbed.database)
    found += [
        f"the rows of {table} are not the same" for table in TABLES if of_ours[table] != of_theirs[table]
    ]
    return found + [f"left behind: {path}" for path in _left_behind(audit)] + list(_processes(audit))


def _rows(database: Path) -> dict[str, list[tuple[object, ...]]]:
    with duckdb.connect(str(database), read_only=True) as connection:
        assert connection.execute("SELECT status FROM runs").fetchall() == [("done",)]
        return {
            table: connection.execute(
                f"SELECT COLUMNS(* EXCLUDE run_id) FROM {table} ORDER BY ALL"
            ).fetchall()
            for table in TABLES
        }


def _left_behind(audit: Audit) -> Iterator[Path]:
    """Files that are no part of a finished run."""
    folder, directory = audit.database.parent, audit.directory
    assert directory is not None
    expected = {audit.database.name, runs_folder(audit.database).name, "said", "sitecustomize"}
    yield from (path for path in folder.iterdir() if path.name not in expected)
    yield from (path for path in directory.path.parent.iterdir() if path != directory.path)
    yield from (path for path in directory.path.rglob("*") if path.suffix == ".tmp")
    if not directory.landed_path.exists() or directory.queued_path.exists():
        yield directory.landed_path


def _processes(audit: Audit) -> Iterator[str]:
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        if str(audit.database.parent) in line and process.pid != os.getpid():
            yield f"still running: {line}"


def _launches(audit: Audit) -> int:
    directory = audit.directory
    return sum(isinstance(event, Launched) for event in directory.events()) if directory else 0


def _reached(audit: Audit, moment: str, launches_before: int) -> bool:
    """Whether the attempt that was just begun, or the worker that was joined, has come to a moment."""
    if moment == "launch":
        return True
    directory = audit.directory
    events: list[Event] = directory.events() if directory else []
    launches = [number for number, event in enumerate(events) if isinstance(event, Launched)]
    if directory is None or not launches or (len(launches) == launches_before and not directory.is_running()):
        return False
    return any(_is_past(event, moment) for event in events[launches[-1] :])


def _is_past(event: Event, moment: str) -> bool:
    if isinstance(event, Finished):
        return True
    return isinstance(event, Progress) and MOMENTS.index(event.phase) >= MOMENTS.index(moment)
