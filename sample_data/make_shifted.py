"""Picks candidates whose members and non-members are drawings of different kinds.

    python sample_data/make_shifted.py

Most published member and non-member collections differ in what they show, and
a score that only sees the difference looks like a leak. These lists are such a
collection on purpose: `shifted/candidates.txt` over candidates.tar and
`shifted/nonmembers.txt` over nonmembers.tar. The rule: rank the categories
(first folder of the source) by the mean similarity that the reference model
gives their pairs in general.tar and nonmembers.tar; keep the member candidates
of the top third and the non-members of the lower half. The control model and
the candidates' scores take no part in the choice.
"""

from __future__ import annotations

import argparse
import io
import json
import tarfile
from collections import defaultdict
from pathlib import Path
from statistics import mean

import open_clip
import torch
from PIL import Image
from train import read_pairs

FEWEST_PAIRS_TO_RANK = 10


def read_records(tar_path: Path) -> dict[str, tuple[str, bool]]:
    """The category of every pair in the tar and whether it is labelled a member, by key."""
    records = {}
    with tarfile.open(tar_path) as tar:
        for entry in tar:
            content = tar.extractfile(entry)
            if content is not None and entry.name.endswith(".json"):
                record = json.loads(content.read())
                category = record["source"].split("/")[0]
                records[entry.name.removesuffix(".json")] = (category, record.get("member", False))
    return records


@torch.inference_mode()
def reference_similarities(world: Path, tar_path: Path) -> dict[str, float]:
    """The cosine of image and caption under the reference model, by key."""
    name = f"local-dir:{world / 'models' / 'reference'}"
    model, _, preprocess = open_clip.create_model_and_transforms(name)
    tokenizer = open_clip.get_tokenizer(name)
    model.eval()
    pairs = read_pairs([tar_path])
    images = torch.stack([preprocess(Image.open(io.BytesIO(image))) for image, _ in pairs.values()])
    tokens = tokenizer([caption for _, caption in pairs.values()])
    image_embeddings = model.encode_image(images, normalize=True)
    text_embeddings = model.encode_text(tokens, normalize=True)
    return dict(zip(pairs, (image_embeddings * text_embeddings).sum(dim=1).tolist(), strict=True))


def rank_categories(world: Path) -> list[str]:
    """Categories with enough pairs, the one with the highest mean similarity first."""
    similarities = defaultdict(list)
    for tar_path in (world / "general.tar", world / "nonmembers.tar"):
        records = read_records(tar_path)
        for key, similarity in reference_similarities(world, tar_path).items():
            similarities[records[key][0]].append(similarity)
    ranked = [name for name, values in similarities.items() if len(values) >= FEWEST_PAIRS_TO_RANK]
    return sorted(ranked, key=lambda name: -mean(similarities[name]))


def write_keys(path: Path, keys: list[str]) -> None:
    """One key a line, in order."""
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(f"{key}\n" for key in sorted(keys)))


def main() -> None:
    """Rank, choose, and write the two lists."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", type=Path, default=Path(__file__).parent, help="where the pools are")
    world = parser.parse_args().world

    ranked = rank_categories(world)
    member_side = ranked[: len(ranked) // 3]
    nonmember_side = ranked[len(ranked) // 2 :]
    print(f"members from {', '.join(member_side)}; non-members from {', '.join(nonmember_side)}")

    candidates = read_records(world / "candidates.tar")
    write_keys(
        world / "shifted" / "candidates.txt",
        [
            key
            for key, (category, member) in candidates.items()
            if category in (member_side if member else nonmember_side)
        ],
    )
    nonmembers = read_records(world / "nonmembers.tar")
    write_keys(
        world / "shifted" / "nonmembers.txt",
        [key for key, (category, _) in nonmembers.items() if category in nonmember_side],
    )


if __name__ == "__main__":
    main()
