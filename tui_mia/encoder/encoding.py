"""All that goes into an embedding beside the pair: two runs in which it is the same encode the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import torch

from tui_mia.encoder.model import TargetModel
from tui_mia.spec import AuditSpec, ModelSpec

# A view is the same however many come after it, and the plain image is so with any seed.
VIEWS, SEED = "views", "seed of the views"
BATCH_SIZE = "batch size"
PRECISION, REFERENCE_PRECISION = "precision", "precision of the reference"
VERSIONS, CODE = "versions", "code of tui-mia"
THREADS = "number of threads"
_LIBRARIES = ("torch", "torchvision", "open_clip_torch", "timm", "pillow")
_ROOMS = ("encoder", "pools")


def encoding_of(
    spec: AuditSpec, model: TargetModel, reference: TargetModel | None, batch_size: int
) -> dict[str, object]:
    """All that goes into the embeddings and similarities of a run beside the pairs, by name."""
    return {
        **asdict(model.fingerprint),
        PRECISION: _precision(spec.model, model),
        "reference": None if reference is None else [*asdict(reference.fingerprint).values()],
        REFERENCE_PRECISION: None if reference is None else _precision(spec.reference_model, reference),
        VIEWS: spec.views,
        SEED: spec.attacks.aea.seed if spec.attacks.aea else 0,
        BATCH_SIZE: batch_size,
        THREADS: torch.get_num_threads() if model.device.type == "cpu" else None,
        "device": torch.cuda.get_device_name(model.device) if model.device.type == "cuda" else "cpu",
        VERSIONS: {name: version(name) for name in _LIBRARIES},
        CODE: _code(),
    }


def other_models(begun: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    """What of the models is not as it was when a run began, by name.

    Weights in another number format have another hash: of a run that goes on with
    one, as on another device, only what does not depend on it is told.
    """
    formats = {"weights": PRECISION, "reference": REFERENCE_PRECISION}
    names = ("weights", "structure", "preprocess", "tokenizer", "reference")
    return [
        name
        for name in names
        if name in begun
        and begun[name] != now[name]
        and (name not in formats or begun.get(formats[name]) == now[formats[name]])
    ]


def other_ways(begun: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    """What changes the last digits of a run that goes on with it, by name."""
    names = (PRECISION, REFERENCE_PRECISION, "device", THREADS, VERSIONS, CODE)
    return [name for name in names if begun and begun.get(name) != now[name]]


def _precision(spec: ModelSpec | None, model: TargetModel) -> str:
    """Asked for and found: `fast` resizes in another way also where its number format is that of `exact`."""
    return f"{spec.precision if spec else ''} ({model.number_format})"


def _code() -> str:
    digest = hashlib.sha256()
    for room in _ROOMS:
        for path in sorted((Path(__file__).parent.parent / room).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()
