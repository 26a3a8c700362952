"""Measures how well the plain similarity (CSA) tells members from non-members under each model.

    python sample_data/measure.py

For target, control and reference, on all candidates and on the shifted list:
the AUC with its 95 % interval (DeLong et al. 1988) and the true-positive rate
at 1 % false positives.
"""

from __future__ import annotations

import argparse
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import open_clip
import torch
from PIL import Image
from train import read_pairs  # type: ignore[import-not-found]

FALSE_POSITIVE_RATE = 0.01


@torch.inference_mode()
def similarities(world: Path, model_name: str, tar_path: Path) -> dict[str, float]:
    """The cosine of image and caption under one of the world's models, by key, in the order of the tar."""
    name = f"local-dir:{world / 'models' / model_name}"
    model, _, preprocess = open_clip.create_model_and_transforms(name)
    tokenizer = open_clip.get_tokenizer(name)
    model.eval()
    pairs = read_pairs([tar_path])
    images = torch.stack([preprocess(Image.open(io.BytesIO(image))) for image, _ in pairs.values()])
    tokens = tokenizer([caption for _, caption in pairs.values()])
    image_embeddings = model.encode_image(images, normalize=True)
    text_embeddings = model.encode_text(tokens, normalize=True)
    return dict(zip(pairs, (image_embeddings * text_embeddings).sum(dim=1).tolist(), strict=True))


def read_records(tar_path: Path) -> dict[str, dict[str, str | bool]]:
    """The .json of every pair in the tar, by key."""
    with tarfile.open(tar_path) as tar:
        return {
            entry.name.removesuffix(".json"): json.loads(content.read())
            for entry in tar
            if entry.name.endswith(".json") and (content := tar.extractfile(entry)) is not None
        }


def describe(members: npt.NDArray[np.float64], nonmembers: npt.NDArray[np.float64]) -> str:
    """AUC, interval and true-positive rate of two sets of scores, in words."""
    wins = (members[:, None] > nonmembers) + 0.5 * (members[:, None] == nonmembers)
    auc = wins.mean()
    member_part, nonmember_part = wins.mean(axis=1), wins.mean(axis=0)
    half = 1.96 * np.sqrt(
        member_part.var(ddof=1) / len(members) + nonmember_part.var(ddof=1) / len(nonmembers)
    )
    allowed = int(FALSE_POSITIVE_RATE * len(nonmembers))
    threshold = np.sort(nonmembers)[::-1][allowed]
    found = (members > threshold).mean()
    return (
        f"AUC {auc:.3f} ({auc - half:.3f} to {auc + half:.3f}), TPR at 1 % FPR {found:.3f}, "
        f"{len(members)} members, {len(nonmembers)} non-members"
    )


def main() -> None:
    """Print one line a model and list."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--world", type=Path, default=Path(__file__).parent, help="where the pools are")
    world = parser.parse_args().world

    candidates = world / "candidates.tar"
    records = read_records(candidates)
    key_lists = {"all candidates": list(records)}
    if (world / "shifted").is_dir():
        key_lists["shifted"] = (world / "shifted" / "candidates.txt").read_text().split()
    for model_name in ("target", "control", "reference"):
        scores = similarities(world, model_name, candidates)
        for title, keys in key_lists.items():
            members = np.array([scores[key] for key in keys if records[key]["member"]])
            nonmembers = np.array([scores[key] for key in keys if not records[key]["member"]])
            print(f"{model_name}, {title}: {describe(members, nonmembers)}")


if __name__ == "__main__":
    main()
