"""All that goes into an embedding beside the pair: two runs in which it is the same encode the same."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import torch

from tui_mia.encoder.model import TargetModel
from tui_mia.spec import AuditSpec

# A view is the same however many come after it, and the plain image is so with any seed.
VIEWS, SEED = "views", "seed of the views"
BATCH_SIZE = "batch size"
_ROOMS = ("encoder", "pools")


def encoding_of(
    spec: AuditSpec, model: TargetModel, reference: TargetModel | None, batch_size: int
) -> dict[str, object]:
    """All that goes into the embeddings and similarities of a run beside the pairs, by name."""
    return {
        "weights": model.fingerprint.weights,
        "preprocess": model.fingerprint.preprocess,
        "tokenizer": model.fingerprint.tokenizer,
        "precision": f"{spec.model.precision} ({model.number_format})",
        "reference": None
        if reference is None
        else [*asdict(reference.fingerprint).values(), reference.number_format],
        VIEWS: spec.views,
        SEED: spec.attacks.aea.seed if spec.attacks.aea else 0,
        BATCH_SIZE: batch_size,
        "device": torch.cuda.get_device_name(model.device) if model.device.type == "cuda" else "cpu",
        "versions": {name: version(name) for name in ("torch", "torchvision", "open_clip_torch", "pillow")},
        "code of tui-mia": _code(),
    }


def _code() -> str:
    digest = hashlib.sha256()
    for room in _ROOMS:
        for path in sorted((Path(__file__).parent.parent / room).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()
