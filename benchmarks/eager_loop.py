"""What attack scripts do today: open_clip as it comes, in fp32, and one pass over the pairs an attack.

    python benchmarks/eager_loop.py --tars 'pairs-*.tar' --weights ViT-B-32.pt --attacks csa
    python benchmarks/eager_loop.py --tars 'pairs-*.tar' --weights ViT-B-32.pt --attacks all --views 8

CSA encodes image and caption; AEA loads each image again, makes its views with
PIL and torchvision and encodes them and the caption; WSA encodes image and
caption again and keeps the embeddings. Where a choice is free it is the loop's
gain: AEA takes the similarity of the unchanged image from CSA's pass, and WSA's
classifier, calibration and judgement are left out. Prints one line of JSON; CPU
seconds are those of this process and its loaders from the moment that the model
is loaded and has run once.
"""

from __future__ import annotations

import argparse
import gc
import glob
import json
import multiprocessing
import os
import resource
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

# Threads that wait for others would burn seconds that are not work.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import open_clip
import torch
from PIL import Image, ImageFilter
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

IMAGES = {"jpg", "jpeg", "png", "webp"}
BATCH = 32
Transform = Callable[[Image.Image], Tensor]


@dataclass(frozen=True)
class Target:
    """A model with weights from a file, and open_clip's own preprocessing for it."""

    model: nn.Module
    preprocess: Transform
    tokenizer: Callable[[list[str]], Tensor]
    image_size: tuple[int, int]
    device: str


@dataclass
class Pair:
    """Where an image and its caption lie in a tar: the first byte and how many."""

    tar: str
    image: tuple[int, int] | None = None
    caption: tuple[int, int] | None = None


@dataclass
class Clock:
    """Starts when made. CPU seconds are of this process and of those children that have ended."""

    wall: float = field(default_factory=time.perf_counter)
    cpu: float = field(default_factory=lambda: _cpu_seconds())

    def line(self, similarities: Tensor) -> dict[str, float]:
        """What is printed for [n] similarities that took from the start until now.

        Raises RuntimeError if a child still lives: its seconds would be missing.
        """
        gc.collect()
        if children := multiprocessing.active_children():
            raise RuntimeError(f"{len(children)} loaders have not ended; their CPU seconds are not known")
        cpu = _cpu_seconds() - self.cpu
        return {
            "samples": len(similarities),
            "wall_seconds": round(time.perf_counter() - self.wall, 3),
            "cpu_seconds": round(cpu, 3),
            "samples_per_cpu_second": round(len(similarities) / cpu, 4),
            "mean_similarity": similarities.double().mean().item(),
        }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(parser)
    parser.add_argument("--attacks", choices=("csa", "all"), default="csa")
    parser.add_argument("--views", type=int, default=8)
    arguments = parser.parse_args()
    target = load(arguments.weights, arguments.model, arguments.device)
    loop = Loop(target, arguments.tars, arguments.limit, arguments.workers, arguments.batch)
    clock = Clock()
    similarities = loop.csa()
    if arguments.attacks == "all":
        loop.aea(similarities, arguments.views)
        loop.wsa()
    print(json.dumps(clock.line(similarities)))


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tars", required=True, help="a glob of WebDataset tars")
    parser.add_argument("--weights", required=True, type=Path, help="a state dict of open_clip's")
    parser.add_argument("--model", help="open_clip's name of it; left out, the name of the weights' file")
    parser.add_argument("--limit", type=int, help="so many pairs, the first ones")
    # Another process only moves 0.6 MB an image; the model's threads fill the cores without it.
    parser.add_argument("--workers", type=int, default=0, help="processes that load images")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=BATCH)


def load(weights: Path, name: str | None, device: str = "cpu") -> Target:
    """The model, in fp32 on a CPU and with autocast to fp16 on a GPU, run once so that all is set up."""
    name = name or weights.stem
    model, _, preprocess = open_clip.create_model_and_transforms(name, pretrained=str(weights), device=device)
    if device != "cpu":
        half = torch.autocast(device, dtype=torch.float16)
        model.encode_image, model.encode_text = half(model.encode_image), half(model.encode_text)
    tokenizer = open_clip.get_tokenizer(name)
    size = model.visual.image_size
    height, width = (size, size) if isinstance(size, int) else size
    with torch.no_grad():
        model.eval().encode_image(torch.zeros(2, 3, height, width, device=device))
        model.encode_text(tokenizer(["", ""]).to(device))
    return Target(model, preprocess, tokenizer, (height, width), device)


