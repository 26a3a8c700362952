"""Pairs and weights for benchmarks, made on the spot: nothing is downloaded, a seed gives the same bytes.

Pictures are the two photographs that scikit-learn ships, rolled, cropped and
under low-frequency noise, as JPEG of quality 90 in the sizes of a common web
crawl. One caption in ten is that of another pair. The weights are open_clip's
own random ones: what a model knows does not change what it costs.
"""

from __future__ import annotations

import io
import json
import os
import random
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_images
from stream import WORDS, add

ARCHITECTURE = "ViT-B-32"
SEED = 0
# Width and height in pixels, and the share of it.
SIZES = {(384, 256): 0.70, (640, 427): 0.25, (1280, 854): 0.05}
DUPLICATE_CAPTIONS = 0.1
JPEG_QUALITY = 90
NOISE_LEVELS = 24


def write_pairs(
    folder: Path, name: str, pairs: int, pairs_a_tar: int = 10_000, seed: int = SEED, *, labelled: bool = True
) -> str:
    """Tars `name-NNNN.tar` of so many pairs in a folder, every other one labelled a member; their glob."""
    photographs = [Image.fromarray(photograph) for photograph in load_sample_images().images]
    captions = write_captions(pairs, seed)

    def write_tar(first: int) -> None:
        draw = np.random.default_rng([seed, first])
        with tarfile.open(folder / f"{name}-{first // pairs_a_tar:04d}.tar", "w") as tar:
            for number in range(first, min(first + pairs_a_tar, pairs)):
                add(tar, f"{number:08d}.jpg", _jpeg(draw, photographs))
                add(tar, f"{number:08d}.txt", captions[number].encode())
                if labelled:
                    add(tar, f"{number:08d}.json", json.dumps({"member": number % 2 == 0}).encode())

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        list(threads.map(write_tar, range(0, pairs, pairs_a_tar)))
    return str(folder / f"{name}-*.tar")


def write_captions(pairs: int, seed: int = SEED) -> list[str]:
    """A caption of 5 to 20 words for each pair, one in ten that of an earlier pair."""
    draw, words = random.Random(seed), WORDS.split()
    captions: list[str] = []
    for _ in range(pairs):
        if captions and draw.random() < DUPLICATE_CAPTIONS:
            captions.append(draw.choice(captions))
        else:
            captions.append(" ".join(draw.choices(words, k=draw.randint(5, 20))))
    return captions


def save_weights(folder: Path, architecture: str = ARCHITECTURE) -> Path:
    """The state dict of a model with weights of chance, as everything here loads it."""
    torch.manual_seed(SEED)
    path = folder / f"{architecture}.pt"
    torch.save(open_clip.create_model(architecture, load_weights=False).state_dict(), path)
    return path


def _jpeg(draw: np.random.Generator, photographs: list[Image.Image]) -> bytes:
    width, height = list(SIZES)[draw.choice(len(SIZES), p=list(SIZES.values()))]
    photograph = photographs[draw.integers(len(photographs))]
    rolled = np.roll(np.asarray(photograph), draw.integers(0, 400, 2), axis=(0, 1))
    share = draw.uniform(0.6, 1.0)
    across, down = int(photograph.width * share), int(photograph.height * share)
    cropped = Image.fromarray(rolled[:down, :across]).resize((width, height), Image.Resampling.BILINEAR)
    noised = np.asarray(cropped, dtype=np.float32) + _noise(draw, width, height)
    picture = io.BytesIO()
    Image.fromarray(noised.clip(0, 255).astype(np.uint8)).save(picture, "JPEG", quality=JPEG_QUALITY)
    return picture.getvalue()


def _noise(draw: np.random.Generator, width: int, height: int) -> NDArray[np.float32]:
    """[height, width, 1] of slow changes of brightness."""
    coarse = draw.normal(0, NOISE_LEVELS, (8, 8)).astype(np.float32)
    smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(smooth)[:, :, None]
