from __future__ import annotations

from collections.abc import Callable

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torchvision.transforms import Compose, ToTensor

from tui_mia.encoder import TargetModel, load_target
from tui_mia.encoder.preprocess import NotBytesError, in_bytes
from tui_mia.spec import ModelSpec

PHOTOGRAPH = Image.fromarray(load_sample_images().images[0])
SHAPES = [(640, 427), (427, 640), (33, 40), (20, 500), (31, 17), (32, 32)]


@pytest.mark.parametrize("family", ["clip", "siglip", "coca", "resnet"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_model_gets_the_numbers_of_open_clips_own_preprocess(
    family: str, shape: tuple[int, int], make_model: Callable[..., ModelSpec]
) -> None:
    spec = make_model(family)
    _, theirs = open_clip.create_model_from_pretrained(spec.architecture)
    model = load_target(spec)
    image = PHOTOGRAPH.resize(shape)
    pixels = model.preprocess(image)
    assert pixels.dtype == torch.uint8
    (inputs,) = (model.to_device([pixels]) - model.mean) / model.std
    assert torch.equal(inputs, theirs(image))


@pytest.mark.parametrize("shape", SHAPES)
def test_fast_resizing_differs_from_pillows_by_a_level_or_two(
    shape: tuple[int, int], make_model: Callable[..., ModelSpec]
) -> None:
    spec = make_model("clip")
    exact, fast = (
        load_target(spec.model_copy(update={"precision": precision})) for precision in ("exact", "fast")
    )
    image = PHOTOGRAPH.resize(shape)
    ours, theirs = (model.preprocess(image).int() for model in (fast, exact))
    assert ours.shape == theirs.shape == (3, 32, 32)
    assert (ours - theirs).abs().max() <= 2
    assert ((ours - theirs).abs() > 1).float().mean() < 0.01


def test_fast_resizing_is_used_where_the_preprocess_is_a_plain_one_and_nowhere_else(
    make_model: Callable[..., ModelSpec],
) -> None:
    def kind(family: str, precision: str) -> str:
        spec = make_model(family).model_copy(update={"precision": precision})
        return type(load_target(spec).preprocess).__name__

    assert kind("clip", "fast") != kind("clip", "exact")
    for family in ("siglip", "resnet"):
        assert kind(family, "fast") == kind(family, "exact") == kind("clip", "exact")


def test_the_image_is_left_as_it_was(clip: TargetModel) -> None:
    image = PHOTOGRAPH.resize((32, 32))
    before = np.array(image)
    clip.preprocess(image).zero_()
    np.testing.assert_array_equal(np.array(image), before)


def test_a_preprocess_of_another_kind_is_refused() -> None:
    with pytest.raises(NotBytesError, match="does not end with a tensor and its normalisation"):
        in_bytes(Compose([ToTensor()]), fast=False)