class Loop:
    """One pass over the pairs an attack, each as a script of its own would make it."""

    def __init__(self, target: Target, tars: str, limit: int | None, workers: int, batch: int) -> None:
        self._target, self._tars, self._limit, self._workers = target, tars, limit, workers
        self._batch, self._device = batch, target.device

    def csa(self) -> Tensor:
        """[n] similarities of image and caption."""
        passes = self._encoded([self._target.preprocess])
        return torch.cat([(images[:, 0] * texts).sum(dim=1) for images, texts in passes])

    def aea(self, similarities: Tensor, views: int) -> Tensor:
        """[n] scores: similarity plus the sum of its drops over so many views."""
        kinds = _kinds(self._target.image_size)
        preprocess = self._target.preprocess
        recipes = [transforms.Compose([kinds[view % len(kinds)], preprocess]) for view in range(views)]
        passes = self._encoded(recipes)
        of_views = torch.cat([(images * texts[:, None]).sum(dim=2) for images, texts in passes])
        return similarities + (similarities[:, None] - of_views).sum(dim=1)

    def wsa(self) -> Tensor:
        """[n, 2d] embeddings of image and caption, what its classifier is fitted to."""
        passes = self._encoded([self._target.preprocess])
        return torch.cat([torch.cat([images[:, 0], texts], dim=1) for images, texts in passes])

    @torch.no_grad()
    def _encoded(self, recipes: list[Transform]) -> Iterator[tuple[Tensor, Tensor]]:
        """A batch at a time: [b, recipes, d] embeddings of images and [b, d] of captions, of length 1."""
        pairs = Pairs(self._target, find_pairs(self._tars)[: self._limit], recipes)
        batch = max(1, self._batch // len(recipes))
        model: Any = self._target.model
        for images, tokens in DataLoader(pairs, batch_size=batch, num_workers=self._workers):
            embedded = model.encode_image(images.flatten(0, 1).to(self._device), normalize=True)
            texts = model.encode_text(tokens.to(self._device), normalize=True)
            yield embedded.unflatten(0, images.shape[:2]).float().cpu(), texts.float().cpu()


class Pairs(Dataset[tuple[Tensor, Tensor]]):
    """Pair i as [recipes, 3, height, width], its image through each recipe, and its caption's [77] tokens."""

    def __init__(self, target: Target, pairs: list[Pair], recipes: list[Transform]) -> None:
        self._target, self._pairs, self._recipes = target, pairs, recipes

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        image, caption = read_pair(self._pairs[number])
        picture = Image.open(BytesIO(image)).convert("RGB")
        views = torch.stack([recipe(picture) for recipe in self._recipes])
        return views, self._target.tokenizer([caption.decode()])[0]


def find_pairs(tars: str) -> list[Pair]:
    """The pairs of tars that match a glob, in the order in which they lie there.

    Raises FileNotFoundError if there is none.
    """
    found: list[Pair] = []
    for path in sorted(glob.glob(tars)):
        pairs: dict[str, Pair] = {}
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                key, _, kind = member.name.rpartition(".")
                pair = pairs.setdefault(key, Pair(path))
                if kind.lower() in IMAGES:
                    pair.image = member.offset_data, member.size
                elif kind == "txt":
                    pair.caption = member.offset_data, member.size
        found += [pair for pair in pairs.values() if pair.image and pair.caption]
    if not found:
        raise FileNotFoundError(f"no pairs of image and .txt in {tars}")
    return found


def read_pair(pair: Pair) -> tuple[bytes, bytes]:
    """The bytes of the image and of the caption."""
    assert pair.image is not None
    assert pair.caption is not None
    with open(pair.tar, "rb") as tar:
        tar.seek(pair.image[0])
        image = tar.read(pair.image[1])
        tar.seek(pair.caption[0])
        return image, tar.read(pair.caption[1])


def _kinds(size: tuple[int, int]) -> list[Callable[[Image.Image], Image.Image]]:
    """The five kinds of tui_mia/encoder/views.py, in its order and ranges, on a PIL image."""
    bicubic = transforms.InterpolationMode.BICUBIC

    def crop(least_side: float) -> Callable[[Image.Image], Image.Image]:
        # torchvision counts the area.
        crop: Callable[[Image.Image], Image.Image] = transforms.RandomResizedCrop(
            size, scale=(least_side**2, 1.0), ratio=(1.0, 1.0), interpolation=bicubic
        )
        return crop

    return [
        crop(0.7),
        transforms.RandomRotation(20, interpolation=transforms.InterpolationMode.BILINEAR),
        transforms.Compose([crop(0.9), transforms.RandomHorizontalFlip(1.0)]),
        # PIL's, since torchvision's is many times as slow.
        transforms.Lambda(_blur),
        transforms.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4),
    ]


def _blur(image: Image.Image) -> Image.Image:
    share = torch.empty(1).uniform_(0.005, 0.015).item()
    return image.filter(ImageFilter.GaussianBlur(share * min(image.size)))


def _cpu_seconds() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


if __name__ == "__main__":
    main()
