"""Brings finished runs from their directories into the database."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from tui_mia.runs import RunDirectory, RunDirectoryError, RunState
from tui_mia.runs.directory import runs_folder
from tui_mia.store import RunRow, ingest


def land(directory: RunDirectory) -> None:
    """Put a finished run into its database; to do it again changes nothing.

    Raises:
        StoreError: where the database can't be written; the run directory keeps everything.
        RunDirectoryError: for a run that isn't finished.
    """
    ingest(Path(directory.spec().output.database), _run_row(directory), directory.tables)
    directory.landed_path.touch()


def land_left_behind(database: Path) -> list[str]:
    """Land the runs that finished while no front end was there; their ids."""
    landed = []
    for folder in sorted(runs_folder(database).glob("*/")):
        directory = RunDirectory(folder)
        left = directory.spec_path.is_file() and not directory.landed_path.exists()
        if left and directory.worker() is None and RunState.of(directory.events()).finished:
            land(directory)
            landed.append(directory.run_id)
    return landed


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
        finished_at=datetime.fromtimestamp(state.finished.time, UTC),
        architecture=spec.model.architecture,
        pretrained=spec.model.pretrained,
        precision=f"{spec.model.precision} ({loaded.number_format})" if loaded else spec.model.precision,
        device=loaded.device if loaded else None,
        weights_sha256=loaded.weights_sha256 if loaded else None,
        preprocess_sha256=loaded.preprocess_sha256 if loaded else None,
        tokenizer_sha256=loaded.tokenizer_sha256 if loaded else None,
        spec=directory.spec_path.read_text(encoding="utf-8"),
        versions=started.versions if started else {},
        seconds=state.finished.seconds,
        skipped=state.skipped,
        error=state.finished.error,
        run_directory=str(directory.path),
    )
