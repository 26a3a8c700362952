"""The run directory: journal of a run, live view, and what is left when the database can't be had.

- `spec.toml`: what was asked, with absolute paths
- `inputs`: a digest of the input files as they were
- `events.jsonl`: what the run said
- `worker.log`: what the worker and its libraries printed
- `pid`: the worker's process, which holds a lock on this file while it lives
- `queued`: there while the run waits for its device, since when it was written
- `parts/`: one Parquet file a shard, written whole: samples, similarities, embeddings; and an index of
  them for later runs
- `tasks/`: events, log and worker of each task of an array, where the run has some
- `tables/`: the DuckDB tables of the run, as Parquet
- `landed`: when the run ended whose tables the database has
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final

from tui_mia.runs.events import Event, append_event, read_events, read_last_event
from tui_mia.runs.files import private_folder, put_in_place, replace_with_text
from tui_mia.runs.space import naming
from tui_mia.spec import AuditSpec, SpecError, dump_spec, read_spec

RUNS_SUFFIX: Final = ".runs"
HALF_MADE: Final = ".new-"
# Whoever asks whether a run has a worker holds its lock for a moment.
LOCK_TRIES = 5
SECONDS_BETWEEN_TRIES = 0.01
LONGEST_TAIL = 2**16


class RunDirectoryError(Exception):
    """A run directory that can't be used; the message says which and why."""


@dataclass(frozen=True)
class RunDirectory:
    path: Path

    @classmethod
    def create(cls, spec: AuditSpec, inputs: str) -> RunDirectory:
        """Make the directory of a new run beside its database."""
        now = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        directory = cls(runs_folder(Path(spec.output.database)) / f"{now}-{secrets.token_hex(2)}")
        try:
            directory.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with private_folder(directory.path.parent, HALF_MADE) as private:
                new = cls(private / directory.run_id)
                for folder in (new.path, new.parts, new.tables):
                    folder.mkdir(mode=0o700)
                new.inputs_path.write_text(inputs)
                replace_with_text(new.spec_path, dump_spec(spec))
                put_in_place(new.path, directory.path)
        except OSError as error:
            raise RunDirectoryError(f"{directory.path}: can't be made: {error.strerror}") from None
        return directory

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        directory = cls(Path(os.path.realpath(path)))
        if not directory.spec_path.is_file():
            raise RunDirectoryError(f"{path}: is not a run directory; it has no spec.toml")
        return directory

    @property
    def run_id(self) -> str:
        return self.path.name

    @property
    def created_at(self) -> datetime:
        return datetime.fromtimestamp(self.spec_path.stat().st_mtime, UTC)

    @property
    def spec_path(self) -> Path:
        return self.path / "spec.toml"

    @property
    def inputs_path(self) -> Path:
        return self.path / "inputs"

    @property
    def events_path(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def log_path(self) -> Path:
        return self.path / "worker.log"

    @property
    def pid_path(self) -> Path:
        return self.path / "pid"

    @property
    def queued_path(self) -> Path:
        return self.path / "queued"

    @property
    def landed_path(self) -> Path:
        return self.path / "landed"

    @property
    def parts(self) -> Path:
        return self.path / "parts"

    @property
    def tables(self) -> Path:
        return self.path / "tables"

    @property
    def worker_arguments(self) -> list[str]:
        """What a worker is started with to know what it is to do."""
        return [str(self.path)]

    @property
    def writer(self) -> str:
        """What tells those apart who write down what they have encoded; nothing where there is one."""
        return ""

    @property
    def database(self) -> Path:
        """The database that the run belongs to: the one beside it, also where both were moved."""
        beside = self.path.parent
        if beside.name.endswith(RUNS_SUFFIX):
            return beside.with_name(beside.name.removesuffix(RUNS_SUFFIX))
        return Path(self.spec().output.database)

    def others(self) -> list[RunDirectory]:
        """The other runs of the same database, the newest last."""
        beside = sorted(path for path in self.path.parent.iterdir() if path != self.path)
        return [RunDirectory(path) for path in beside if (path / "spec.toml").is_file()]

    def spec(self) -> AuditSpec:
        """What was asked; the files that it names may be gone."""
        try:
            return read_spec(self.spec_path)
        except SpecError as error:
            raise RunDirectoryError(str(error)) from None

    def events(self) -> list[Event]:
        return read_events(self.events_path)

    def last_event(self) -> Event | None:
        """The newest event, from the end of a journal that may be long."""
        return read_last_event(self.events_path)

    def append(self, event: Event) -> None:
        with naming(self.events_path):
            append_event(self.events_path, event)

    def log_tail(self, lines: int = 10) -> str:
        """The end of what the worker printed, from a log that may be long."""
        try:
            with self.log_path.open("rb") as file:
                file.seek(-min(self.log_path.stat().st_size, LONGEST_TAIL), os.SEEK_END)
                return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return ""

    def is_running(self) -> bool:
        """Whether the run has a worker: its death, however it comes, releases the lock that it holds."""
        try:
            with self.pid_path.open("rb") as file:
                return not _try_lock(file, fcntl.LOCK_SH)
        except FileNotFoundError:
            return False

    def worker(self) -> int | None:
        """The process id of the run's worker while it lives; None also while it is being started.

        A number that is another process's by now, or no process's, is None too.
        """
        try:
            written = int(self.pid_path.read_text()) if self.is_running() else None
        except (FileNotFoundError, ValueError):
            return None
        return written if written is not None and _has_open(written, self.pid_path) else None

    @contextmanager
    def claim(self) -> Iterator[IO[bytes] | None]:
        """The locked file `pid`, for a worker to inherit; None if the run has a worker already."""
        with self.pid_path.open("ab") as file:
            if _try_lock(file, fcntl.LOCK_EX):
                file.truncate(0)
                yield file
            else:
                yield None

    def sweep(self) -> None:
        """Remove what a worker that is no more was writing; for the one that has the run now."""
        for folder in (self.parts, self.tables):
            for path in folder.glob("*.tmp"):
                path.unlink()

    def remove(self) -> None:
        """Delete the directory; where that is cut off, what is left is a run that has not finished.

        So it is seen, puts no rows into the database, and can be deleted again, though
        not gone on with: nobody takes up a run without its `inputs`.
        """
        for path in (self.queued_path, self.inputs_path, self.events_path):
            path.unlink(missing_ok=True)
        # A directory with a spec is a run, and one with a locked `pid` is nobody else's.
        last = (self.pid_path, self.spec_path)
        for path in set(self.path.iterdir()) - set(last):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        for path in last:
            path.unlink(missing_ok=True)
        shutil.rmtree(self.path)


def runs_folder(database: Path) -> Path:
    """Where the run directories of a database are."""
    return database.with_name(database.name + RUNS_SUFFIX)


def _has_open(pid: int, path: Path) -> bool:
    """Whether a process leads its group, as a worker does, and has inherited a file."""
    import psutil

    try:
        if pid < 2 or os.getpgid(pid) != pid:
            return False
        return any(file.path == os.path.realpath(path) for file in psutil.Process(pid).open_files())
    except (OSError, OverflowError, psutil.Error):
        return False


def _try_lock(file: IO[bytes], kind: int) -> bool:
    """Lock a file, if nobody else holds it for longer than it takes to look."""
    for _ in range(LOCK_TRIES):
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if kind == fcntl.LOCK_SH:
                return False
            time.sleep(SECONDS_BETWEEN_TRIES)
        else:
            return True
    return False
