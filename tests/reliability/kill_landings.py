"""Kills `tui-mia ingest` while it makes a database and fills it, again and again, and looks what is left.

    python -m tests.reliability.kill_landings --kills 50

A small audit of the sample world is carried out once; its run directory is put beside no database,
the command is killed at a random moment, then given again. Its rows have to be those of the
undisturbed run, with nothing else beside the database.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.reliability.kill_runs import make_audit
from tests.reliability.killing import Audit, differences, gone_on_with
from tui_mia.runs.directory import runs_folder


def main() -> None:
    parser = argparse.ArgumentParser(description="Kill ingests, repeat them, compare.")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance, wrong = random.Random(options.seed), 0
    with tempfile.TemporaryDirectory(prefix="tui-mia-landings-") as name:
        folder = Path(name)
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        spec_path = make_audit(folder)
        (folder / "undisturbed").mkdir()
        undisturbed = Audit(spec_path, folder / "undisturbed" / "audits.duckdb")
        gone_on_with(undisturbed, "run")
        seconds = _landed(_copied(undisturbed, folder / "timed"))
        for number in range(options.kills):
            audit = _copied(undisturbed, folder / str(number))
            _landed(audit, chance.uniform(0.3 * seconds, seconds))
            _landed(audit)
            found = differences(audit, undisturbed)
            wrong += bool(found)
            print(*found, sep="\n", end="\n" if found else "", flush=True)
    print(f"{options.kills} kills, {wrong} of which left something or lost something; seed {options.seed}")
    sys.exit(1 if wrong else 0)


def _copied(undisturbed: Audit, folder: Path) -> Audit:
    """The run of an audit beside a database that is not there yet."""
    audit = Audit(undisturbed.spec_path, folder / "audits.duckdb")
    assert undisturbed.directory is not None
    copy = runs_folder(audit.database) / undisturbed.directory.run_id
    shutil.copytree(undisturbed.directory.path, copy)
    (copy / "landed").unlink()
    return audit


def _landed(audit: Audit, killed_after: float | None = None) -> float:
    """Land a run, or kill the command that does; the seconds that it took."""
    assert audit.directory is not None
    began = time.monotonic()
    command = [sys.executable, "-m", "tui_mia", "ingest", str(audit.directory.path)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait(killed_after)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    return time.monotonic() - began


if __name__ == "__main__":
    main()
