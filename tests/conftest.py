"""A small audit of the sample world, carried out once, for every test that looks at a finished run."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from PIL import Image

from tui_mia.demo import sample_world
from tui_mia.runs import RunDirectory

# Read when a library is loaded: nothing here waits for the network, and no thread spins while it waits.
os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_WAIT_POLICY": "PASSIVE"}

# How long an example takes says more of what else the machine does than of the code.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.fixture(scope="session", autouse=True)
def _this_process_keeps_the_network() -> Iterator[None]:
    """A worker that is tried in this process would forbid it the network for good, and tests after it."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("tui_mia.network._refuse", lambda event, arguments: None)
        yield


SMALL_AUDIT = """
[model]
architecture = "local-dir:{world}/models/target"
device = "cpu"

[pools.candidates]
source = "{world}/candidates.tar"
limit = 70

[pools.nonmembers]
source = "{world}/nonmembers.tar"
limit = 70

[pools.general]
source = "{world}/general.tar"
limit = 90

[attacks.csa]
[attacks.aea]
views = 2
[attacks.wsa]
seeds = 1
[attacks.loss]
"""


@pytest.fixture(scope="session", autouse=True)
def own_surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests wait for no device that another audit of this machine holds, and see no setting of its user."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
            patch.setenv(name, str(tmp_path_factory.mktemp("home")))
        for name in ("FORCE_COLOR", "COLUMNS", "LINES"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session")
def world() -> Path:
    return sample_world()


@pytest.fixture
def small_audit(tmp_path: Path, world: Path) -> Path:
    """The spec of a small audit, as a file of the test's own."""
    path = tmp_path / "audit.toml"
    path.write_text(SMALL_AUDIT.format(world=world))
    return path


@pytest.fixture(scope="session")
def tui_mia() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command line in a process of its own."""

    def run(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tui_mia", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)

    return run


@dataclass(frozen=True)
class FinishedRun:
    """What `tui-mia run --json` did with the small audit."""

    spec_path: Path
    database: Path
    completed: subprocess.CompletedProcess[str]

    @property
    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.completed.stdout)
        return document

    @property
    def run_id(self) -> str:
        return str(self.document["run_id"])

    @property
    def directory(self) -> RunDirectory:
        return RunDirectory.open(Path(self.document["run_directory"]))


@pytest.fixture(scope="session")
def finished_run(
    tmp_path_factory: pytest.TempPathFactory,
    world: Path,
    tui_mia: Callable[..., subprocess.CompletedProcess[str]],
) -> FinishedRun:
    """The small audit, carried out by the real worker; for looking at, not for changing."""
    folder = tmp_path_factory.mktemp("finished-run")
    spec_path, database = folder / "audit.toml", folder / "audits.duckdb"
    spec_path.write_text(SMALL_AUDIT.format(world=world))
    completed = tui_mia("run", spec_path, "--db", database, "--json", umask=0o022)
    assert completed.returncode == 0, completed.stderr
    return FinishedRun(spec_path, database, completed)


@pytest.fixture(scope="session")
def image_bytes() -> Callable[..., bytes]:
    """Makes an encoded image: a gradient with the number in it, so that no two are alike."""

    def make(
        number: int = 0,
        size: tuple[int, int] = (48, 40),
        mode: str = "RGB",
        image_format: str = "PNG",
        **options: Any,
    ) -> bytes:
        gradient = Image.linear_gradient("L").resize(size)
        flat = Image.new("L", size, number * 37 % 256)
        image = Image.merge("RGB", (gradient, flat, gradient.rotate(180))).convert(mode)
        buffer = io.BytesIO()
        image.save(buffer, image_format, **options)
        return buffer.getvalue()

    return make
