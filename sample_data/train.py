"""Trains the three small models of the sample world from its tars.

    python sample_data/train.py target      on the 800 members
    python sample_data/train.py control     on 800 of the 877 unseen pairs
    python sample_data/train.py reference   on 800 of the 877 unseen pairs, drawn anew
    python sample_data/train.py all

Control and reference have seen no candidate: an audit of either must find
nothing. Each model becomes an open_clip folder, `models/NAME`, that
`open_clip.create_model_and_transforms("local-dir:PATH")` loads.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import math
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from PIL import Image
from safetensors import torch as safetensors_torch
from torch.nn import functional

MODEL_CONFIG: dict[str, Any] = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": 64, "patch_size": 8, "width": 128, "head_width": 32, "layers": 3},
    "text_cfg": {"context_length": 32, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 3},
}
PREPROCESS_CONFIG: dict[str, Any] = {
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}
TRAINING_PAIRS = 800
THREADS = 2


@dataclass(frozen=True, slots=True)
class Recipe:
    """What was chosen on the development split (seed 1); the README says how."""

    epochs: int = 20
    batch_size: int = 100
    learning_rate: float = 1e-3
    weight_decay: float = 0.1
    warmup_share: float = 0.1
    smallest_crop: float = 0.5
    flip: bool = True


@dataclass(frozen=True, slots=True)
class Pairs:
    """Training pairs in memory: images (n, 3, 64, 64) float32, normalised; tokens (n, 32) int64."""

    images: torch.Tensor
    tokens: torch.Tensor


def read_pairs(tar_paths: list[Path]) -> dict[str, tuple[bytes, str]]:
    """Image bytes and caption of every pair in the tars, by key."""
    files: dict[str, bytes] = {}
    for path in tar_paths:
        with tarfile.open(path) as tar:
            for entry in tar:
                content = tar.extractfile(entry)
                if content is not None:
                    files[entry.name] = content.read()
    keys = [name.removesuffix(".png") for name in files if name.endswith(".png")]
    return {key: (files[f"{key}.png"], files[f"{key}.txt"].decode()) for key in keys}


def training_pairs(name: str, world: Path, seed: int) -> Pairs:
    """The pairs that the model of this name learns, in order of their keys."""
    if name == "target":
        found = read_pairs([world / "candidates.tar", world / "general.tar"])
        keys = (world / "members.txt").read_text().split()
    else:
        found = read_pairs([world / "unseen.tar"])
        drawn = np.random.default_rng(seed).permutation(sorted(found))
        keys = sorted(str(key) for key in drawn[:TRAINING_PAIRS])
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(found[key][0])).convert("RGB")) for key in keys])
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(PREPROCESS_CONFIG[part]).view(1, 3, 1, 1) for part in ("mean", "std"))
    tokenizer = open_clip.SimpleTokenizer(context_length=MODEL_CONFIG["text_cfg"]["context_length"])
    return Pairs((images - mean) / std, tokenizer([found[key][1] for key in keys]))


def random_crops(images: torch.Tensor, recipe: Recipe) -> torch.Tensor:
    """A random square of each image, resized to the whole, half of them mirrored."""
    count = len(images)
    side = torch.empty(count).uniform_(recipe.smallest_crop, 1.0).sqrt()
    centre = (torch.rand(count, 2) * 2 - 1) * (1 - side).unsqueeze(1)
    mirror = 1.0 - 2.0 * (torch.rand(count) < 0.5).float() * recipe.flip
    transform = torch.zeros(count, 2, 3)
    transform[:, 0, 0] = side * mirror
    transform[:, 1, 1] = side
    transform[:, :, 2] = centre
    grid = functional.affine_grid(transform, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def train(pairs: Pairs, recipe: Recipe, seed: int) -> open_clip.CLIP:
    """Fit a model from scratch with the contrastive loss, AdamW and a cosine schedule."""
    torch.manual_seed(seed)
    model = open_clip.CLIP(**MODEL_CONFIG)
    decayed = [weight for weight in model.parameters() if weight.ndim >= 2]
    others = [weight for weight in model.parameters() if weight.ndim < 2]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}],
        lr=recipe.learning_rate,
        betas=(0.9, 0.98),
        eps=1e-6,
    )
    batches = len(pairs.images) // recipe.batch_size
    steps = recipe.epochs * batches
    warmup = recipe.warmup_share * steps
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min((step + 1) / warmup, 0.5 * (1 + math.cos(math.pi * step / steps))),
    )
    contrastive = open_clip.ClipLoss()
    model.train()
    for epoch in range(recipe.epochs):
        total = 0.0
        for batch in torch.randperm(len(pairs.images)).split(recipe.batch_size)[:batches]:
            image, text, scale = model(random_crops(pairs.images[batch], recipe), pairs.tokens[batch])
            loss = contrastive(image, text, scale)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            with torch.no_grad():
                model.logit_scale.clamp_(0, math.log(100))
            total += loss.item()
        if (epoch + 1) % 10 == 0:
            logging.info("epoch %d: loss %.3f, scale %.1f", epoch + 1, total / batches, scale.item())
    return model.eval()


def save(model: open_clip.CLIP, folder: Path) -> None:
    """Write the folder that open_clip reads; half precision, which is ample for a cosine."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"model_cfg": MODEL_CONFIG, "preprocess_cfg": PREPROCESS_CONFIG}
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")
    weights = {name: weight.detach().half().contiguous() for name, weight in model.state_dict().items()}
    (folder / "open_clip_model.safetensors").write_bytes(safetensors_torch.save(weights))


def main() -> None:
    """Train the models that were asked for."""
    seeds = {"target": 0, "control": 1, "reference": 2}
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", choices=[*seeds, "all"])
    parser.add_argument("--world", type=Path, default=Path(__file__).parent, help="where the pools are")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(THREADS)
    for name in seeds if arguments.model == "all" else [arguments.model]:
        logging.info("training %s", name)
        model = train(training_pairs(name, arguments.world, seeds[name]), Recipe(), seeds[name])
        save(model, arguments.world / "models" / name)


if __name__ == "__main__":
    main()
