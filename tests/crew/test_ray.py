"""A Ray cluster leaves what one encoder does, whichever of its actors and machines are lost on the way."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest

from tests.crew.conftest import Audit
from tui_mia.crew import CrewError, open_encoders
from tui_mia.exit_codes import ExitCode
from tui_mia.runs import Note, RunDirectory
from tui_mia.runs.reporter import Reporter
from tui_mia.spec import load_spec

DEADLINE_SECONDS = 400.0
pytestmark = pytest.mark.timeout(3 * DEADLINE_SECONDS)
# Python looks for this module in every process that it starts.
HOOKS = """
import os, signal, sys

if any("default_worker.py" in argument for argument in sys.orig_argv):
    import json, socket, time
    from pathlib import Path
    import tui_mia.pools as pools

    read_shard, folder = pools.read_shard, Path(os.environ["HOOKS"])

    def hooked(shard, spec):
        import ray

        try:
            socket.create_connection(("127.0.0.1", 9))
        except OSError as error:
            (folder / "network").write_text(type(error).__name__)
        node = ray.get_runtime_context().get_node_id()
        for number, hook in enumerate(json.loads((folder / "hooks.json").read_text())):
            done = folder / f"{number}-done"
            if hook["shard"] in ("any", f"{shard.pool} {shard.index}") and hook["node"] in ("any", node):
                if hook["once"] and done.exists():
                    continue
                done.write_text(str(os.getpid()))
                if hook["what"] == "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                time.sleep(3600)
        return read_shard(shard, spec)

    pools.read_shard = hooked
