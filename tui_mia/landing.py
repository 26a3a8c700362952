"""Brings finished runs from their directories into the database."""

from __future__ import annotations

import contextlib
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tui_mia.runs import RunDirectory, RunDirectoryError, RunState
from tui_mia.runs.directory import runs_folder
from tui_mia.runs.embeddings import remove_oldest
from tui_mia.runs.scan import scan
from tui_mia.runs.space import naming
from tui_mia.settings import SettingsError, load_settings
from tui_mia.spec import ModelSpec
from tui_mia.store import (
    DatabaseLocked,
    DatabaseMissing,
    OlderDatabase,
    RunNotFound,
    RunRow,
    StoreError,
    bring_up_to_date,
    delete_run,
    ingest,
)
from tui_mia.store.connect import WAIT_SECONDS

MB: Final = 1e6
GB: Final = 1e9


def land(directory: RunDirectory, database: Path | None = None, wait_seconds: float = WAIT_SECONDS) -> Path:
    """Put a finished run into its database, or another; to do it again changes nothing.

    Raises:
        StoreError: where the database can't be written; the run directory keeps everything.
        RunDirectoryError: for a run that isn't finished.
    """
    database = database or directory.database
    row, layout = _run_row(directory), directory.spec().output.layout
    try:
        ingest(database, row, directory.tables, wait_seconds, layout)
    except OlderDatabase:
        bring_up_to_date(database, wait_seconds)
        ingest(database, row, directory.tables, wait_seconds, layout)
    # The mark is for its own database: what is in another is still to be put into that.
    if os.path.realpath(database) == os.path.realpath(directory.database):
        with naming(directory.landed_path):
            # Half of it is as good as none: the run lands once more, which changes nothing.
            directory.landed_path.write_text(str(row.finished_at))
    return database


def keep_below_limit(database: Path) -> list[str]:
    """Remove the embeddings that the oldest runs store beyond what the settings allow; what to tell the user.

    Nothing is raised: it must not keep anyone from a run that is saved.
    """
    try:
        limit = load_settings().embeddings_limit_gb
        removed = remove_oldest(runs_folder(Path(os.path.realpath(database))), limit * GB)
    except (SettingsError, OSError) as error:
        return [f"stored embeddings are not kept below their limit: {error}"]
    if not removed.run_ids:
        return []
    first, number = removed.run_ids[0], len(removed.run_ids)
    whose = f"run {first}" if number == 1 else f"the {number} oldest runs"
    freed = f"{removed.bytes / MB:,.1f} MB"
    return [f"removed the stored embeddings of {whose} ({freed}): embeddings_limit_gb is {limit:g}"]


def land_left_behind(database: Path) -> list[str]:
    """Land the runs that finished while no front end was there; what to tell the user of each.

    A database of an earlier version is brought up to date before.

    Raises:
        DatabaseLocked: if there is something to do and the file is held.
        StoreError: if the file is none that this version can make use of. One run
            that can't be landed keeps nobody from the others.
    """
    told: list[str] = []
    # Who only starts an audit has no need to wait for who holds the file.
    with contextlib.suppress(DatabaseLocked):
        if told_of_version := bring_up_to_date(database, wait_seconds=0):
            told.append(told_of_version)
    landed = 0
    for run_id, run in scan(runs_folder(Path(os.path.realpath(database))), tell=told.append).items():
        try:
            if run.is_left_behind:
                land(run.directory, database)
                landed += 1
                told.append(f"run {run_id} had finished on its own and is in the database now")
        except DatabaseLocked:
            raise
        except (StoreError, RunDirectoryError, OSError) as error:
            told.append(f"run {run_id} has finished, but can't be put into the database: {error}")
    return told + keep_below_limit(database) if landed else told


def unfinished(database: Path) -> list[str]:
    """What to tell the user of each run that the database can't have yet, because it has not finished."""
    told = []
    for run_id, run in scan(runs_folder(Path(os.path.realpath(database)))).items():
        if run.is_running:
            told.append(f"run {run_id} is going on; follow it: tui-mia resume {run_id}")
        elif run.queued_at is not None:
            told.append(f"run {run_id} is queued in the terminal app; start it now: tui-mia resume {run_id}")
        elif run.finished is None:
            told.append(f"run {run_id} was cut off; go on with it: tui-mia resume {run_id}")
    return told


def forget(database: Path, directory: RunDirectory, wait_seconds: float = WAIT_SECONDS) -> None:
    """Delete a run: its rows in the database and its run directory.

    Raises:
        RunDirectoryError: if it goes on; where its worker came in this moment, its
            rows are gone until it ends.
        StoreError: where the database can't be written; nothing is deleted then.
    """
    goes_on = RunDirectoryError(f"run {directory.run_id} is going on; stop it first")
    if directory.is_running():
        raise goes_on
    # A run that was cut off has a directory only; one whose directory is lost, only rows.
    with contextlib.suppress(DatabaseMissing, RunNotFound):
        delete_run(database, directory.run_id, wait_seconds)
    if not directory.path.is_dir():
        return
    # Not while the database is waited for: to others the run seems to have a worker meanwhile.
    with directory.claim() as claimed:
        if claimed is None:
            raise goes_on
        directory.remove()


def _run_row(directory: RunDirectory) -> RunRow:
    spec, state = directory.spec(), RunState.of(directory.events())
    if state.finished is None:
        raise RunDirectoryError(
            f"{directory.path}: the run has not finished; go on with it: tui-mia resume {directory.path}"
        )
    loaded, started = state.loaded, state.started
    return RunRow(
        run_id=directory.run_id,
        status=state.finished.status,
        created_at=directory.created_at,
        started_at=datetime.fromtimestamp(started.time, UTC) if started else None,
        finished_at=state.finished.ended_at,
        architecture=spec.model.architecture,
        pretrained=spec.model.pretrained,
        precision=f"{spec.model.precision} ({loaded.number_format})" if loaded else spec.model.precision,
        device=loaded.device if loaded else None,
        weights_sha256=loaded.weights_sha256 if loaded else None,
        preprocess_sha256=loaded.preprocess_sha256 if loaded else None,
        tokenizer_sha256=loaded.tokenizer_sha256 if loaded else None,
        reference=_name(spec.reference_model),
        reference_weights_sha256=state.reference.weights_sha256 if state.reference else None,
        spec=directory.spec_path.read_text(encoding="utf-8"),
        versions=started.versions if started else {},
        seconds=state.finished.seconds,
        skipped=state.skipped,
        error=state.finished.error,
        run_directory=str(directory.path),
    )


def _name(reference: ModelSpec | None) -> str | None:
    """A reference as one would name it: its architecture, and its weights if they are apart."""
    if reference is None:
        return None
    return " ".join(name for name in (reference.architecture, reference.pretrained) if name)
