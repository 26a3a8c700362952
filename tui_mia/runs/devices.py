"""Which queued runs can start: one run at a time on each device, as many at once as there are devices.

Pure functions. A device is named by the UUID of a GPU, `cpu`, or as it was
asked for (`cuda:7`) where nobody knows which GPU that is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from tui_mia.runs.gpu import Gpu
from tui_mia.runs.state import RunState
from tui_mia.spec import AuditSpec

CPU = "cpu"
ALL, SEVERAL = "all", "+"


@dataclass(frozen=True)
class Place:
    """Where a run can start; `gpu` is the one that its worker should see, None for what it finds itself.

    `beside` are the other devices of a run that takes several.
    """

    device: str
    gpu: str | None = None
    beside: tuple[str, ...] = ()

    @property
    def devices(self) -> tuple[str, ...]:
        return (self.device, *self.beside)


def visible_gpus(gpus: Sequence[Gpu], cuda_visible_devices: str | None) -> list[Gpu]:
    """The GPUs that a worker would find, in its order, under this CUDA_VISIBLE_DEVICES.

    As CUDA reads it: indices or (the beginnings of) UUIDs, up to the first that
    names nothing.
    """
    if cuda_visible_devices is None:
        return list(gpus)
    found: list[Gpu] = []
    for name in cuda_visible_devices.split(","):
        gpu = _named(gpus, name.strip())
        if gpu is None or gpu in found:
            break
        found.append(gpu)
    return found


def startable(
    queued: Sequence[tuple[str, str]], gpus: Sequence[Gpu], busy: AbstractSet[str]
) -> list[tuple[str, Place]]:
    """Which of the queued runs can start now, and where; first come, first served.

    `queued` pairs the id of each run with what `wish_of` says of it; `busy` are devices in use.
    """
    taken, found = set(busy), []
    for run_id, wish in queued:
        place = next((place for place in _places(wish, gpus) if taken.isdisjoint(place.devices)), None)
        if place is not None:
            taken.update(place.devices)
            found.append((run_id, place))
    return found


def devices_in_use(wish: str, state: RunState, gpus: Sequence[Gpu]) -> tuple[str, ...]:
    """The devices that a run which is going on has, or will have once its model is loaded."""
    found = state.loaded.device if state.loaded and not _is_of_several(wish) else wish
    if found != CPU and state.launched is not None and state.launched.gpu is not None:
        return (state.launched.gpu,)
    return _places(found, gpus)[0].devices


def wish_of(spec: AuditSpec) -> str:
    """What a spec wants of this machine: a device, `all` GPUs, or several joined by `+`."""
    if spec.run.devices is None:
        return spec.model.device
    return spec.run.devices if spec.run.devices == ALL else SEVERAL.join(spec.run.devices)


def device_names(gpus: Sequence[Gpu]) -> Mapping[str, str]:
    """What people call a device that has a UUID: cuda:0 and so on, in the order of the GPUs."""
    return {gpu.uuid: f"cuda:{number}" for number, gpu in enumerate(gpus)}


def _places(wish: str, gpus: Sequence[Gpu]) -> list[Place]:
    """Where a run that wishes for this may go, best first."""
    if _is_of_several(wish):
        # The worker counts the GPUs itself, as it would without us.
        names = range(len(gpus)) if wish == ALL else [name.partition(":")[2] for name in wish.split(SEVERAL)]
        devices = [_places(f"cuda:{name}", gpus)[0].device if name != "" else CPU for name in names]
        first, *others = dict.fromkeys(devices or [CPU])
        return [Place(first, beside=tuple(others))]
    if wish in ("auto", "cuda") and gpus:
        return [Place(gpu.uuid, gpu.uuid) for gpu in gpus]
    if wish in (CPU, "auto"):
        return [Place(CPU)]
    number = int(wish.partition(":")[2] or 0)
    # The worker counts the GPUs itself, as it would without us.
    return [Place(gpus[number].uuid if number < len(gpus) else wish)]


def _is_of_several(wish: str) -> bool:
    return wish == ALL or SEVERAL in wish


def _named(gpus: Sequence[Gpu], name: str) -> Gpu | None:
    if re.fullmatch(r"[0-9]+", name):
        return next((gpu for gpu in gpus if gpu.index == int(name)), None)
    fitting = [gpu for gpu in gpus if name and gpu.uuid.startswith(name)]
    return fitting[0] if len(fitting) == 1 else None
