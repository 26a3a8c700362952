"""What a target model is, by content: its weights, its structure, its preprocess, its tokenizer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

# Case, digits, punctuation, white space, other scripts, emoji, and more words than any context holds.
_PROBES = (
    "A photo of a cat.",
    "  2 DOGS,\tone\nbone! ",
    "naïve café",
    "一只猫",
    "кошка",
    "🐈‍⬛",
    "word " * 300,
)


@dataclass(frozen=True)
class Fingerprint:
    """SHA-256, as hex, of weights, preprocess, tokenizer, and of what the network does with its weights."""

    weights: str
    preprocess: str
    tokenizer: str
    structure: str


def take_fingerprint(
    network: nn.Module, preprocess: Mapping[str, Any], tokenizer: Callable[[Sequence[str]], Tensor]
) -> Fingerprint:
    """Hash every tensor with its name, type and shape, the preprocess configuration, and the tokenizer.

    The weights are those in use, so the same checkpoint in another precision
    has another fingerprint: it gives other scores.
    """
    weights = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        weights.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        weights.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    configuration = json.dumps(preprocess, sort_keys=True, default=str)
    return Fingerprint(
        weights=weights.hexdigest(),
        preprocess=hashlib.sha256(configuration.encode()).hexdigest(),
        tokenizer=_tokenizer(tokenizer),
        structure=_structure(network),
    )


def _structure(network: nn.Module) -> str:
    """Of every module its class and its settings: heads, activation and pooling leave no trace in weights."""
    digest = hashlib.sha256()
    for name, module in network.named_modules():
        settings = {key: value for key, value in sorted(vars(module).items()) if _is_plain(value)}
        digest.update(json.dumps([name, type(module).__qualname__, settings]).encode())
    return digest.hexdigest()


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str))


def _tokenizer(tokenizer: Callable[[Sequence[str]], Tensor]) -> str:
    """What it does to a fixed set of texts, and its vocabulary where it shows one."""
    digest = hashlib.sha256(type(tokenizer).__name__.encode())
    digest.update(tokenizer(_PROBES).numpy().tobytes())
    inner: Any = getattr(tokenizer, "tokenizer", None)
    vocabulary = inner.get_vocab() if hasattr(inner, "get_vocab") else getattr(tokenizer, "encoder", {})
    digest.update(json.dumps(vocabulary, sort_keys=True).encode())
    return digest.hexdigest()
