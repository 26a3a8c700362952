"""Puts one run into a database, in a process of its own: a large run takes 300 MB that the app never gives back.

    python -P -m tui_mia.board.landing_process RUN_DIR DATABASE WAIT_SECONDS

Ends with the codes of `tui-mia ingest`; what is wrong is on stderr.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tui_mia.exit_codes import ExitCode
from tui_mia.landing import land
from tui_mia.runs import RunDirectory, RunDirectoryError
from tui_mia.store import DatabaseLocked, StoreError


def main(directory: str, database: str, wait_seconds: str) -> ExitCode:
    try:
        land(RunDirectory.open(Path(directory)), Path(database), float(wait_seconds))
    except (StoreError, RunDirectoryError, OSError) as error:
        print(error, file=sys.stderr)
        return ExitCode.LOCKED if isinstance(error, DatabaseLocked) else ExitCode.FAILED
    return ExitCode.DONE


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
