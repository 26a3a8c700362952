"""Whether what is stored of a run leads to the figures, checks and verdicts that are stored of it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from tui_mia.store import StoreError, export_run, summarise

_TABLES: Final = ("samples", "scores", "baselines", "duplicates", "metrics", "checks", "verdicts")


@dataclass(frozen=True)
class Difference:
    """A stored value that is not what follows; `column` is None where the whole row is missing."""

    table: str
    row: str
    column: str | None
    stored: Any
    recomputed: Any


@dataclass(frozen=True)
class Verification:
    """What was compared and what differs; `not_recomputed` needs the model or the pictures again."""

    run_id: str
    compared: int
    differences: list[Difference]
    not_recomputed: list[str]

    def document(self) -> dict[str, Any]:
        """The JSON document of `tui-mia verify --json`."""
        return {**vars(self), "differences": [vars(difference) for difference in self.differences]}


def verify(database: Path, run_id: str) -> Verification:
    """Judge a run again from what the database has of it, in a process of its own.

    Raises:
        RunNotFound: if the database does not have the run.
        StoreError: if what it has can't be judged.
    """
    run = summarise(database, run_id).run
    with TemporaryDirectory(prefix="tui-mia-verify-") as temporary:
        folder = Path(temporary)
        (folder / "spec.toml").write_text(run.spec or "", encoding="utf-8")
        for table in _TABLES:
            export_run(database, run_id, folder / f"{table}.parquet", "parquet", table)
        # Not in the current folder: a torch.py there is not torch.
        ran = subprocess.run(
            [sys.executable, "-P", "-m", "tui_mia.recompute", str(folder)],
            capture_output=True, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
    if ran.returncode:
        last = ran.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise StoreError(f"run {run_id} can't be judged again: {''.join(last)}")
    found = json.loads(ran.stdout)
    differences = [Difference(**difference) for difference in found.pop("differences")]
    return Verification(run_id=run_id, differences=differences, **found)
