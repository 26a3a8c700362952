"""The child process that owns the device: opens a run directory and carries out its audit.

`python -m tui_mia.worker RUN_DIR [--verbose]`, started by a front end. What it has to say
goes to the run's `events.jsonl`; what it and its libraries print, to
`worker.log`. SIGTERM cancels; a lost terminal (SIGHUP) does not.
"""

from __future__ import annotations

import os
import platform
import signal
import sys
import traceback
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import NoReturn

from tui_mia.network import keep_off_hubs, keep_off_the_network
from tui_mia.private import keep_private
from tui_mia.runs.directory import RunDirectory
from tui_mia.runs.events import Finished, Started
from tui_mia.runs.reporter import Reporter
from tui_mia.runs.space import full_message, is_full, still_needed
from tui_mia.runs.tasks import TaskDirectory
from tui_mia.spec import SpecError, load_spec


class Cancelled(BaseException):
    """The run was asked to stop."""


def main(arguments: list[str]) -> NoReturn:
    keep_private()
    signal.signal(signal.SIGTERM, _cancel)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    directory = _directory(arguments)
    report = Reporter(directory, verbose="--verbose" in arguments[1:])
    try:
        finished = _run(directory, report)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    except Cancelled:
        finished = Finished("cancelled", None, report.seconds)
    try:
        report.tell(finished)
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError as error:
        if not is_full(error):
            raise
        # Whoever follows the run sees that it ended, and that nothing is free.
    # Not sys.exit: decoding threads that still run have nothing left to say.
    os._exit(0 if finished.status == "done" else 1)


def _directory(arguments: list[str]) -> RunDirectory:
    """The run that this process is to carry out, or to do a task of."""
    directory = RunDirectory.open(Path(arguments[0]))
    if "--task" not in arguments:
        return directory
    index, count = arguments[arguments.index("--task") + 1 :][:2]
    return TaskDirectory(directory.path, int(index), int(count))


def _run(directory: RunDirectory, report: Reporter) -> Finished:
    try:
        directory.sweep()
        report.tell(Started(os.getpid(), _versions()))
        spec = load_spec(directory.spec_path)
        if spec.run.engine == "ray":
            keep_off_hubs(
                spec
            )  # Ray is reached over the network; models are loaded by actors, which have none
        else:
            keep_off_the_network(spec)
        with report.phase("start"):
            from tui_mia.audit import AUDIT_ERRORS, encode_task, run_audit
        try:
            if isinstance(directory, TaskDirectory):
                encode_task(spec, directory, report)
            else:
                run_audit(spec, directory, report)
        except AUDIT_ERRORS as error:
            return Finished("failed", str(error), report.seconds)
        return Finished("done", None, report.seconds)
    except SpecError as error:
        return Finished("failed", str(error), report.seconds)
    except Exception as error:
        if signal.getsignal(signal.SIGTERM) is signal.SIG_IGN:
            raise Cancelled from error  # C code that is interrupted may raise an error of its own
        if isinstance(error, OSError) and is_full(error):
            return _full_disk(directory, report, error)
        if isinstance(error, RuntimeError) and "CUDA error" in str(error):
            traceback.print_exc()
            return Finished("failed", _lost_device(directory, report, error), report.seconds)
        traceback.print_exc()
        return Finished(
            "failed", f"{type(error).__name__}: {error} (the whole of it is in {directory.log_path})"
        )


def _full_disk(directory: RunDirectory, report: Reporter, error: OSError) -> Finished:
    folder = Path(error.filename).parent if error.filename else directory.path
    is_here = folder.is_relative_to(directory.path)
    needed = still_needed(directory.parts, report.encoded) if is_here else None
    message = full_message(directory.path if is_here else folder, error, needed)
    # What can't be written to its end makes room for the last word.
    directory.sweep()
    advice = "make space" if needed else "make space; `tui-mia check` says how much an audit takes"
    return Finished("failed", f"{message}; {advice}", report.seconds, cut_off=True)


def _lost_device(directory: RunDirectory, report: Reporter, error: RuntimeError) -> str:
    """What CUDA says of a device that hung or is gone is several lines, of which the first is the reason."""
    return (
        f"{report.device} failed: {str(error).splitlines()[0]} (the whole of it is in {directory.log_path}); "
        f"where it does not come back: tui-mia resume {directory.run_id} --device cpu"
    )


def _cancel(signal_number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Cancelled


def _versions() -> dict[str, str]:
    packages = ("tui-mia", "torch", "open_clip_torch", "numpy", "scikit-learn", "pillow", "pyarrow")
    return {"python": platform.python_version(), **{package: version(package) for package in packages}}


if __name__ == "__main__":
    main(sys.argv[1:])
