"""What a bug report needs to know of a run, as one archive: no image, no caption, no key of a sample.

All of it comes from the run's directory and this machine, so that it can be had
of a run that failed or goes on, and whatever has become of the database. Texts
that may quote what is in the pools (errors, notes, reasons, the log) lose whatever
they quote; the user's home folder is written as `~`.
"""

from __future__ import annotations

import io
import json
import os
import re
import tarfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import IO, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from tui_mia.doctor import at_a_glance, installed_versions
from tui_mia.runs import RunDirectory, RunDirectoryError, RunState, Started
from tui_mia.runs.directory import runs_folder
from tui_mia.runs.scan import look
from tui_mia.store import StoreError, find_run

LATEST: Final = "latest"
NOTHING_QUOTED: Final = "'...'"
LEFT_OUT: Final = (
    "images, captions, embeddings, scores",
    "keys and file names of samples; in errors, notes, reasons and the log everything in quotes",
    "the names of this host and of your home folder, which is ~",
)
LOOK_THROUGH: Final = "spec.toml and events.jsonl name your sources and models: look before you send it"
_DATABASE_WAIT_SECONDS: Final = 0.2
# From an opening quote to the one that ends the word, or to the end of the line where it was cut short.
_QUOTED: Final = re.compile(r"""(?<!\w)[bBrRuU]{0,2}(['"])(?:\\.|(?!\1(?!\w)).)*(?:\1(?!\w)|$)""")


@dataclass(frozen=True)
class Bundle:
    """An archive that was written: its path, what is in each of its files, and what is in none."""

    path: Path
    files: Mapping[str, str]
    left_out: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """Everything, as JSON has it."""
        return {**asdict(self), "path": str(self.path)}


def run_to_bundle(database: Path, run: str) -> RunDirectory:
    """The directory of the run that is meant by its path, its id, the start of it, or `latest`.

    The folder of runs is asked, not the database: that may be what is broken.

    Raises:
        RunDirectoryError: if there is no such directory, or there are several.
    """
    if Path(run).is_dir():
        return RunDirectory.open(Path(run))
    folder = runs_folder(database.resolve())
    there = sorted(path.parent for path in folder.glob("*/spec.toml"))
    found = there[-1:] if run == LATEST else [path for path in there if run and path.name.startswith(run)]
    if len(found) == 1:
        return RunDirectory(found[0])
    fit = f"{len(found)} run directories fit" if found else "there is no run directory for"
    newest = ", ".join(path.name for path in reversed(there[-5:])) or "none"
    raise RunDirectoryError(f"{fit} {run!r} in {folder}; newest first: {newest}")


def write_bundle(directory: RunDirectory, database: Path, folder: Path) -> Bundle:
    """Write the archive of a run to a folder, under a name that nothing has yet.

    What can't be read is left out, and the archive says so.

    Raises:
        RunDirectoryError: if the archive can't be written.
    """
    pieces: dict[str, tuple[str, Callable[[], str]]] = {
        "spec.toml": ("what was asked", lambda: shortened(_read(directory.spec_path))),
        "versions.json": (
            "versions of Python, tui-mia and its libraries, here and now and in each attempt at the run",
            lambda: _json(_versions(directory)),
        ),
        "machine.json": ("processor, memory, GPUs, disk", lambda: _json(at_a_glance(directory.path))),
        "run.json": (
            "how far the run came, counts, verdicts, how many rejects for which reason",
            lambda: _json(_run_facts(directory, database)),
        ),
        "events.jsonl": ("what the run said of itself", lambda: _clean_events(directory)),
        "worker.log": (
            "what its worker and the libraries printed",
            lambda: clean_log(_read(directory.log_path)),
        ),
    }
    contents: dict[str, str] = {}
    left_out = list(LEFT_OUT)
    for name, (_, content) in pieces.items():
        try:
            contents[name] = content()
        except OSError as error:
            left_out.append(f"{name}: {error.strerror}")
    files = {name: pieces[name][0] for name in contents}
    about = _about(directory, files, left_out)
    try:
        path, file = _new_file(folder, directory.run_id)
        with file:
            _write(file, directory.run_id, {"about.txt": about, **contents})
    except OSError as error:
        raise RunDirectoryError(f"{folder}: the bundle can't be written: {error.strerror}") from None
    return Bundle(path, files, tuple(left_out))


def without_quotes(text: str) -> str:
    """A text without what it quotes, line by line; the quotes stay, to show where it was."""
    return "\n".join(_QUOTED.sub(NOTHING_QUOTED, line) for line in text.split("\n"))


def clean_log(text: str) -> str:
    """A log without what its messages quote; the lines of a traceback, which are indented, are code."""
    lines = (line if line.startswith("  ") else without_quotes(line) for line in text.split("\n"))
    return shortened("\n".join(lines))


def shortened(text: str) -> str:
    """A text with `~` for the user's home folder."""
    for home in {str(Path.home()), os.path.realpath(Path.home())} - {"/"}:
        text = re.sub(re.escape(home) + r"(?![\w.-])", "~", text)
    return text


