"""An audit of several small tars, carried out by one encoder, and ways to have an encoder die."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tui_mia.runs import RunDirectory
from tui_mia.runs.directory import runs_folder

TARS = {"candidates": (5, 14), "nonmembers": (3, 24), "general": (3, 24)}
SPEC = """
[model]
architecture = "local-dir:{world}/models/target"

[pools.candidates]
source = "{tars}/candidates-*.tar"

[pools.nonmembers]
source = "{tars}/nonmembers-*.tar"

[pools.general]
source = "{tars}/general-*.tar"

[attacks.csa]
[attacks.aea]
views = 1
[attacks.wsa]
seeds = 1

[run]
threads = 1
"""
# Python looks for this module in every process that it starts.
DIES = """
import os, signal, sys

place = "spawn_main" if os.environ["DIES"] == "encoder" else "--task"
if any(place in argument for argument in sys.orig_argv):
    from pathlib import Path
    import tui_mia.pools as pools

    read_shard = pools.read_shard

    def dying(shard, spec):
        once = os.environ.get("DIES_ONCE")
        if f"{shard.pool} {shard.index}" == os.environ["DIES_OF"] and not (once and Path(once).exists()):
            if once:
                Path(once).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return read_shard(shard, spec)

    pools.read_shard = dying
"""

Completed = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Audit:
    """The spec of an audit, the database that it goes to, and what it leaves there."""

    spec: Path
    database: Path
    tui_mia: Callable[..., Completed]
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: object, **environment: str) -> Completed:
        """`tui-mia run` or, with arguments that begin so, another command."""
        environ = os.environ | self.environment | environment
        arguments = arguments if arguments[:1] == ("resume",) else ("run", self.spec, *arguments)
        return self.tui_mia(*arguments, "--db", self.database, "--json", env=environ)

    @property
    def directory(self) -> RunDirectory:
        (found,) = runs_folder(self.database).glob("*/")
        return RunDirectory(found)

    def left(self) -> dict[str, bytes]:
        """Every part and table of the run, by name."""
        folders = (self.directory.parts, self.directory.tables)
        return {path.name: path.read_bytes() for folder in folders for path in folder.glob("*.parquet")}

    def document(self, completed: Completed) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(completed.stdout)
        return document


@pytest.fixture(scope="session")
def crew_spec(tmp_path_factory: pytest.TempPathFactory, world: Path) -> Path:
    """The spec of an audit of several tars."""
    folder = tmp_path_factory.mktemp("crew")
    for pool, (tars, pairs) in TARS.items():
        samples = _samples(world / f"{pool}.tar", tars * pairs)
        for number in range(tars):
            with tarfile.open(folder / f"{pool}-{number}.tar", "w") as archive:
                for member, content in (each for sample in samples[number::tars] for each in sample):
                    archive.addfile(member, io.BytesIO(content))
    path = folder / "audit.toml"
    path.write_text(SPEC.format(world=world, tars=folder))
    return path


@pytest.fixture(scope="session")
def by_one(
    crew_spec: Path, tmp_path_factory: pytest.TempPathFactory, tui_mia: Callable[..., Completed]
) -> dict[str, bytes]:
    """What the audit leaves that one encoder carries out, in the worker itself."""
    audit = Audit(crew_spec, tmp_path_factory.mktemp("one") / "audits.duckdb", tui_mia)
    completed = audit.run()
    assert completed.returncode == 0, completed.stderr
    return audit.left()


@pytest.fixture
def crew_audit(crew_spec: Path, tmp_path: Path, tui_mia: Callable[..., Completed]) -> Audit:
    """The audit of several tars, which nobody has carried out yet."""
    return Audit(crew_spec, tmp_path / "audits.duckdb", tui_mia)


@pytest.fixture
def dying(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """The environment in which the processes of a kind are killed when they open a shard."""

    def of(shard: str, kind: str = "encoder", *, once: bool = False) -> dict[str, str]:
        folder = tmp_path / "dying"
        folder.mkdir(exist_ok=True)
        (folder / "sitecustomize.py").write_text(DIES)
        environment = {"PYTHONPATH": _with_python_path(folder), "DIES": kind, "DIES_OF": shard}
        return environment | ({"DIES_ONCE": str(folder / "died")} if once else {})

    return of


def _with_python_path(folder: Path) -> str:
    return os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))


def _samples(path: Path, count: int) -> list[list[tuple[tarfile.TarInfo, bytes]]]:
    """The first samples of a tar, each with its members."""
    samples: dict[str, list[tuple[tarfile.TarInfo, bytes]]] = {}
    with tarfile.open(path) as archive:
        for member in archive:
            key = member.name.partition(".")[0]
            if member.isfile() and (key in samples or len(samples) < count):
                content = archive.extractfile(member)
                assert content is not None
                samples.setdefault(key, []).append((member, content.read()))
    return list(samples.values())
