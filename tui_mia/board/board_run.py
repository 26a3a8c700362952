"""A run as the board shows it, whatever it is known from: the database, its directory, or its worker."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias

from pydantic import ValidationError

from tui_mia.board.sight import Sight
from tui_mia.runs import Finished, RunDirectory, RunState
from tui_mia.runs.scan import FoundRun
from tui_mia.spec import AuditSpec
from tui_mia.store import RunOverview, RunRow

RunStatus: TypeAlias = Literal[
    "queued", "starting", "running", "cancelling", "saving", "done", "failed", "cancelled", "cut off"
]
LIVE: Final[frozenset[RunStatus]] = frozenset({"starting", "running", "cancelling"})


@dataclass(frozen=True)
class BoardRun:
    """A run at one moment.

    `samples` (by pool), `auc` (by attack), `verdict` and `row` are what the database has;
    `state` is what the events of the latest attempt add up to, for a run that
    goes on or is not in the database. `problem` says why the run failed, or why
    it isn't in the database.
    """

    run_id: str
    status: RunStatus
    created_at: datetime | None = None
    device: str | None = None
    samples: Mapping[str, int] = field(default_factory=dict)
    auc: Mapping[str, float] = field(default_factory=dict)
    verdict: str | None = None
    spec_text: str = ""
    directory: RunDirectory | None = None
    state: RunState | None = None
    row: RunRow | None = None
    in_database: bool = False
    problem: str | None = None

    @property
    def is_live(self) -> bool:
        return self.status in LIVE

    @property
    def spec(self) -> AuditSpec | None:
        """What was asked; None where it can't be read as a spec of this version."""
        return parsed_spec(self.spec_text)

    @property
    def architecture(self) -> str:
        found = self.row.architecture if self.row else self._asked("model", "architecture")
        return str(found or "?")

    @property
    def pretrained(self) -> str | None:
        found = self.row.pretrained if self.row else self._asked("model", "pretrained")
        return str(found) if found else None

    @property
    def attacks(self) -> tuple[str, ...]:
        """The attacks that were asked for."""
        tables = _document(self.spec_text).get("attacks")
        return tuple(tables) if isinstance(tables, dict) else ()

    @property
    def pools(self) -> tuple[str, ...]:
        """The pools that were given."""
        tables = _document(self.spec_text).get("pools")
        return tuple(tables) if isinstance(tables, dict) else ()

    def _asked(self, table: str, key: str) -> object:
        found = _document(self.spec_text).get(table)
        return found.get(key) if isinstance(found, dict) else None


@lru_cache(maxsize=64)
def parsed_spec(text: str) -> AuditSpec | None:
    """The spec that `dump_spec` wrote as `text`; None for what is none."""
    try:
        return AuditSpec.model_validate(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, ValidationError):
        return None


@lru_cache(maxsize=4096)
def _document(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return {}


def settled_run(run_id: str, sight: Sight, why_not_landed: str | None) -> BoardRun:
    """A run that nobody is at work on, from what the database and its directory say."""
    stored, found = sight.stored.get(run_id), sight.found.get(run_id)
    # Of a later attempt that was cut off the database has not heard.
    if stored is not None and (found is None or found.finished is not None):
        return _stored_run(stored, found)
    assert found is not None, "a run is in the database or has a directory"
    return _found_run(found, sight, why_not_landed)


def _stored_run(stored: RunOverview, found: FoundRun | None) -> BoardRun:
    row = stored.run
    return BoardRun(
        run_id=row.run_id,
        status="cut off" if row.status == "failed" and _was_cut_off(found) else row.status,
        created_at=row.created_at,
        device=row.device,
        samples=stored.samples,
        auc=stored.auc,
        verdict=stored.outcome,
        spec_text=row.spec or "",
        directory=found.directory if found else None,
        row=row,
        in_database=True,
        problem=row.error,
    )


def _found_run(found: FoundRun, sight: Sight, why_not_landed: str | None) -> BoardRun:
    run_id = found.directory.run_id
    journal = sight.journals[run_id]
    finished = found.finished
    landed = bool(found.landed) and not found.is_left_behind
    if finished is None:
        status: RunStatus = "cut off"
        problem = "its worker ended without a word"
        problem += f"; the end of its log:\n{journal.log_tail}" if journal.log_tail else ""
    else:
        status = "cut off" if finished.cut_off else finished.status
        away = "it is not in the database any more" if landed else "it is not in the database"
        put = f"{away}; to put it there: tui-mia ingest {found.directory.path}"
        reasons = (finished.error, why_not_landed or (None if sight.database_problem else put))
        problem = "\n".join(filter(None, reasons))
    return BoardRun(
        run_id=run_id,
        status=status,
        created_at=created_at(found),
        device=journal.state.loaded.device if journal.state.loaded else None,
        spec_text=journal.spec_text,
        directory=found.directory,
        state=journal.state,
        # What has landed is there, also while somebody keeps us from looking.
        in_database=run_id in sight.stored or (landed and sight.database_problem is not None),
        problem=problem or None,
    )


def by_age(run: BoardRun) -> tuple[datetime, str]:
    """What sorts runs from the oldest to the newest."""
    return run.created_at or datetime.min.replace(tzinfo=UTC), run.run_id


def created_at(found: FoundRun) -> datetime | None:
    spec_stamp = found.stamp[0]
    return datetime.fromtimestamp(spec_stamp[0] / 1e9, UTC) if spec_stamp else None


def _was_cut_off(found: FoundRun | None) -> bool:
    return found is not None and isinstance(found.last, Finished) and found.last.cut_off
