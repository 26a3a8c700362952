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

from tui_mia.runs.directory import RunDirectory
from tui_mia.runs.events import Finished, Started
from tui_mia.runs.reporter import Reporter
from tui_mia.spec import SpecError, load_spec


class Cancelled(BaseException):
    """The run was asked to stop."""


def main(arguments: list[str]) -> NoReturn:
    signal.signal(signal.SIGTERM, _cancel)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    directory = RunDirectory.open(Path(arguments[0]))
    report = Reporter(directory, verbose="--verbose" in arguments[1:])
    try:
        finished = _run(directory, report)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    except Cancelled:
        finished = Finished("cancelled", None, report.seconds)
    report.tell(finished)
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: decoding threads that still run have nothing left to say.
    os._exit(0 if finished.status == "done" else 1)


def _run(directory: RunDirectory, report: Reporter) -> Finished:
    try:
        report.tell(Started(os.getpid(), _versions()))
        spec = load_spec(directory.spec_path)
        with report.phase("start"):
            from tui_mia.audit import AUDIT_ERRORS, run_audit
        try:
            run_audit(spec, directory, report)
        except AUDIT_ERRORS as error:
            return Finished("failed", str(error), report.seconds)
        return Finished("done", None, report.seconds)
    except SpecError as error:
        return Finished("failed", str(error), report.seconds)
    except Exception as error:
        if signal.getsignal(signal.SIGTERM) is signal.SIG_IGN:
            raise Cancelled from error  # C code that is interrupted may raise an error of its own
        traceback.print_exc()
        return Finished(
            "failed", f"{type(error).__name__}: {error} (the whole of it is in {directory.log_path})"
        )


def _cancel(signal_number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Cancelled


def _versions() -> dict[str, str]:
    packages = ("tui-mia", "torch", "open_clip_torch", "numpy", "scikit-learn", "pillow", "pyarrow")
    return {"python": platform.python_version(), **{package: version(package) for package in packages}}


if __name__ == "__main__":
    main(sys.argv[1:])
