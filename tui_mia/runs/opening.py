"""Which run a spec means: one to join, one to go on with, or a new one."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from typing import Literal

from tui_mia.runs.directory import RunDirectory, RunDirectoryError
from tui_mia.runs.events import Finished
from tui_mia.runs.files import replace_with_text
from tui_mia.runs.identity import find_unfinished, inputs_digest
from tui_mia.runs.space import naming
from tui_mia.runs.tasks import require_no_tasks
from tui_mia.spec import AuditSpec, dump_spec, load_spec


@dataclass(frozen=True)
class OpenedRun:
    """A run directory to start a worker in, and what that means: a run is joined where a worker lives."""

    directory: RunDirectory
    how: Literal["starting", "resuming", "joining"]


def open_run(spec: AuditSpec, *, new: bool) -> OpenedRun:
    """The unfinished run of the same spec on the same files; a new one if there is none, or with `new`.

    Raises:
        RunDirectoryError: if the directory of a new run can't be made, or tasks of the unfinished one
            are at work on it.
    """
    inputs = inputs_digest(spec)
    unfinished = None if new else find_unfinished(spec, inputs)
    if unfinished is None:
        return OpenedRun(RunDirectory.create(spec, inputs), "starting")
    require_no_tasks(unfinished)
    return OpenedRun(unfinished, "joining" if unfinished.is_running() else "resuming")


def open_again(directory: RunDirectory) -> OpenedRun:
    """A run that was cut off, to go on with.

    Raises:
        RunDirectoryError: if it is done or half deleted, tasks are at work on it, or its input
            files are not what they were: half a run on one state of them and half on another
            would be no audit.
    """
    if directory.is_running():
        return OpenedRun(directory, "joining")
    require_no_tasks(directory)
    last = directory.last_event()
    if isinstance(last, Finished) and last.status == "done":
        raise RunDirectoryError(f"run {directory.run_id} is done; see it: tui-mia show {directory.run_id}")
    if not directory.inputs_path.exists():
        raise RunDirectoryError(
            f"run {directory.run_id} was being deleted and lacks files; delete it again: "
            f"tui-mia delete {directory.run_id}"
        )
    if directory.inputs_path.read_text() != inputs_digest(directory.spec()):
        raise RunDirectoryError(
            f"{directory.path}: its input files have changed since; "
            f"start afresh: tui-mia run {shlex.quote(str(directory.spec_path))} --new"
        )
    return OpenedRun(directory, "resuming")


def move(directory: RunDirectory, device: str) -> None:
    """Let a run that is at rest go on on another device; what it has encoded it keeps.

    Raises:
        RunDirectoryError: if it goes on.
        SpecError: if `device` is no name of one.
    """
    if directory.is_running():
        raise RunDirectoryError(f"run {directory.run_id} is going on; stop it first")
    created = directory.spec_path.stat().st_mtime_ns
    # No more on the devices or the machines that are gone.
    elsewhere = {"run.devices": None, "run.engine": "local", "run.address": None, "run.actors": None}
    spec = load_spec(directory.spec_path, {"model.device": device, **elsewhere})
    with naming(directory.spec_path):
        replace_with_text(directory.spec_path, dump_spec(spec))
    # By which a run is known to have been created when it was.
    os.utime(directory.spec_path, ns=(created, created))
