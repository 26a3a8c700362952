"""Which encoders an audit gets."""

from __future__ import annotations

import torch

from tui_mia.crew.encoders import CrewError, Encoders
from tui_mia.crew.finding_ray import prepare_for_ray
from tui_mia.crew.here import Here
from tui_mia.crew.member import Place
from tui_mia.crew.processes import Processes
from tui_mia.crew.several import Several
from tui_mia.encoder.machine import cores
from tui_mia.runs import RunDirectory
from tui_mia.runs.reporter import Reporter
from tui_mia.spec import AuditSpec


def open_encoders(spec: AuditSpec, directory: RunDirectory, report: Reporter) -> Encoders:
    """Load the models where the spec wants them: in this process, one for each of its devices, or on Ray.

    Raises:
        ModelError: if the models can't be loaded.
        CrewError: if no encoder can be had.
    """
    if spec.run.engine == "ray":
        return _on_ray(spec, directory, report)
    places = _places(spec, directory.writer)
    if len(places) == 1:
        on_it = spec.model.model_copy(update={"device": places[0].device})
        return Here(spec.model_copy(update={"model": on_it}), directory, report)
    return Several(report, Processes(spec, directory, report, places))


def _on_ray(spec: AuditSpec, directory: RunDirectory, report: Reporter) -> Encoders:
    prepare_for_ray(spec)
    try:
        from tui_mia.crew.ray_actors import RayActors
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "ray":
            raise
        raise CrewError(
            "run.engine: Ray is not installed; on all machines: pip install 'tui-mia[ray]'"
        ) from None
    return Several(report, RayActors(spec, directory, report))


def _places(spec: AuditSpec, writer: str) -> list[Place]:
    devices = spec.run.devices
    if devices is None:
        return [Place(spec.model.device, spec.model.device, spec.run.threads, writer)]
    if devices == "all":
        found = torch.cuda.device_count()
        devices = [f"cuda:{number}" for number in range(found)] or ["cpu"]
    missing = [name for name in devices if name != "cpu" and int(name[5:]) >= torch.cuda.device_count()]
    if missing:
        raise CrewError(
            f"run.devices: there is no {missing[0]} here ({torch.cuda.device_count()} CUDA devices are "
            f'visible); name others or "all"'
        )
    threads = spec.run.threads or max(1, cores() // len(devices))
    # CUDA devices are numbered apart; processes on a CPU are told apart here.
    names = [name if name != "cpu" else f"cpu-{number}" for number, name in enumerate(devices, 1)]
    prefix = f"{writer}-" if writer else ""
    return [
        Place(name, device, threads, prefix + name.replace(":", "-"))
        for name, device in zip(names, devices, strict=True)
    ]
