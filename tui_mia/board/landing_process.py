"""Puts one run into a database, in a process of its own: a large run takes 300 MB, and pyarrow stays loaded.

    python -P -m tui_mia.board.landing_process RUN_DIR DATABASE WAIT_SECONDS

Ends with the codes of `tui-mia ingest`; what is wrong or else to be told is on stderr.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tui_mia.board.saving import try_to_land
from tui_mia.exit_codes import ExitCode
from tui_mia.runs import RunDirectory


def main(directory: str, database: str, wait_seconds: str) -> ExitCode:
    code, said = try_to_land(RunDirectory(Path(directory)), Path(database), float(wait_seconds))
    print(said, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
