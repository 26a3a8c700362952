"""Devices without memory for a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from tui_mia.encoder import TargetModel
from tui_mia.encoder.encode import BatchLimit, encode_shard
from tui_mia.encoder.encoded_pool import block_of
from tui_mia.encoder.fast_paths import encode_texts
from tui_mia.encoder.model import ModelError
from tui_mia.pools import Pair


@pytest.fixture(scope="module")
def pairs(make_pairs: Callable[[int], list[Pair]]) -> list[Pair]:
    return make_pairs(13)


@dataclass
class SmallDevice:
    """A network on a device that holds so many images at once."""

    network: torch.nn.Module
    room: int
    error: Callable[[], RuntimeError] = lambda: torch.OutOfMemoryError("CUDA out of memory.")
    sizes: list[int] = field(default_factory=list)

    def encode_image(self, images: Tensor) -> Tensor:
        self.sizes.append(len(images))
        if len(images) > self.room:
            raise self.error()
        result: Tensor = self.network.encode_image(images)  # type: ignore[operator]
        return result

    def encode_text(self, tokens: Tensor) -> Tensor:
        return encode_texts(self.network, tokens)


def on(device: SmallDevice, model: TargetModel) -> TargetModel:
    return replace(model, network=device)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "error",
    [
        lambda: torch.OutOfMemoryError("CUDA out of memory."),
        lambda: RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
        lambda: RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_a_batch_that_does_not_fit_is_halved_until_it_does_and_told_once(
    error: Callable[[], RuntimeError], clip: TargetModel, pairs: list[Pair]
) -> None:
    told: list[str] = []
    limit, device = BatchLimit(told.append), SmallDevice(clip.network, 2, error)
    expected, _ = encode_shard(pairs, clip, 2, 0, 8)
    found, rejects = encode_shard(pairs, on(device, clip), 2, 0, 8, limit=limit)
    assert rejects.num_rows == 0
    assert found["sample_id"].to_pylist() == expected["sample_id"].to_pylist()
    for ours, theirs in zip(vars(block_of(found)).values(), vars(block_of(expected)).values(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert len(told) == 1
    assert "no memory for" in told[0]
    # What was learned is kept: another shard meets no error.
    device.sizes.clear()
    encode_shard(pairs, on(device, clip), 0, 0, 8, limit=limit)
    assert max(device.sizes) <= 2


def test_no_memory_for_a_single_pair_is_an_error_that_says_what_to_do(
    clip: TargetModel, pairs: list[Pair]
) -> None:
    with pytest.raises(ModelError, match=r"no memory for a single pair; .* model.device"):
        encode_shard(pairs, on(SmallDevice(clip.network, 0), clip), 0, 0, 4)


def test_another_error_is_not_taken_for_a_lack_of_memory(clip: TargetModel, pairs: list[Pair]) -> None:
    device = SmallDevice(clip.network, 0, lambda: RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="shapes"):
        encode_shard(pairs, on(device, clip), 0, 0, 4)
    assert len(device.sizes) == 1
