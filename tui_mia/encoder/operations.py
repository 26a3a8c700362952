"""The operations of a forward pass, counted on weights without contents, so that it takes no time."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Operations:
    """Floating-point operations of one image in one view, and of one caption over the whole context.

    `context_length` is in tokens, `dimension` is that of an embedding.
    """

    image: int
    caption: int
    context_length: int
    dimension: int


def count_operations(network: nn.Module) -> Operations | None:
    """Those of an open_clip network whose layers are not packed; None where they can't be had."""
    try:
        return operations_of(without_contents(network))
    except Exception:  # architectures raise all sorts of things
        return None


def operations_of(empty: nn.Module) -> Operations:
    """Those of a network without contents; it raises whatever an operation raises that has no such form."""
    context_length = int(empty.context_length)  # type: ignore[arg-type]
    image = empty_images(empty, 1)
    caption = torch.zeros(1, context_length, dtype=torch.long, device="meta")
    of_image, dimension = _counted(empty.encode_image, image)  # type: ignore[arg-type]
    of_caption, _ = _counted(empty.encode_text, caption)  # type: ignore[arg-type]
    return Operations(of_image, of_caption, context_length, dimension)


def without_contents(network: nn.Module) -> nn.Module:
    """A copy in fp32 with the shapes of the weights alone; the network keeps its own."""
    empty: dict[int, Any] = {
        **{id(tensor): nn.Parameter(tensor.to("meta")) for tensor in network.parameters()},
        **{id(tensor): tensor.to("meta") for tensor in network.buffers()},
    }
    return deepcopy(network, empty).float().requires_grad_(False)


def image_side(network: nn.Module) -> int:
    """The longer side of the images that a network is made for, in pixels."""
    size = network.visual.preprocess_cfg["size"]  # type: ignore[union-attr, index]
    return size if isinstance(size, int) else int(max(size))


def empty_images(network: nn.Module, count: int) -> Tensor:
    """[count, 3, S, S] float32 without contents, of the size that a network is made for."""
    side = image_side(network)
    return torch.empty(count, 3, side, side, device="meta")


def _counted(method: Callable[[Tensor], Tensor], inputs: Tensor) -> tuple[int, int]:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        embedding = method(inputs)
    return int(counter.get_total_flops()), int(embedding.shape[-1])
