"""The network: an audit of what is on this machine does not touch it."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tui_mia.network import names_a_hub
from tui_mia.spec import AuditSpec

TuiMia = Callable[..., subprocess.CompletedProcess[str]]

# A process of a local spec that tries to reach a server of this machine, by any way that Python has.
REACH_OUT = """
import os, socket, sys, urllib.request
from tui_mia.network import NetworkRefusedError, keep_off_the_network
from tui_mia.spec import AuditSpec
document = {"model": {"architecture": sys.argv[1]}, "pools": {"candidates": {"source": "x.csv"}}}
keep_off_the_network(AuditSpec.model_validate(document))
port = int(sys.argv[2])
ways = [
    lambda: socket.create_connection(("127.0.0.1", port)),
    lambda: socket.socket().connect(("127.0.0.1", port)),
    lambda: socket.socket().connect_ex(("127.0.0.1", port)),
    lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", port)),
    lambda: socket.getaddrinfo("localhost", port),
    lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}"),
]
for way in ways:
    try:
        way()
        print("reached")
    except NetworkRefusedError:
        print("refused")
    except OSError as error:
        print("refused" if isinstance(getattr(error, "reason", None), NetworkRefusedError) else error)
print(os.environ["HF_HUB_DISABLE_TELEMETRY"], os.environ.get("HF_HUB_OFFLINE"))
a, b = socket.socketpair()
a.sendall(b"x")
"""


def spec_of(architecture: str, pretrained: str | None = None, **tables: Any) -> AuditSpec:
    model = {"architecture": architecture, "pretrained": pretrained}
    pools = {"candidates": {"source": "x.csv"}}
    return AuditSpec.model_validate({"model": model, "pools": pools, **tables})


def test_a_hub_is_named_by_its_scheme_or_by_a_tag() -> None:
    assert names_a_hub(spec_of("hf-hub:some/model"))
    assert names_a_hub(spec_of("ViT-B-32", "openai"))
    assert names_a_hub(spec_of("hf-hub:some/model", "./model.pt"))
    assert not names_a_hub(spec_of("ViT-B-32", "./model.pt"))
    assert not names_a_hub(spec_of("local-dir:/models/one"))
    assert names_a_hub(spec_of("local-dir:/models/one", reference={"architecture": "hf-hub:some/model"}))


@pytest.fixture
def port() -> Any:
    """A server of this machine that takes whatever comes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        yield server.getsockname()[1]


@pytest.mark.parametrize(
    ("architecture", "answer"), [("local-dir:/m", "refused"), ("hf-hub:some/model", "reached")]
)
def test_a_process_is_kept_off_unless_the_spec_names_a_hub(architecture: str, answer: str, port: int) -> None:
    command = [sys.executable, "-c", REACH_OUT, architecture, str(port)]
    completed = subprocess.run(command, capture_output=True, text=True, timeout=60, env={})
    assert completed.stderr == ""
    *ways, settings = completed.stdout.splitlines()
    assert ways == [answer] * 6
    assert settings == ("1 1" if answer == "refused" else "1 None")


def test_an_audit_runs_where_there_is_no_network_at_all(
    small_audit: Path, tmp_path: Path, tui_mia: TuiMia
) -> None:
    apart = ["unshare", "--map-root-user", "--net"]
    if shutil.which("unshare") is None or subprocess.run([*apart, "true"], capture_output=True).returncode:
        pytest.skip("no network namespace of one's own can be had here")
    arguments = ["run", str(small_audit), "--db", str(tmp_path / "a.duckdb"), "--attacks", "csa", "--json"]
    command = [*apart, sys.executable, "-m", "tui_mia", *arguments]
    completed = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert completed.returncode == 0, completed.stderr
    assert json.loads(completed.stdout)["status"] == "done"


def test_a_model_on_this_machine_that_asks_for_files_on_a_hub_is_told_so(
    small_audit: Path, tmp_path: Path, world: Path, tui_mia: TuiMia, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    model = tmp_path / "model"
    shutil.copytree(world / "models" / "target", model)
    document = json.loads((model / "open_clip_config.json").read_text())
    document["model_cfg"]["vision_cfg"] = {"timm_model_name": "hf-hub:some/where", "image_size": 32}
    (model / "open_clip_config.json").write_text(json.dumps(document))
    completed = tui_mia(
        "run", small_audit, "--model", f"local-dir:{model}", "--db", tmp_path / "a.duckdb", "--quiet"
    )
    assert completed.returncode == 1
    assert f"local-dir:{model}: its configuration asks for files from a hub" in completed.stderr
    assert "uses no network" in completed.stderr
    assert "hf download ORG/NAME" in completed.stderr
