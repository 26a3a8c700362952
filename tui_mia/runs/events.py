"""Events: what a run says of itself, one JSON object a line in `events.jsonl`.

Every display, the recovery of a run and its row in the database read the same
lines. A line that is cut off, as a crash leaves it, is not an event.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

Status: TypeAlias = Literal["done", "failed", "cancelled"]
# What encoding spends its time on.
Stage: TypeAlias = Literal["decoding", "views", "model"]


@dataclass(frozen=True)
class Launched:
    """A front end is about to start a worker: what went before belongs to another attempt.

    `gpu` is the one GPU that the worker will see, by its UUID, where the front end chose it.
    """

    gpu: str | None = None
    time: float = field(default_factory=time.time)


@dataclass(frozen=True)
class Started:
    """A worker took up the run; a run that was resumed has several."""

    pid: int
    versions: dict[str, str]
    time: float = field(default_factory=time.time)


@dataclass(frozen=True)
class Loaded:
    """The target model is ready. Fingerprints are SHA-256 as hex."""

    device: str
    number_format: str
    weights_sha256: str
    preprocess_sha256: str
    tokenizer_sha256: str
    time: float = field(default_factory=time.time)


@dataclass(frozen=True)
class ReferenceLoaded:
    """The reference model is ready, on the device of the target. Fingerprints are SHA-256 as hex."""

    number_format: str
    weights_sha256: str
    preprocess_sha256: str
    tokenizer_sha256: str
    time: float = field(default_factory=time.time)


@dataclass(frozen=True)
class DeviceProgress:
    """What one encoder of several has done in this attempt; memory is in bytes, of its process and its GPU.

    `is_lost` says that it is gone, and that the others do its work.
    """

    device: str
    samples: int = 0
    per_second: float | None = None
    memory_bytes: int | None = None
    device_memory_bytes: int | None = None
    is_lost: bool = False


@dataclass(frozen=True)
class Progress:
    """How far a phase is: the same data for every display.

    `fraction` is of the phase, 0 to 1; `samples` and `rejects` are of the phase
    so far, what an earlier attempt or run had done included; rates are of what this
    attempt does. Memory is in bytes, of the worker and of its GPU. Of encoding
    alone are views (images that go through a model) and encodings (these and
    captions) a second, the share of the machine's measured peak that the models make
    use of, 0 to 1, and the stage that the others wait for. `devices` has each encoder where there
    are several; the figures beside it are of all of them.
    """

    phase: str
    fraction: float
    samples: int = 0
    rejects: int = 0
    per_second: float | None = None
    eta_seconds: float | None = None
    pool: str | None = None
    device: str | None = None
    memory_bytes: int | None = None
    device_memory_bytes: int | None = None
    views_per_second: float | None = None
    encodings_per_second: float | None = None
    share_of_peak: float | None = None
    bottleneck: Stage | None = None
    devices: tuple[DeviceProgress, ...] = ()
    time: float = field(default_factory=time.time)


@dataclass(frozen=True)
class ShardEncoded:
    """A shard has all of its parts.

    `source` is the name of its file or folder; of its samples and rejects `reused` were
    encoded by an earlier attempt or run. Memory is that of the worker, in bytes.
    """

    pool: str
    shard: int
    source: str
    seconds: float
    samples: int
    rejects: int
    reused: int
    memory_bytes: int | None = None
    time: float = field(default_factory=time.time)


@dataclass(frozen=True)
class Note:
    """A line for the log that a user should see."""

    message: str
    level: Literal["info", "warning"] = "info"
    time: float = field(default_factory=time.time)


@dataclass(frozen=True)
class Skipped:
    """An attack that did not run, and why."""

    attack: str
    reason: str
    time: float = field(default_factory=time.time)


@dataclass(frozen=True)
class Finished:
    """The end of a run; `seconds` maps each phase to what it took.

    `cut_off` says that nothing is wrong with the run itself: its worker died without a word, and
    others wrote this for it, or its disk was full. Whoever asks for the same goes on with it.
    """

    status: Status
    error: str | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    cut_off: bool = False
    time: float = field(default_factory=time.time)

    @property
    def ended_at(self) -> datetime:
        return datetime.fromtimestamp(self.time, UTC)


Event: TypeAlias = (
    Launched | Started | Loaded | ReferenceLoaded | Progress | ShardEncoded | Note | Skipped | Finished
)
LONGEST_LINE = 2**20
_KINDS: dict[str, type[Event]] = {kind.__name__.lower(): kind for kind in get_args(Event)}
_LAUNCHED = f'"{Launched.__name__.lower()}"'.encode()


def encode_event(event: Event) -> str:
    """One line of JSON, without the line end."""
    return json.dumps({"event": type(event).__name__.lower(), **asdict(event)})


def decode_event(line: str) -> Event | None:
    """The event of a line, or None for one that is cut off or of a kind that this version doesn't know."""
    try:
        document = json.loads(line)
        kind = _KINDS[document.pop("event")]
        if kind is Progress:
            document["devices"] = tuple(_known(DeviceProgress, each) for each in document.get("devices", ()))
        event: Event = _known(kind, document)
        return event
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _known(kind: Any, document: Mapping[str, Any]) -> Any:
    """A document as what it says it is; what this version does not know of it is left out."""
    names = {item.name for item in fields(kind)}
    return kind(**{name: value for name, value in document.items() if name in names})


def read_events(path: Path) -> list[Event]:
    """All events of a run so far; none where the file does not exist yet."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    return [event for event in map(decode_event, lines) if event is not None]


def last_attempt(path: Path) -> int:
    """The byte at which the events of the latest attempt at a run begin."""
    begin = position = 0
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        for line in file:
            # Most lines are of other kinds: only what may be a launch is worth decoding.
            if _LAUNCHED in line and isinstance(decode_event(line.decode(errors="replace")), Launched):
                begin = position
            position += len(line)
    return begin


def read_last_event(path: Path) -> Event | None:
    """The newest event of a run; None where there is none yet."""
    try:
        with path.open("rb") as file:
            file.seek(-min(path.stat().st_size, LONGEST_LINE), os.SEEK_END)
            lines = file.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return None
    for line in reversed(lines):
        if (event := decode_event(line)) is not None:
            return event
    return None


def append_event(path: Path, event: Event) -> None:
    """Add an event, on a line of its own even after one that was cut off."""
    with path.open("ab+") as file:
        if file.tell():
            file.seek(-1, 2)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write(encode_event(event).encode() + b"\n")