"""


@dataclass
class Ray:
    """A cluster of this machine, and what its actors do when they open a shard."""

    cluster: Any
    folder: Path

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def hook(self, *hooks: dict[str, Any]) -> None:
        for left in self.folder.glob("*-done"):
            left.unlink()
        complete = [{"shard": "any", "node": "any", "what": "kill", "once": True} | hook for hook in hooks]
        (self.folder / "hooks.json").write_text(json.dumps(complete))

    def come_to(self, number: int) -> int:
        """Wait until the actor is there that a hook is for; its process."""
        done = self.folder / f"{number}-done"
        wait_until(lambda: done.exists() and bool(done.read_text()))
        return int(done.read_text())


@pytest.fixture(scope="module")
def ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ray]:
    """Two machines of one CPU each, as far as Ray can tell."""
    hooks = tmp_path_factory.mktemp("hooks")
    (hooks / "sitecustomize.py").write_text(HOOKS)
    # Of the path of a socket the system takes 107 bytes.
    sessions = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    with pytest.MonkeyPatch.context() as patch:
        path = os.pathsep.join(filter(None, (str(hooks), os.environ.get("PYTHONPATH"))))
        for name, value in {
            "PYTHONPATH": path,
            "HOOKS": str(hooks),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
            "RAY_TMPDIR": str(sessions),
        }.items():
            patch.setenv(name, value)
        pytest.importorskip("ray")
        from ray.cluster_utils import Cluster

        (sessions / "ray").mkdir()
        options: dict[str, Any] = {"num_cpus": 1, "num_gpus": 0, "object_store_memory": 100 * 2**20}
        head = {**options, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        try:
            cluster.add_node(**options)
            yield Ray(cluster, hooks)
        finally:
            cluster.shutdown()  # type: ignore[no-untyped-call]
            shutil.rmtree(sessions, ignore_errors=True)


def wait_until(reached: Callable[[], bool]) -> None:
    until = time.monotonic() + DEADLINE_SECONDS
    while not reached():
        assert time.monotonic() < until
        time.sleep(0.05)


def start(audit: Audit, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tui_mia", *arguments, "--db", str(audit.database), "--quiet"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run_on(ray: Ray | None, audit: Audit, *arguments: str) -> subprocess.Popen[str]:
    where = ["--set", "run.engine=ray"] + (["--set", f"run.address={ray.address}"] if ray else [])
    return start(audit, "run", str(audit.spec), *where, *arguments)


def ended(front_end: subprocess.Popen[str]) -> tuple[int, str]:
    _, said = front_end.communicate(timeout=DEADLINE_SECONDS)
    return front_end.returncode, said


def notes(audit: Audit) -> list[str]:
    return [event.message for event in audit.directory.events() if isinstance(event, Note)]


def rays_of(worker: int) -> list[psutil.Process]:
    """What a worker has started."""
    started: list[psutil.Process] = psutil.Process(worker).children(recursive=True)
    return started


def test_a_shard_that_kills_every_actor_is_named_and_the_rest_is_kept(
    ray: Ray, crew_audit: Audit, by_one: dict[str, bytes]
) -> None:
    ray.hook({"shard": "nonmembers 1", "once": False})
    code, said = ended(run_on(ray, crew_audit))
    assert code == ExitCode.FAILED, said
    assert "shards that could not be encoded: 1; all others are" in said
    assert "nonmembers 1 (nonmembers-1.tar): the actor that encodes is gone: " in said
    kept = crew_audit.left()
    assert {name for name in by_one if name not in kept and "00000" in name} == {
        "nonmembers-000001-000000.parquet",
        "rejects-nonmembers-000001-000000.parquet",
    }
    ray.hook()
    code, said = ended(start(crew_audit, "resume", crew_audit.directory.run_id))
    assert code == 0, said
    assert crew_audit.left() == by_one
    scores = pq.read_table(crew_audit.directory.tables / "scores.parquet", columns=["attack", "number"])
    assert scores.group_by(["attack", "number"]).aggregate([]).num_rows == scores.num_rows


def test_actors_end_with_a_worker_that_is_killed_and_the_run_goes_on(
    ray: Ray, crew_audit: Audit, by_one: dict[str, bytes]
) -> None:
    ray.hook({"what": "hang", "shard": "candidates 3"})
    front_end = run_on(ray, crew_audit)
    actor = psutil.Process(ray.come_to(0))
    worker = crew_audit.directory.worker()
    assert worker is not None
    os.kill(worker, signal.SIGKILL)
    assert ended(front_end)[0] == ExitCode.FAILED
    psutil.wait_procs([actor], timeout=DEADLINE_SECONDS)
    assert not actor.is_running()
    ray.hook()
    code, said = ended(start(crew_audit, "resume", crew_audit.directory.run_id))
    assert code == 0, said
    assert crew_audit.left() == by_one


def test_a_cluster_that_loses_an_actor_and_a_machine_leaves_what_one_encoder_does(
    ray: Ray, crew_audit: Audit, by_one: dict[str, bytes]
) -> None:
    head, second = ray.cluster.head_node, next(iter(ray.cluster.worker_nodes))
    ray.hook({"node": head.node_id}, {"node": second.node_id, "what": "hang"})
    front_end = run_on(ray, crew_audit)
    ray.come_to(1)
    ray.cluster.remove_node(second, allow_graceful=False)
    code, said = ended(front_end)
    assert code == 0, said
    assert crew_audit.left() == by_one
    told = notes(crew_audit)
    assert any("process has died; it is started again" in note for note in told)
    assert (ray.folder / "network").read_text() == "NetworkRefusedError"


def test_a_ray_that_was_started_for_a_run_ends_with_it(crew_audit: Audit, tmp_path: Path) -> None:
    (tmp_path / "temporary").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(tmp_path / "temporary"))
        patch.delenv("RAY_ADDRESS", raising=False)
        front_end = run_on(None, crew_audit)
    directory: list[RunDirectory] = []

    def is_loaded() -> bool:
        assert front_end.poll() is None, ended(front_end)
        directory[:] = [crew_audit.directory] if list(crew_audit.database.parent.glob("*.runs/2*")) else []
        worker = directory[0].worker() if directory else None
        return worker is not None and any("raylet" in process.name() for process in rays_of(worker))

    wait_until(is_loaded)
    worker = directory[0].worker()
    assert worker is not None
    started = rays_of(worker)
    raylet = next(process for process in started if "raylet" in process.name())
    # It is there a moment before its environment is.
    wait_until(lambda: "RAY_AUTH_MODE" in raylet.environ())
    assert {"RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0"}.items() <= raylet.environ().items()
    folder = re.search(r"/tmp/tui-mia-ray-\w+", " ".join(raylet.cmdline()))
    assert folder is not None
    assert Path(folder[0]).stat().st_mode & 0o077 == 0
    front_end.send_signal(signal.SIGTERM)
    assert ended(front_end)[0] == ExitCode.INTERRUPTED
    _, alive = psutil.wait_procs(started, timeout=DEADLINE_SECONDS)
    assert not alive


def test_an_address_where_nobody_answers_is_named(crew_spec: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    with pytest.raises(CrewError, match=r"nothing answers at 127\.0\.0\.1:9 .*ray status"):
        opened(crew_spec, tmp_path, {"run.address": "127.0.0.1:9"})


def test_without_ray_the_error_has_the_command(
    crew_spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "tui_mia.crew.ray_actors", raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(CrewError, match=r"pip install 'tui-mia\[ray\]'"):
        opened(crew_spec, tmp_path, {})


def opened(spec_path: Path, folder: Path, overrides: dict[str, Any]) -> None:
    spec = load_spec(
        spec_path, {"run.engine": "ray", "output.database": str(folder / "a.duckdb"), **overrides}
    )
    directory = RunDirectory.create(spec, "")
    open_encoders(spec, directory, Reporter(directory))
