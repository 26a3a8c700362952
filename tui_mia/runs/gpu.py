"""The GPUs of this machine and what they are doing, as NVIDIA's driver tells it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import pynvml  # type: ignore[import-untyped]

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Gpu:
    """One GPU; None where the driver doesn't tell, as it doesn't of everything in every mode.

    `index` is the driver's, `utilisation` the share of the last moments in
    which the GPU was busy, 0 to 1.
    """

    index: int
    uuid: str
    name: str
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    utilisation: float | None = None


def gpus() -> list[Gpu]:
    """Every GPU of the machine; none without a driver. Asks the driver, so call it in a thread."""
    if not _driver_is_there():
        return []
    count = _asked(pynvml.nvmlDeviceGetCount) or 0
    found = (_gpu(index) for index in range(count))
    return [gpu for gpu in found if gpu is not None]


@cache
def _driver_is_there() -> bool:
    """Open the driver's library, once: a machine does not get a GPU while we look."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return False
    return True


def _gpu(index: int) -> Gpu | None:
    handle = _asked(lambda: pynvml.nvmlDeviceGetHandleByIndex(index))
    uuid = handle and _asked(lambda: pynvml.nvmlDeviceGetUUID(handle))
    if not uuid:
        return None
    memory: Any = _asked(lambda: pynvml.nvmlDeviceGetMemoryInfo(handle))
    rates: Any = _asked(lambda: pynvml.nvmlDeviceGetUtilizationRates(handle))
    return Gpu(
        index=index,
        uuid=_text(uuid),
        name=_text(_asked(lambda: pynvml.nvmlDeviceGetName(handle)) or "GPU"),
        memory_used_bytes=int(memory.used) if memory else None,
        memory_total_bytes=int(memory.total) if memory else None,
        utilisation=rates.gpu / 100 if rates else None,
    )


def _asked(question: Callable[[], Answer]) -> Answer | None:
    """The driver's answer; None where it has none, for a GPU in this mode or one that has just gone."""
    try:
        return question()
    except pynvml.NVMLError:
        return None


def _text(value: str | bytes) -> str:
    """Text, which older bindings give as bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value
