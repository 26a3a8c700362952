"""The shipped pairs and models are what sample_data/README.md says they are."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import tarfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from PIL import Image

WORLD = Path(__file__).parents[2] / "sample_data"
PAIR_COUNTS = {"candidates": 1400, "nonmembers": 300, "general": 600, "unseen": 877}
MODELS = ("target", "control", "reference")
LARGEST_TOTAL_BYTES = 60_000_000


@dataclass(frozen=True)
class Sample:
    """One pair as it lies in a tar."""

    image: bytes
    caption: bytes
    record: dict[str, str | bool]

    @property
    def content(self) -> str:
        return hashlib.sha256(self.image + b"\0" + self.caption).hexdigest()


@cache
def read_pool(name: str) -> dict[str, Sample]:
    with tarfile.open(WORLD / f"{name}.tar") as tar:
        files = {
            entry.name: content.read() for entry in tar if (content := tar.extractfile(entry)) is not None
        }
    keys = [name.removesuffix(".json") for name in files if name.endswith(".json")]
    assert len(files) == 3 * len(keys)
    return {
        key: Sample(files[f"{key}.png"], files[f"{key}.txt"], json.loads(files[f"{key}.json"]))
        for key in keys
    }


def read_keys(name: str) -> list[str]:
    return (WORLD / name).read_text().split()


@pytest.mark.parametrize(("pool", "count"), PAIR_COUNTS.items())
def test_each_pool_holds_as_many_whole_pairs_as_documented(pool: str, count: int) -> None:
    assert len(read_pool(pool)) == count


@pytest.mark.parametrize("pool", PAIR_COUNTS)
def test_every_picture_is_64_pixels_square_and_has_a_caption_and_a_source(pool: str) -> None:
    for sample in read_pool(pool).values():
        assert Image.open(io.BytesIO(sample.image)).size == (64, 64)
        assert sample.caption.strip()
        assert {"title", "creator", "source"} <= set(sample.record)


def test_no_key_and_no_content_occurs_in_two_pools() -> None:
    pools = [read_pool(name) for name in PAIR_COUNTS]
    for one, other in itertools.combinations(pools, 2):
        assert not set(one) & set(other)
        assert not {sample.content for sample in one.values()} & {sample.content for sample in other.values()}


def test_no_pair_occurs_twice_within_a_pool() -> None:
    for name, count in PAIR_COUNTS.items():
        assert len({sample.content for sample in read_pool(name).values()}) == count


def test_labels_agree_with_the_list_of_members() -> None:
    members = set(read_keys("members.txt"))
    candidates = read_pool("candidates")
    labelled = {key for key, sample in candidates.items() if sample.record["member"] is True}
    assert len(labelled) == 400
    assert labelled == members & set(candidates)


def test_the_target_learnt_800_pairs_all_of_them_in_the_candidates_or_general_pool() -> None:
    members = read_keys("members.txt")
    assert len(members) == len(set(members)) == 800
    assert len(set(members) & set(read_pool("general"))) == 400
    assert set(members) <= set(read_pool("candidates")) | set(read_pool("general"))


@pytest.mark.parametrize("pool", ["nonmembers", "general", "unseen"])
def test_only_candidates_carry_a_label(pool: str) -> None:
    assert not any("member" in sample.record for sample in read_pool(pool).values())


def test_members_and_nonmembers_are_mixed_along_the_candidates_tar() -> None:
    labels = [sample.record["member"] for sample in read_pool("candidates").values()]
    for start in range(0, len(labels), 200):
        assert 30 <= sum(map(bool, labels[start : start + 200])) <= 85


@pytest.mark.parametrize("pool", PAIR_COUNTS)
def test_tars_tell_no_time_and_no_owner(pool: str) -> None:
    with tarfile.open(WORLD / f"{pool}.tar") as tar:
        assert {(entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname) for entry in tar} == {
            (0, 0, 0, "", "")
        }


@pytest.mark.parametrize("pool", ["candidates", "nonmembers"])
def test_shifted_lists_name_existing_keys_once(pool: str) -> None:
    keys = read_keys(f"shifted/{pool}.txt")
    assert len(keys) == len(set(keys))
    assert set(keys) <= set(read_pool(pool))


def test_the_shifted_candidates_have_members_and_nonmembers_of_different_categories() -> None:
    candidates = read_pool("candidates")
    categories: dict[bool, list[str]] = {True: [], False: []}
    for key in read_keys("shifted/candidates.txt"):
        record = candidates[key].record
        categories[bool(record["member"])].append(str(record["source"]).split("/")[0])
    assert not set(categories[True]) & set(categories[False])
    assert min(len(categories[True]), len(categories[False])) >= 100


def test_the_sample_world_stays_small_enough_to_ship() -> None:
    files = [path for path in WORLD.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert sum(path.stat().st_size for path in files) < LARGEST_TOTAL_BYTES


@pytest.mark.parametrize("model_name", MODELS)
def test_open_clip_loads_each_model_and_encodes_a_pair(model_name: str) -> None:
    import open_clip
    import torch

    name = f"local-dir:{WORLD / 'models' / model_name}"
    model, _, preprocess = open_clip.create_model_and_transforms(name)
    tokenizer = open_clip.get_tokenizer(name)
    model.eval()
    sample = next(iter(read_pool("candidates").values()))
    with torch.inference_mode():
        image = model.encode_image(
            preprocess(Image.open(io.BytesIO(sample.image))).unsqueeze(0), normalize=True
        )
        text = model.encode_text(tokenizer([sample.caption.decode()]), normalize=True)
    assert image.shape == text.shape == (1, 64)
    assert image.norm().item() == pytest.approx(1, abs=1e-4)
    assert text.norm().item() == pytest.approx(1, abs=1e-4)
