"""How fast this machine is at matrix products, which are nearly all of a model's work."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from tui_mia.encoder.fast_paths import PackedLinear

# Rows, inner and outer size of a product: of a transformer's layer for a batch of images.
_ON_CPU = (800, 768, 3072)
# Large enough for a GPU to be busy all the time, and small enough for a full one.
_ON_GPU = (8192, 4096, 4096)
# A GPU is told of so many products before anybody waits for it.
_AT_ONCE = 4


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def matmul_flops(device: torch.device, dtype: torch.dtype, seconds: float = 0.2) -> float:
    """The best rate of a linear layer of a transformer's shape: operations a second, with all threads.

    On a CPU it is the best of torch's own product and oneDNN's, as the models
    have them too. It takes about `seconds`, and longer where two products of each do.

    Raises:
        RuntimeError: if the device has no memory for it, or no such product.
    """
    rows, inner, outer = _ON_CPU if device.type == "cpu" else _ON_GPU
    inputs = torch.ones(rows, inner, dtype=dtype, device=device)
    weight = torch.ones(outer, inner, dtype=dtype, device=device)
    together = 1 if device.type == "cpu" else _AT_ONCE
    with torch.inference_mode():
        ways = list(_ways(inputs, weight))
        best = min(_fastest(way, together, device, seconds / len(ways)) for way in ways)
    return 2.0 * rows * inner * outer / best


def _ways(inputs: Tensor, weight: Tensor) -> Iterator[Callable[[], Tensor]]:
    yield lambda: functional.linear(inputs, weight)
    if inputs.device.type == "cpu" and (packed := _packed(inputs, weight)) is not None:
        yield lambda: packed(inputs)


def _packed(inputs: Tensor, weight: Tensor) -> nn.Module | None:
    """The layer as oneDNN has it; None with another torch, which has no such operators, or for this type."""
    try:
        packed = PackedLinear(weight, None)
        packed(inputs)
    except (RuntimeError, AttributeError):
        return None
    return packed


def _fastest(way: Callable[[], Tensor], together: int, device: torch.device, seconds: float) -> float:
    """The fewest seconds that one product took; the first time is a warm-up."""
    best, began, times = math.inf, time.perf_counter(), 0
    while times < 2 or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        for _ in range(together):
            way()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        took = (time.perf_counter() - start) / together
        best, times = min(best, took) if times else best, times + 1
    return best
