"""What this machine can do and what tui-mia therefore chooses, measured, and remembered for `tui-mia check`.

What needs torch is measured by a process of its own, `tui_mia.machine_speed`.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import psutil
from platformdirs import user_cache_path

from tui_mia.costs import DeviceSpeed
from tui_mia.runs.devices import visible_gpus
from tui_mia.runs.gpu import gpus

DISK_BYTES: Final = 64 * 2**20
LONGEST_SECONDS: Final = 300.0
_CHUNK: Final = 2**20
_PACKAGES: Final = (
    "tui-mia", "torch", "torchvision", "open_clip_torch", "duckdb", "pyarrow", "numpy", "scikit-learn",
    "pillow", "textual",
)  # fmt: skip


@dataclass(frozen=True)
class Disk:
    """Bytes a second of a file in a folder, written up to fsync and read again, and what is free there.

    `cached` says that what was read may have come from the machine's memory.
    """

    folder: str
    free_bytes: int
    write_bytes_a_second: float | None = None
    read_bytes_a_second: float | None = None
    cached: bool = True
    problem: str | None = None


@dataclass(frozen=True)
class Machine:
    """The machine: processors, devices, how many images it decodes a second, the disk, versions.

    `images_per_second` is by precision; `chosen` is the device that `model.device = "auto"`
    takes; `failed` says why nothing was measured.
    """

    host: str
    cpu: str
    cores: int
    memory_bytes: int
    devices: tuple[DeviceSpeed, ...]
    threads: int | None
    decode_threads: int | None
    images_per_second: Mapping[str, float]
    image: str
    disk: Disk
    versions: Mapping[str, str]
    chosen: str
    failed: str | None = None

    def document(self) -> dict[str, Any]:
        """Everything, as JSON has it."""
        return asdict(self)


def examine(database: Path) -> Machine:
    """Measure this machine, and the disk that the database lies on, and remember the rates of the devices."""
    measured, failed = _asked()
    devices = [DeviceSpeed(**device) for device in measured.pop("devices", [])]
    found_by_torch = sum(device.uuid is not None for device in devices)
    for number, gpu in enumerate(visible_gpus(gpus(), os.environ.get("CUDA_VISIBLE_DEVICES"))):
        if number >= found_by_torch:
            problem = failed or "torch does not find it: is it built for CPUs only?"
            devices.append(DeviceSpeed(f"cuda:{number}", gpu.uuid, gpu.name, problem=problem))
    found = Machine(
        host=platform.node(),
        cpu=cpu_name(),
        cores=os.cpu_count() or 1,
        memory_bytes=psutil.virtual_memory().total,
        devices=tuple(devices),
        threads=measured.get("threads"),
        decode_threads=measured.get("decode_threads"),
        images_per_second=measured.get("images_per_second", {}),
        image=measured.get("image", ""),
        disk=measure_disk(database),
        versions=installed_versions(),
        chosen="cuda:0" if found_by_torch else "cpu",
        failed=failed,
    )
    _remember(found)
    return found


def installed_versions() -> dict[str, str]:
    """The versions of Python, tui-mia and the libraries that an audit depends on."""
    return {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}}


def at_a_glance(folder: Path) -> dict[str, Any]:
    """What is known of this machine without measuring it, and of the disk that a folder lies on.

    Without its name: for whoever reads a bug report.
    """
    memory, disk = psutil.virtual_memory(), shutil.disk_usage(folder)
    return {
        "system": platform.platform(),
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "memory_bytes": memory.total,
        "memory_free_bytes": memory.available,
        "gpus": [asdict(gpu) for gpu in gpus()],
        "disk_bytes": disk.total,
        "disk_free_bytes": disk.free,
    }


def measured_flops(device: str, number_format: str) -> float | None:
    """Operations a second of matrix products of this number format, as `tui-mia doctor` measured them.

    `device` is the name of a GPU, or of the CPU. None if it never did so here with this torch.
    """
    record = _records().get(_key(device))
    try:
        rate = float(record["flops"][number_format]) if record is not None else 0.0
    except (KeyError, TypeError, ValueError):  # of another version
        return None
    return rate or None


def measure_disk(database: Path, size: int = DISK_BYTES) -> Disk:
    """Write a file of this many bytes to the database's folder, read it again, and remove it."""
    folder = next(path for path in database.absolute().parents if path.is_dir())
    free = shutil.disk_usage(folder).free
    if free < 4 * size:
        return Disk(str(folder), free, problem="too little is free to measure it")
    chunk = os.urandom(_CHUNK)
    try:
        with tempfile.TemporaryFile(dir=folder, prefix=".tui-mia-doctor-", buffering=0) as file:
            began = time.perf_counter()
            for _ in range(size // _CHUNK):
                file.write(chunk)
            os.fsync(file.fileno())
            write = size / (time.perf_counter() - began)
            dropped = _drop_from_memory(file.fileno())
            file.seek(0)
            began = time.perf_counter()
            while file.read(_CHUNK):
                pass
            read = size / (time.perf_counter() - began)
    except OSError as error:
        return Disk(str(folder), free, problem=f"can't be written: {error.strerror}")
    return Disk(str(folder), free, write, read, cached=not dropped)


def cpu_name() -> str:
    """The name of the processor, as far as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:  # not Linux
        pass
    return platform.processor() or platform.machine()


def records_path() -> Path:
    """Where the rates of devices are kept."""
    return user_cache_path("tui-mia") / "machine.json"


def _asked() -> tuple[dict[str, Any], str | None]:
    """What the program says that has torch, and why it says nothing."""
    # Not in the current folder: a torch.py there is not torch.
    command = [sys.executable, "-P", "-m", "tui_mia.machine_speed"]
    environment = {"OMP_WAIT_POLICY": "PASSIVE", "CUDA_DEVICE_ORDER": "PCI_BUS_ID", **os.environ}
    try:
        ran = subprocess.run(
            command, capture_output=True, stdin=subprocess.DEVNULL, env=environment,
            timeout=LONGEST_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {}, f"it took longer than {LONGEST_SECONDS:.0f} s"
    if ran.returncode:
        lines = ran.stderr.decode(errors="replace").strip().splitlines()
        return {}, lines[-1] if lines else f"exit status {ran.returncode}"
    # Libraries may print on their own account before.
    document: dict[str, Any] = json.loads(ran.stdout.decode(errors="replace").strip().rpartition("\n")[2])
    return document, None


def _drop_from_memory(file: int) -> bool:
    """Ask the system to forget what it has of a file, so that the disk is read; whether it can be asked."""
    if not hasattr(os, "posix_fadvise"):
        return False
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    return True


def _key(device: str) -> str:
    return " / ".join((platform.node(), device, f"torch {version('torch')}"))


def _remember(machine: Machine) -> None:
    """Keep the rates of what was measured; what is known of other devices stays."""
    records = dict(_records())
    for device in machine.devices:
        if device.flops:
            flops = dict(device.flops)
            records[_key(device.name or machine.cpu)] = {"flops": flops, "measured_at": time.time()}
    path = records_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".tmp", delete=False) as file:
            file.write(json.dumps(records, indent=2))
        os.replace(file.name, path)
    except OSError:  # a cache that can't be written: the figures were shown, and are measured again
        return


def _records() -> Mapping[str, Any]:
    try:
        found = json.loads(records_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):  # never measured, or cut off
        return {}
    return found if isinstance(found, dict) else {}
