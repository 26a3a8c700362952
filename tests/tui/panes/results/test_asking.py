"""What is told of a database that somebody else has."""

from __future__ import annotations

import os
import subprocess
import sys

from tui_mia.board.saving import LANDING_PROCESS
from tui_mia.store import DatabaseLocked
from tui_mia.tui.panes.results.asking import who_holds_it


def test_whoever_puts_a_run_in_is_waited_for_and_anybody_else_is_to_close_it() -> None:
    wait = ["-c", "import sys; sys.stdin.read()"]
    with (
        subprocess.Popen([sys.executable, *wait, LANDING_PROCESS], stdin=subprocess.PIPE) as landing,
        subprocess.Popen([sys.executable, *wait], stdin=subprocess.PIPE) as other,
    ):
        assert "is being written" in who_holds_it(DatabaseLocked("", landing.pid))
        assert f"held by process {other.pid}" in who_holds_it(DatabaseLocked("", other.pid))
        for process in (landing, other):
            process.communicate()
    assert "is being written" in who_holds_it(DatabaseLocked("", os.getpid()))
    assert "held by another process" in who_holds_it(DatabaseLocked("", None))
