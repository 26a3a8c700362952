"""A finished run that a test may do what it likes with."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tui_mia.runs import RunDirectory
from tui_mia.runs.directory import runs_folder


@pytest.fixture
def copied_run(finished_run: Any, tmp_path: Path) -> RunDirectory:
    """The finished run beside a database that is not there yet."""
    directory = RunDirectory(runs_folder(tmp_path / "audits.duckdb") / finished_run.run_id)
    shutil.copytree(finished_run.directory.path, directory.path)
    directory.landed_path.unlink()
    return directory
