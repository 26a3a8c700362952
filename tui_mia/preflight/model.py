"""The models of an audit, asked about in a process of its own, which has torch and may take a while."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from subprocess import PIPE
from types import TracebackType
from typing import IO, Any, Literal, Self, TypeAlias

from tui_mia.costs import AfterCost, ModelCost
from tui_mia.network import environment_of
from tui_mia.preflight.finding import Finding
from tui_mia.preflight.limits import BATCH_SIZE
from tui_mia.private import users_umask
from tui_mia.runs.devices import visible_gpus
from tui_mia.runs.gpu import Gpu, gpus
from tui_mia.spec import AuditSpec, dump_spec

DeviceKind: TypeAlias = Literal["cpu", "cuda"]
SECONDS_TIMED = 8.0
LONGEST_SECONDS = 300.0


@dataclass(frozen=True)
class Device:
    """Where the audit will run; `gpu` is what the driver knows of the first of `count` of them."""

    kind: DeviceKind
    gpu: Gpu | None = None
    problem: str | None = None
    count: int = 1


@dataclass(frozen=True)
class Costs:
    """What the models cost, and what this machine's CPU was timed at, in seconds a pair.

    `encode_seconds_a_pair` is of all that the audit does to a pair, with every
    view and model; `decode_seconds_a_pair` of what a CPU does for a GPU. `start_seconds`
    is of the imports, `load_seconds` of loading the models. `entries_encoded` are those that
    an earlier run has encoded. `failed` says why nothing is known.
    """

    models: Mapping[str, ModelCost] = field(default_factory=dict)
    cuda_in_torch: bool = True
    appearance_numbers: int = 0
    encode_seconds_a_pair: float | None = None
    decode_seconds_a_pair: float | None = None
    pairs_timed: int = 0
    start_seconds: float = 0.0
    load_seconds: float = 0.0
    entries_encoded: int = 0
    after: AfterCost | None = None
    failed: str | None = None


def device_of(spec: AuditSpec) -> Device:
    """The device, or the devices, that the audit will find on this machine."""
    wish, several = spec.model.device, spec.run.devices
    if wish == "cpu" or (several and "cpu" in several):
        return Device("cpu")
    found = visible_gpus(gpus(), os.environ.get("CUDA_VISIBLE_DEVICES"))
    if several == "all":
        return Device("cuda", found[0], count=len(found)) if found else Device("cpu")
    if several is not None:
        wish = max(several, key=lambda name: int(name.partition(":")[2]))
    number = int(wish.partition(":")[2] or 0)
    if number < len(found):
        return Device("cuda", found[number], count=len(several or [wish]))
    if wish == "auto" or spec.run.engine == "ray":
        return Device("cpu")
    return Device("cuda", None, f"there is no {wish} here ({len(found)} GPUs are visible); use auto or cpu")


def batch_size(spec: AuditSpec, device: Device) -> int:
    return spec.run.batch_size or BATCH_SIZE[device.kind]


class CostProgram:
    """The program that asks: it gets ready at once, and is gone when the block is left."""

    def __init__(self, spec: AuditSpec, device: Device, *, time_encoding: bool, time_after: bool) -> None:
        seconds = SECONDS_TIMED if time_encoding else 0.0
        gpu = device.gpu.name if device.gpu is not None else ""
        arguments = [str(batch_size(spec, device)), str(seconds), device.kind, str(int(time_after)), gpu]
        # Not in the current folder: a torch.py there is not torch.
        command = [sys.executable, "-P", "-m", "tui_mia.model_cost", *arguments]
        environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ, **environment_of(spec)}
        self._complaints: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115, closed by __exit__
        self._process = subprocess.Popen(
            command,
            stdin=PIPE,
            stdout=PIPE,
            stderr=self._complaints,
            env=environment,
            start_new_session=True,
            umask=users_umask(),
        )
        self._spec = dump_spec(spec).encode()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        with self._process, self._complaints:
            pass

    def costs(self) -> Costs:
        """Give it the spec to work on, and wait for what it finds."""
        try:
            printed, _ = self._process.communicate(self._spec, timeout=LONGEST_SECONDS)
        except subprocess.TimeoutExpired:
            return Costs(failed=f"it took longer than {LONGEST_SECONDS:.0f} s")
        if self._process.returncode != 0:
            self._complaints.seek(0)
            lines = self._complaints.read().decode(errors="replace").strip().splitlines()
            return Costs(failed=lines[-1] if lines else f"exit status {self._process.returncode}")
        return _parsed(printed)


def _parsed(printed: bytes) -> Costs:
    # Libraries may print on their own account before.
    last = printed.decode(errors="replace").strip().rpartition("\n")[2]
    try:
        document: dict[str, Any] = json.loads(last)
        models = {table: ModelCost(**cost) for table, cost in document.pop("models").items()}
        after = document.pop("after", None)
        return Costs(models=models, after=after and AfterCost(**after), **document)
    except (ValueError, TypeError, KeyError):
        return Costs(failed="its answer can't be read")


def of_models(spec: AuditSpec, device: Device, costs: Costs) -> Iterator[Finding]:
    """What there is to say of the device, the model and the reference."""
    if spec.run.engine == "ray":
        yield _of_ray()
    if device.problem is not None:
        yield Finding("model", "problem", f"model.device: {device.problem}")
    if costs.failed is not None:
        yield Finding("model", "warning", f"the model could not be asked about: {costs.failed}")
    for table, named in (("model", spec.model), ("reference", spec.reference_model)):
        cost = costs.models.get(table)
        if cost is not None and named is not None:
            name = " ".join(filter(None, (named.architecture, named.pretrained))).replace(
                f"{os.getcwd()}/", ""
            )
            yield from _of_model("model" if table == "model" else "reference", name, cost)
    if device.kind == "cuda" and not costs.cuda_in_torch:
        yield Finding("model", "problem", "this torch is built for CPUs only; install one with CUDA")


def _of_ray() -> Finding:
    if find_spec("ray") is None:
        return Finding("model", "problem", "run.engine: Ray is not installed; pip install 'tui-mia[ray]'")
    return Finding("model", "warning", "times and memory are of this machine alone, not of the Ray cluster.")


def _of_model(table: Literal["model", "reference"], name: str, cost: ModelCost) -> Iterator[Finding]:
    if cost.problem is not None:
        yield Finding(table, "problem", cost.problem)
        return
    if cost.parameters is not None:
        where = "the weights are here and fit" if cost.loaded else "weights are fetched when the run begins"
        yield Finding(table, "ok", f"{name}: {cost.parameters / 1e6:,.1f} million parameters; {where}.")
    if cost.image_flops is not None and cost.caption_flops is not None:
        yield Finding(
            table,
            "ok",
            f"{flops(cost.image_flops)} for an image of {cost.image_size} px in one view,"
            f" {flops(cost.caption_flops)} for a caption; embeddings of {cost.dimension} numbers.",
        )
    if cost.unknown is not None:
        yield Finding(table, "warning", f"{name}: not all could be found out: {cost.unknown}")


def flops(number: float) -> str:
    """A number of floating-point operations in words."""
    for size, name in ((1e18, "EFLOP"), (1e15, "PFLOP"), (1e12, "TFLOP"), (1e9, "GFLOP")):
        if number >= size:
            return f"{number / size:,.1f} {name}"
    return f"{number / 1e6:,.1f} MFLOP"
