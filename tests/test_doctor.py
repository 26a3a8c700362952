"""What a machine can do: measured by the real program, on the real CPU, and remembered."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tui_mia import doctor
from tui_mia.costs import DeviceSpeed
from tui_mia.display import print_machine
from tui_mia.doctor import Disk, Machine, cpu_name, measure_disk, measured_flops, records_path
from tui_mia.encoder import cpu_identity
from tui_mia.exit_codes import ExitCode
from tui_mia.runs.device_lock import device_lock

TuiMia = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that no other test writes to."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def examined(tui_mia: TuiMia, folder: Path) -> dict[str, Any]:
    completed = tui_mia("doctor", "--db", folder / "audits.duckdb", "--json")
    assert completed.returncode == ExitCode.DONE, completed.stderr
    document: dict[str, Any] = json.loads(completed.stdout)
    return document


@pytest.mark.usefixtures("own_cache")
def test_the_cpu_is_measured_and_remembered(tmp_path: Path, tui_mia: TuiMia) -> None:
    folder = tmp_path / "audits"
    folder.mkdir()
    found = examined(tui_mia, folder)
    cpu = found["devices"][0]
    assert (cpu["device"], cpu["problem"], cpu["exact"], cpu["batch_size"]) == ("cpu", None, "fp32", 32)
    assert cpu["fast"] in ("fp32", "bf16")
    assert cpu["packed"] in (True, False)
    assert cpu["flops"]["fp32"] > 1e9
    assert all(found["images_per_second"][precision] > 1 for precision in ("exact", "fast"))
    assert found["disk"]["write_bytes_a_second"] > 0
    assert {"python", "torch", "open_clip_torch", "duckdb"} <= found["versions"].keys()
    assert not list(folder.iterdir())
    assert measured_flops(cpu_name(), "fp32") == cpu["flops"]["fp32"]
    assert measured_flops(cpu_name(), "fp16") is None
    assert [path.name for path in records_path().parent.iterdir() if path.suffix != ".lock"] == [
        "machine.json"
    ]


@pytest.mark.usefixtures("own_cache")
def test_a_device_that_a_run_is_using_is_not_measured(tmp_path: Path, tui_mia: TuiMia) -> None:
    with device_lock("cpu", cpu_identity(), lambda message: None):
        found = examined(tui_mia, tmp_path)
    cpu = found["devices"][0]
    assert (cpu["problem"], cpu["flops"]) == ("a run is using it: not measured", {})
    assert found["images_per_second"] == {}
    assert measured_flops(cpu_name(), "fp32") is None


@pytest.mark.usefixtures("own_cache")
def test_a_rate_is_that_of_one_torch_on_one_device(monkeypatch: pytest.MonkeyPatch) -> None:
    doctor._remember(a_machine(DeviceSpeed("cuda:0", "GPU-a", "H100", {"fp32": 5e13})))
    doctor._remember(a_machine(DeviceSpeed("cuda:0", "GPU-b", "A100", {"fp32": 2e13})))
    assert (measured_flops("H100", "fp32"), measured_flops("A100", "fp32")) == (5e13, 2e13)
    monkeypatch.setattr(doctor, "version", lambda package: "another")
    assert measured_flops("H100", "fp32") is None


@pytest.mark.parametrize("content", ["", "[]", "{", '{"x": 1}'])
@pytest.mark.usefixtures("own_cache")
def test_a_record_that_is_damaged_is_none(content: str) -> None:
    records_path().parent.mkdir(parents=True)
    records_path().write_text(content)
    assert measured_flops("H100", "fp32") is None
    records_path().write_text(json.dumps({doctor._key("H100"): content}))
    assert measured_flops("H100", "fp32") is None


def test_the_disk_is_measured_where_the_database_will_be_and_nothing_is_left(tmp_path: Path) -> None:
    disk = measure_disk(tmp_path / "not" / "there" / "audits.duckdb", size=2**20)
    assert disk.folder == str(tmp_path)
    assert (disk.write_bytes_a_second or 0) > 0
    assert (disk.read_bytes_a_second or 0) > 0
    assert not list(tmp_path.iterdir())


def test_a_folder_that_has_no_room_is_not_filled(tmp_path: Path) -> None:
    disk = measure_disk(tmp_path / "audits.duckdb", size=2**60)
    assert disk.problem == "too little is free to measure it"


def test_what_a_reader_sees_names_what_fast_is_and_what_was_not_measured(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rates = {"fp32": 1.4e11, "bf16": 3e10}
    cpu = DeviceSpeed("cpu", flops=rates, packed=True, exact="fp32", fast="fp32", batch_size=32)
    gpu = DeviceSpeed("cuda:0", "GPU-a", "H100\x1b[2J", problem="a run is using it: not measured")
    print_machine(a_machine(cpu, gpu))
    said = " ".join(capsys.readouterr().out.split())
    assert "exact is fp32, fast is fp32 as well" in said
    assert "linear layers are packed for oneDNN" in said
    assert "cpu 0.14 0.03 -" in said
    assert "cuda:0 a run is using it: not measured" in said
    assert "\x1b" not in said


def a_machine(*devices: DeviceSpeed) -> Machine:
    return Machine(
        host="here",
        cpu="A processor",
        cores=2,
        memory_bytes=2**34,
        devices=devices,
        threads=2,
        decode_threads=2,
        images_per_second={"exact": 160.0, "fast": 230.0},
        image="640x427 JPEG",
        disk=Disk("/data", 2**34, 1e9, 1e9),
        versions={"python": "3.11"},
        chosen="cpu",
    )
