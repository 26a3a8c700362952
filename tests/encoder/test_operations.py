"""Operations of a forward pass, and how many of them this machine does in a second."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import open_clip
import pytest
import torch
from torch import nn

from tests.encoder.conftest import FAMILIES, IMAGE, TEXT
from tui_mia.encoder import load_target
from tui_mia.encoder.fast_paths import tokens_run
from tui_mia.encoder.machine import matmul_flops
from tui_mia.encoder.operations import count_operations
from tui_mia.spec import ModelSpec


@pytest.mark.parametrize("family", list(FAMILIES))
def test_a_loaded_model_is_counted_before_its_layers_are_packed(
    family: str, make_model: Callable[..., ModelSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui_mia.encoder.fast_paths.packing_pays", lambda dtype: True)
    operations = load_target(make_model(family)).operations
    assert operations is not None
    assert operations.image > 0
    assert operations.caption > 0
    assert operations.dimension == 16


def test_of_a_plain_clip_the_count_is_what_its_layers_add_up_to(make_model: Callable[..., ModelSpec]) -> None:
    operations = load_target(make_model()).operations
    width, patches = IMAGE["width"], (IMAGE["image_size"] // IMAGE["patch_size"]) ** 2
    layers = 2 * 12 * width**2 * (patches + 1) + 2 * 2 * width * (patches + 1) ** 2
    first_and_last = 2 * 3 * IMAGE["patch_size"] ** 2 * width * patches + 2 * width * 16
    assert operations is not None
    assert operations.image == layers + first_and_last
    assert operations.context_length == TEXT["context_length"]


def test_a_network_that_has_no_form_without_contents_is_not_counted() -> None:
    class Odd(nn.Module):
        def encode_image(self, images: torch.Tensor) -> torch.Tensor:
            return images[: int(images.sum())]

    assert count_operations(Odd()) is None


@pytest.mark.parametrize("family", ["clip", "siglip"])
@torch.inference_mode()
def test_captions_are_said_to_run_for_the_tokens_that_they_run_for(
    family: str, make_model: Callable[..., ModelSpec]
) -> None:
    model = load_target(make_model(family))
    tokens = open_clip.get_tokenizer(make_model(family).architecture)(
        ["cat", "a dog on a chair", "word " * 40]
    )
    ran: list[int] = []

    def count(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        ran.append(inputs[0].shape[0] * inputs[0].shape[1])

    network: Any = model.network
    transformer = network.transformer if family == "clip" else network.text.transformer
    transformer.resblocks[0].register_forward_pre_hook(count)
    model.encode_tokens(tokens)
    assert tokens_run(network, tokens) == sum(ran)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_peak_of_this_machine_is_above_that_of_a_product_timed_once(dtype: torch.dtype) -> None:
    assert matmul_flops(torch.device("cpu"), dtype, 0.01) > 1e8
