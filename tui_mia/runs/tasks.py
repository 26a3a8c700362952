"""Tasks of an array: processes on any machines that encode a share each of one run.

They know nothing of each other but the run directory, which all of them see: task `index`
of `count` encodes every `count`-th shard. Whoever resumes the run after that finds all
parts, and does what is left.
"""

from __future__ import annotations

import fcntl
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tui_mia.runs.directory import RunDirectory, RunDirectoryError, runs_folder
from tui_mia.runs.identity import find_unfinished, inputs_digest
from tui_mia.spec import AuditSpec

_OPENING: Final = ".opening.lock"
_NAME: Final = re.compile(r"([0-9]+)-of-([0-9]+)")


@dataclass(frozen=True)
class TaskDirectory(RunDirectory):
    """A run as one of its tasks has it: the same parts, but events, log and worker of its own."""

    index: int
    count: int

    @property
    def own(self) -> Path:
        return _folder(self.path) / f"{self.index:05d}-of-{self.count:05d}"

    @property
    def events_path(self) -> Path:
        return self.own / "events.jsonl"

    @property
    def log_path(self) -> Path:
        return self.own / "worker.log"

    @property
    def pid_path(self) -> Path:
        return self.own / "pid"

    @property
    def queued_path(self) -> Path:
        return self.own / "queued"

    @property
    def landed_path(self) -> Path:
        return self.own / "landed"

    @property
    def worker_arguments(self) -> list[str]:
        return [*super().worker_arguments, "--task", str(self.index), str(self.count)]

    @property
    def writer(self) -> str:
        return f"task-{self.index}"

    def sweep(self) -> None:
        """Nothing: what is half written may be another task's, who is at it."""


def task_of(directory: RunDirectory, index: int, count: int) -> TaskDirectory:
    """A task of a run, with a directory to be at work in.

    Raises:
        RunDirectoryError: if that can't be made.
    """
    task = TaskDirectory(directory.path, index, count)
    try:
        task.own.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise RunDirectoryError(f"{task.own}: can't be made: {error.strerror}") from None
    return task


def open_task(spec: AuditSpec, index: int, count: int) -> TaskDirectory:
    """A task of the unfinished run of this spec on these files; the first task makes a new one.

    Raises:
        RunDirectoryError: if the run's directory can't be made, the run or this task goes on already,
            or the file system has no locks.
    """
    folder = runs_folder(Path(spec.output.database))
    inputs = inputs_digest(spec)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (folder / _OPENING).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            run = find_unfinished(spec, inputs) or RunDirectory.create(spec, inputs)
    except OSError as error:
        raise RunDirectoryError(f"{folder}: can't be used: {error.strerror}") from None
    if run.is_running():
        raise RunDirectoryError(f"run {run.run_id} goes on without tasks; let it, or stop it first")
    task = task_of(run, index, count)
    if task.is_running():
        raise RunDirectoryError(f"task {index} of {count} of run {run.run_id} goes on already")
    return task


def tasks_of(directory: RunDirectory) -> list[TaskDirectory]:
    """The tasks that a run has had."""
    names = (_NAME.fullmatch(path.name) for path in sorted(_folder(directory.path).glob("*")))
    return [TaskDirectory(directory.path, int(name[1]), int(name[2])) for name in names if name]


def require_no_tasks(directory: RunDirectory) -> None:
    """Raise `RunDirectoryError` where tasks of a run are at work on it."""
    at_work = [f"{task.index} of {task.count}" for task in tasks_of(directory) if task.is_running()]
    if at_work:
        raise RunDirectoryError(
            f"tasks of run {directory.run_id} are still encoding: {', '.join(at_work)}; wait for them, "
            f"or stop them"
        )


def _folder(run: Path) -> Path:
    return run / "tasks"