def _clean_events(directory: RunDirectory) -> str:
    """The journal with every text in it cleaned; of a line that is no event only its size."""
    lines = []
    for line in _read(directory.events_path).splitlines():
        try:
            document = json.loads(line)
        except ValueError:
            document = {"event": "unreadable", "bytes": len(line)}
        lines.append(json.dumps(_cleaned(document)) + "\n")
    return "".join(lines)


def _cleaned(value: Any) -> Any:
    """A JSON value, of any version of tui-mia, with every text in it cleaned."""
    match value:
        case str():
            return shortened(without_quotes(value))
        case list():
            return [_cleaned(each) for each in value]
        case dict():
            return {name: _cleaned(each) for name, each in value.items()}
        case _:
            return value


def _versions(directory: RunDirectory) -> dict[str, Any]:
    attempts = [event.versions for event in directory.events() if isinstance(event, Started)]
    return {"installed": installed_versions(), "attempts": attempts}


def _run_facts(directory: RunDirectory, database: Path) -> dict[str, Any]:
    """How far the run came and what it found, in numbers and words."""
    events = directory.events()
    state = RunState.of(events)
    return _cleaned(  # type: ignore[no-any-return]
        {
            "run_id": directory.run_id,
            "status": _status(directory, state),
            "attempts": sum(isinstance(event, Started) for event in events),
            "error": state.finished.error if state.finished else None,
            "phases": [{**asdict(phase), "seconds": phase.seconds} for phase in state.phases],
            "skipped": state.skipped,
            "pools": _rows(directory, "pools", "pool", "samples", "rejects"),
            "verdicts": _rows(directory, "verdicts", "attack", "outcome", "reasons"),
            "rejects": _reject_reasons(directory),
            "files": _sizes(directory),
            "database": _database(database, directory.run_id),
        }
    )


def _status(directory: RunDirectory, state: RunState) -> str:
    found = look(directory)
    if found is not None and found.is_running:
        return "running"
    if state.finished is not None:
        return state.finished.status
    return "queued" if found is not None and found.queued_at is not None else "cut off"


def _rows(directory: RunDirectory, table: str, *columns: str) -> list[dict[str, Any]] | str | None:
    """Some columns of a table of the run; None where it is not there, why where it can't be read."""
    path = directory.tables / f"{table}.parquet"
    try:
        rows: list[dict[str, Any]] = pq.read_table(path, columns=list(columns)).to_pylist()
    except FileNotFoundError:
        return None
    except (OSError, pa.ArrowException) as error:
        return f"can't be read: {error}"
    return rows


def _reject_reasons(directory: RunDirectory) -> list[dict[str, Any]] | str | None:
    """How many pairs were rejected for each reason, without what the reasons quote."""
    rows = _rows(directory, "rejects", "pool", "reason")
    if not isinstance(rows, list):
        return rows
    counts = Counter((row["pool"], without_quotes(row["reason"])) for row in rows)
    return [
        {"pool": pool, "reason": reason, "rejects": number} for (pool, reason), number in counts.most_common()
    ]


def _sizes(directory: RunDirectory) -> dict[str, int]:
    """Bytes of every file of the run: parts are named by pool and number."""
    files = sorted(path for path in directory.path.rglob("*") if path.is_file())
    return {str(path.relative_to(directory.path)): path.stat().st_size for path in files}


def _database(database: Path, run_id: str) -> dict[str, Any]:
    """What is known of the database without waiting for it."""
    facts: dict[str, Any] = {"bytes": None, "has_run": None, "problem": None}
    try:
        facts["bytes"] = database.stat().st_size
        facts["has_run"] = find_run(database, run_id, _DATABASE_WAIT_SECONDS) == run_id
    except (OSError, StoreError) as error:
        facts["problem"] = str(error)
    return facts


def _about(directory: RunDirectory, files: Mapping[str, str], left_out: list[str]) -> str:
    inside = "".join(f"  {name:<14} {what}\n" for name, what in files.items())
    outside = "".join(f"  {what}\n" for what in left_out)
    run = f"Run {directory.run_id} of tui-mia, for a bug report."
    return f"{run}\n\nInside:\n{inside}\nLeft out:\n{outside}\n{LOOK_THROUGH}\n"


def _new_file(folder: Path, run_id: str) -> tuple[Path, IO[bytes]]:
    """A file that was not there before, which only its owner can read."""
    for number in count(1):
        path = folder / f"tui-mia-{run_id}{f'-{number}' if number > 1 else ''}.tar.gz"
        try:
            return path, os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        except FileExistsError:
            continue
    raise AssertionError("numbers do not end")


def _write(file: IO[bytes], run_id: str, contents: Mapping[str, str]) -> None:
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for name, text in contents.items():
            content = text.encode(errors="backslashreplace")
            member = tarfile.TarInfo(f"tui-mia-{run_id}/{name}")
            member.size, member.mode, member.mtime = len(content), 0o600, int(time.time())
            tar.addfile(member, io.BytesIO(content))


def _read(path: Path) -> str:
    """A text as far as it is one; nothing where the run has not come to write it."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def _json(document: object) -> str:
    return json.dumps(document, indent=2, default=str) + "\n"
