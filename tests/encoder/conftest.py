"""Small models of several families with random weights, and pairs to encode."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from tui_mia.encoder import (
    BatchLimit,
    Meter,
    Reuse,
    Schedule,
    ShardEncoder,
    TargetModel,
    encode_here,
    load_target,
)
from tui_mia.encoder.schedule import OnProgress, OnShard
from tui_mia.pools import Pair, PoolName, Shard
from tui_mia.spec import AuditSpec, ModelSpec

TEXT = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
IMAGE = {"image_size": 32, "patch_size": 8, "width": 32, "head_width": 16, "layers": 1}
CLIP: dict[str, Any] = {"embed_dim": 16, "vision_cfg": IMAGE, "text_cfg": TEXT}
FAMILIES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "clip": (CLIP, {}),
    "siglip": (
        CLIP
        | {
            "custom_text": True,
            "init_logit_bias": -10,
            "vision_cfg": IMAGE | {"pool_type": "avg", "no_ln_pre": True},
            "text_cfg": TEXT | {"no_causal_mask": True, "proj_bias": True, "pool_type": "last"},
        },
        {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"},
    ),
    "coca": (
        CLIP
        | {
            "custom_text": True,
            "vision_cfg": IMAGE | {"attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True},
            "text_cfg": TEXT | {"embed_cls": True, "output_tokens": True},
            "multimodal_cfg": TEXT | {"attn_pooler_heads": 2},
        },
        {},
    ),
    "resnet": (
        CLIP | {"vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "head_width": 16}},
        {"resize_mode": "longest", "fill_color": 127},
    ),
}


def save_model(
    folder: Path, config: dict[str, Any], preprocess: dict[str, Any] | None = None, seed: int = 0
) -> ModelSpec:
    """Write a model with random weights as open_clip's local-dir."""
    folder.mkdir(parents=True)
    document = {"model_cfg": deepcopy(config), "preprocess_cfg": preprocess or {}}
    (folder / "open_clip_config.json").write_text(json.dumps(document))
    torch.manual_seed(seed)
    network = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    save_file(
        {name: tensor.clone() for name, tensor in network.state_dict().items()},
        folder / "open_clip_model.safetensors",
    )
    return ModelSpec(architecture=f"local-dir:{folder}", device="cpu")


def write_tar(path: Path, images: Mapping[int, bytes]) -> None:
    """Write a tar of pairs, from their numbers and the bytes that pass for their images."""
    with tarfile.open(path, "w") as tar:
        for number, image in images.items():
            for name, content in ((f"{number}.png", image), (f"{number}.txt", f"no {number}".encode())):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


@pytest.fixture(scope="session")
def make_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., ModelSpec]:
    """Makes a model of a family (clip, siglip, coca, resnet); other keys change its configuration."""

    def make(
        family: str = "clip", seed: int = 0, preprocess: dict[str, Any] | None = None, **config: Any
    ) -> ModelSpec:
        of_family, its_preprocess = FAMILIES[family]
        folder = tmp_path_factory.mktemp(family) / "model"
        return save_model(folder, of_family | config, {**its_preprocess, **(preprocess or {})}, seed)

    return make


@pytest.fixture(scope="session")
def clip_spec(make_model: Callable[..., ModelSpec]) -> ModelSpec:
    return make_model("clip")


@pytest.fixture(scope="session")
def clip(clip_spec: ModelSpec) -> TargetModel:
    """A small CLIP on the CPU."""
    return load_target(clip_spec)


@pytest.fixture(scope="session")
def siglip(make_model: Callable[..., ModelSpec]) -> TargetModel:
    """A model of another family, preprocess and embedding size, as a reference."""
    return load_target(make_model("siglip", embed_dim=24), "reference")


@pytest.fixture(scope="session")
def make_pairs(image_bytes: Callable[..., bytes]) -> Callable[..., list[Pair]]:
    """Makes n pairs; every third caption is one that came before."""

    def make(count: int, first: int = 0) -> list[Pair]:
        numbers = range(first, first + count)
        return [
            Pair(
                f"{number:05}", "pairs.tar", image_bytes(number), f"picture {number - number % 3}", number + 1
            )
            for number in numbers
        ]

    return make


def encode_pools(
    spec: AuditSpec,
    shards: Mapping[PoolName, Sequence[Shard]],
    model: TargetModel,
    batch_size: int,
    folder: Path,
    on_progress: OnProgress,
    reference: TargetModel | None = None,
    reuse: Reuse | None = None,
    limit: BatchLimit | None = None,
    on_shard: OnShard = lambda event: None,
) -> None:
    """Encode all shards of an audit into a folder, in this process."""
    schedule = Schedule(shards, spec.pool_specs(), on_progress, on_shard)
    limit, meter = limit or BatchLimit(), Meter()
    encoder = ShardEncoder(spec, model, reference, batch_size, folder, reuse, limit, meter)
    encode_here(encoder, schedule)
