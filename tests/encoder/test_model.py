"""Target models: the same numbers as open_clip's own, and errors in words."""

from __future__ import annotations

import dataclasses
import errno
import io
import json
import math
import os
import pickle
import platform
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from tui_mia.encoder import ModelError, TargetModel, load_target, model
from tui_mia.encoder.encode import encode_shard
from tui_mia.encoder.model import cpu_identity, device_identity
from tui_mia.pools import Pair
from tui_mia.spec import ModelSpec


def embedded(model: TargetModel, pairs: list[Pair]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    samples, rejects = encode_shard(pairs, model, views=0, view_seed=0, batch_size=4)
    assert rejects.num_rows == 0
    image, text = (np.array(samples[f"{kind}_embedding"].to_pylist()) for kind in ("image", "text"))
    return image, text


def open_clips_own(architecture: str, pairs: list[Pair]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    network, preprocess = open_clip.create_model_from_pretrained(architecture)
    tokenizer = open_clip.get_tokenizer(architecture)
    network.eval()
    images = torch.stack([preprocess(Image.open(io.BytesIO(pair.image)).convert("RGB")) for pair in pairs])
    with torch.no_grad():
        image = network.encode_image(images, normalize=True)
        text = network.encode_text(tokenizer([pair.caption for pair in pairs]), normalize=True)
    return image.numpy(), text.numpy()


@pytest.mark.parametrize("family", ["clip", "siglip", "coca", "resnet"])
def test_embeddings_are_those_of_open_clip(
    family: str, make_model: Callable[..., ModelSpec], make_pairs: Callable[..., list[Pair]]
) -> None:
    spec = make_model(family)
    pairs = make_pairs(6)
    for ours, theirs in zip(
        embedded(load_target(spec), pairs), open_clips_own(spec.architecture, pairs), strict=True
    ):
        assert np.allclose((ours * theirs).sum(axis=1), 1, atol=1e-5)
        assert np.abs(ours - theirs).max() < 1e-5


def test_embeddings_of_the_sample_target_are_those_of_open_clip(
    world: Path, make_pairs: Callable[..., list[Pair]]
) -> None:
    spec = ModelSpec(architecture=f"local-dir:{world / 'models' / 'target'}", device="cpu")
    for ours, theirs in zip(
        embedded(load_target(spec), make_pairs(6)),
        open_clips_own(spec.architecture, make_pairs(6)),
        strict=True,
    ):
        assert np.abs(ours - theirs).max() < 1e-5


def test_normalisation_is_the_models_own(make_model: Callable[..., ModelSpec]) -> None:
    model = load_target(make_model("siglip"))
    assert model.mean.flatten().tolist() == [0.5, 0.5, 0.5]
    assert model.std.shape == (3, 1, 1)
    assert model.logit_scale == pytest.approx(1 / 0.07, rel=1e-4)


@pytest.fixture
def registered(tmp_path: Path, clip_spec: ModelSpec) -> str:
    """The small CLIP's architecture under a name, as open_clip's built-in ones."""
    folder = Path(clip_spec.architecture.removeprefix("local-dir:"))
    config = json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]
    (tmp_path / "ViT-tiny-test.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / "ViT-tiny-test.json")
    return "ViT-tiny-test"


def weights_of(spec: ModelSpec) -> dict[str, torch.Tensor]:
    folder = Path(spec.architecture.removeprefix("local-dir:"))
    weights: dict[str, torch.Tensor] = load_file(folder / "open_clip_model.safetensors")
    return weights


@pytest.mark.parametrize("form", ["plain.pt", "training.pt", "copy.safetensors"])
def test_an_architecture_with_a_checkpoint_file_is_the_model_of_its_folder(
    form: str, registered: str, clip_spec: ModelSpec, clip: TargetModel, tmp_path: Path
) -> None:
    weights = weights_of(clip_spec)
    path = tmp_path / form
    if form == "plain.pt":
        torch.save(weights, path)
    elif form == "training.pt":
        in_parallel = {f"module.{name}": tensor for name, tensor in weights.items()}
        torch.save({"epoch": 3, "state_dict": in_parallel}, path)
    else:
        folder = Path(clip_spec.architecture.removeprefix("local-dir:"))
        path.write_bytes((folder / "open_clip_model.safetensors").read_bytes())
    model = load_target(ModelSpec(architecture=registered, pretrained=str(path), device="cpu"))
    assert model.fingerprint.weights == clip.fingerprint.weights
    assert model.fingerprint.tokenizer == clip.fingerprint.tokenizer


class Payload:
    """Leaves a file behind wherever it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


class WrongArguments:
    """Makes the weights-only loader fail with a TypeError, in the hope that the caller tries another."""

    def __reduce__(self) -> tuple[Any, ...]:
        return torch._utils._rebuild_tensor_v2, (1,)


@pytest.mark.parametrize("place", ["file", "folder"])
@pytest.mark.parametrize("bait", [False, True])
def test_a_checkpoint_that_carries_code_is_refused_and_its_code_is_not_run(
    place: str, bait: bool, registered: str, clip_spec: ModelSpec, tmp_path: Path
) -> None:
    marker = tmp_path / "was-here"
    content = [WrongArguments(), Payload(marker)] if bait else Payload(marker)
    if place == "file":
        path = tmp_path / "model.pt"
        spec = ModelSpec(architecture=registered, pretrained=str(path), device="cpu")
    else:
        folder = Path(clip_spec.architecture.removeprefix("local-dir:"))
        (tmp_path / "open_clip_config.json").write_text((folder / "open_clip_config.json").read_text())
        path = tmp_path / "open_clip_pytorch_model.bin"
        spec = ModelSpec(architecture=f"local-dir:{tmp_path}", device="cpu")
    torch.save(content, path)
    with pytest.raises(ModelError) as caught:
        load_target(spec)
    assert str(tmp_path) in str(caught.value)
    assert not marker.exists()
    if not bait:  # the payload is live
        torch.load(path, weights_only=False)
        assert marker.exists()


def test_the_refusal_of_code_says_what_to_do(registered: str, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(Payload(tmp_path / "was-here"), path)
    with pytest.raises(ModelError, match=r"may carry code .*save it as \.safetensors"):
        load_target(ModelSpec(architecture=registered, pretrained=str(path), device="cpu"))


def test_a_configuration_that_asks_for_code_is_refused_by_name(
    make_model: Callable[..., ModelSpec],
) -> None:
    spec = make_model("clip")
    path = Path(spec.architecture.removeprefix("local-dir:")) / "open_clip_config.json"
    document = json.loads(path.read_text())
    tokenizer = {"hf_tokenizer_name": "some/where", "tokenizer_kwargs": {"trust_remote_code": True}}
    document["model_cfg"]["text_cfg"] |= tokenizer
    path.write_text(json.dumps(document))
    with pytest.raises(
        ModelError, match=r"asks to run code that comes with it \(trust_remote_code\)"
    ) as caught:
        load_target(spec)
    assert str(path.parent) in str(caught.value)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("layers", [10**7, [1, 1, 1, 10**7]])
def test_a_configuration_of_layers_without_end_is_refused(
    make_model: Callable[..., ModelSpec], layers: object
) -> None:
    spec = make_model("clip")
    path = Path(spec.architecture.removeprefix("local-dir:")) / "open_clip_config.json"
    document = json.loads(path.read_text())
    document["model_cfg"]["vision_cfg"]["layers"] = layers
    path.write_text(json.dumps(document))
    with pytest.raises(ModelError, match=r"asks for 10,000,00\d layers, of which at most 1,000 are made"):
        load_target(spec)


@pytest.mark.filterwarnings("ignore")  # of a format that torch gives up
@pytest.mark.parametrize("name", ["script.pt", "array.npy"])
def test_other_formats_that_carry_code_are_refused_too(registered: str, tmp_path: Path, name: str) -> None:
    marker, path = tmp_path / "was-here", tmp_path / name
    if name == "script.pt":
        torch.jit.script(torch.nn.Identity()).save(path)
    else:
        np.save(path, np.array([Payload(marker)], dtype=object), allow_pickle=True)
    with pytest.raises(ModelError, match=r"may carry code .*save it as \.safetensors") as caught:
        load_target(ModelSpec(architecture=registered, pretrained=str(path), device="cpu"))
    assert str(path) in str(caught.value)
    assert not marker.exists()


@pytest.mark.parametrize("scale", [math.nan, math.inf, 1000.0])
def test_a_logit_scale_with_which_no_score_is_a_number_is_refused(
    make_model: Callable[..., ModelSpec], scale: float
) -> None:
    spec = make_model("clip")
    path = Path(spec.architecture.removeprefix("local-dir:")) / "open_clip_model.safetensors"
    save_file(weights_of(spec) | {"logit_scale": torch.tensor(scale)}, path)
    with pytest.raises(ModelError, match=r"its logit_scale is .*, with which no score is a number"):
        load_target(spec)


def test_a_plain_pickle_is_refused_too(registered: str, tmp_path: Path) -> None:
    marker = tmp_path / "was-here"
    path = tmp_path / "model.pt"
    path.write_bytes(pickle.dumps(Payload(marker)))
    with pytest.raises(ModelError, match=r"model\.pt"):
        load_target(ModelSpec(architecture=registered, pretrained=str(path), device="cpu"))
    assert not marker.exists()


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("damage", ["truncated", "empty", "noise"])
def test_a_damaged_checkpoint_is_named(
    suffix: str, damage: str, registered: str, clip_spec: ModelSpec, tmp_path: Path
) -> None:
    path = tmp_path / f"model{suffix}"
    if suffix == ".pt":
        torch.save(weights_of(clip_spec), path)
    else:
        folder = Path(clip_spec.architecture.removeprefix("local-dir:"))
        path.write_bytes((folder / "open_clip_model.safetensors").read_bytes())
    content = path.read_bytes()
    path.write_bytes(
        {"truncated": content[: len(content) // 2], "empty": b"", "noise": b"\x07" * 999}[damage]
    )
    with pytest.raises(ModelError) as caught:
        load_target(ModelSpec(architecture=registered, pretrained=str(path), device="cpu"))
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 800


def test_weights_of_another_architecture_are_refused(
    registered: str, make_model: Callable[..., ModelSpec], tmp_path: Path
) -> None:
    path = tmp_path / "model.pt"
    torch.save(weights_of(make_model("clip", embed_dim=24)), path)
    with pytest.raises(ModelError, match="are not of this architecture"):
        load_target(ModelSpec(architecture=registered, pretrained=str(path), device="cpu"))


def test_an_unknown_architecture_gets_suggestions() -> None:
    with pytest.raises(ModelError, match=r"knows no 'ViT-B-23'; did you mean .*ViT-B-32"):
        load_target(ModelSpec(architecture="ViT-B-23", pretrained="openai", device="cpu"))


def test_an_unknown_tag_gets_the_tags_there_are() -> None:
    with pytest.raises(ModelError, match=r"ViT-B-32 has no tag 'opanai'; .*laion2b_s34b_b79k"):
        load_target(ModelSpec(architecture="ViT-B-32", pretrained="opanai", device="cpu"))


def test_an_architecture_alone_needs_weights() -> None:
    with pytest.raises(ModelError, match=r"ViT-B-32 needs weights; .*openai"):
        load_target(ModelSpec(architecture="ViT-B-32", device="cpu"))


@pytest.mark.skipif(torch.cuda.device_count() > 7, reason="there is a cuda:7")
def test_a_device_that_is_not_there_is_named(clip_spec: ModelSpec) -> None:
    with pytest.raises(ModelError, match=r"model\.device: there is no cuda:7 here .* use auto or cpu"):
        load_target(clip_spec.model_copy(update={"device": "cuda:7"}))


def test_a_hub_that_cannot_be_reached_is_an_error_in_words() -> None:
    with pytest.raises(ModelError, match="hf-hub:nobody/nothing: can't be loaded"):
        load_target(ModelSpec(architecture="hf-hub:nobody/nothing", device="cpu"))


def test_a_cache_without_space_for_the_weights_is_named_with_what_to_do(
    clip_spec: ModelSpec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(open_clip, "create_model_from_pretrained", full)
    monkeypatch.setattr(model, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(ModelError) as error:
        load_target(clip_spec)
    assert f"{tmp_path / 'hub'}: there is no space left: " in str(error.value)
    assert str(error.value).endswith("make space for its files, or let HF_HOME name a folder elsewhere")


def test_a_broken_configuration_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "open_clip_config.json").write_text("{")
    with pytest.raises(ModelError, match="can't be loaded"):
        load_target(ModelSpec(architecture=f"local-dir:{tmp_path}", device="cpu"))


@pytest.mark.parametrize("number_format", ["fast", "bf16"])
def test_fast_gives_nearly_the_same_embeddings(
    number_format: str,
    clip_spec: ModelSpec,
    clip: TargetModel,
    make_pairs: Callable[..., list[Pair]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if number_format == "bf16":  # also on a CPU where it would be the slower one
        monkeypatch.setattr("tui_mia.encoder.model.seconds_of", lambda *ways: [2.0, 1.0])
    fast = load_target(clip_spec.model_copy(update={"precision": "fast"}))
    assert fast.number_format in ("fp32", "bf16")
    assert number_format == "fast" or fast.number_format == "bf16"
    for ours, exact in zip(embedded(fast, make_pairs(5)), embedded(clip, make_pairs(5)), strict=True):
        assert ours.dtype == exact.dtype
        assert ((ours * exact).sum(axis=1) > 0.995).all()


@pytest.mark.parametrize(("family", "number_format"), [("clip", "bf16"), ("siglip", "fp32")])
def test_what_open_clip_can_not_make_smaller_stays_fp32(
    family: str, number_format: str, make_model: Callable[..., ModelSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "choose_number_format", lambda precision, device: "bf16")
    spec = make_model(family)
    fast = load_target(spec.model_copy(update={"precision": "fast"}))
    assert fast.number_format == number_format
    caption = ["a caption"]
    torch.testing.assert_close(
        fast.encode_texts(caption), load_target(spec).encode_texts(caption), atol=0.02, rtol=0
    )


def test_the_fingerprint_is_the_same_at_every_load(clip_spec: ModelSpec, clip: TargetModel) -> None:
    assert load_target(clip_spec).fingerprint == clip.fingerprint


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        ({"seed": 1}, {"weights"}),
        ({"quick_gelu": True}, {"structure"}),
        # open_clip notes the mean in the tower as well.
        ({"preprocess": {"mean": [0.4, 0.5, 0.5]}}, {"preprocess", "structure"}),
        ({"preprocess": {"resize_mode": "squash"}}, {"preprocess"}),
        (
            {
                "text_cfg": {
                    "context_length": 24,
                    "vocab_size": 49408,
                    "width": 32,
                    "heads": 2,
                    "layers": 1,
                }
            },
            {"weights", "structure", "tokenizer"},
        ),
    ],
)
def test_the_fingerprint_tells_what_changed(
    change: dict[str, Any], changed: set[str], clip: TargetModel, make_model: Callable[..., ModelSpec]
) -> None:
    other = dataclasses.asdict(load_target(make_model("clip", **change)).fingerprint)
    before = dataclasses.asdict(clip.fingerprint)
    assert {name for name in before if before[name] != other[name]} == changed


def test_one_weight_changes_the_fingerprint(clip_spec: ModelSpec, clip: TargetModel) -> None:
    model = load_target(clip_spec)
    with torch.no_grad():
        next(model.network.parameters()).view(-1)[0] += 1e-3
    from tui_mia.encoder.fingerprint import take_fingerprint

    assert take_fingerprint(model.network, {}, model.tokenizer).weights != clip.fingerprint.weights


def test_the_cpu_is_one_device_to_every_process_of_its_node(
    clip: TargetModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert device_identity(clip.device) == cpu_identity() == f"cpu-{platform.node()}"
    names = set()
    for node in ("node1", "node2", "../node/3"):
        monkeypatch.setattr(platform, "node", lambda node=node: node)
        names.add(device_identity(clip.device))
    assert names == {"cpu-node1", "cpu-node2", "cpu-.._node_3"}


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (ModelSpec(architecture="ViT-B-23", device="cpu"), "reference.architecture: open_clip knows no"),
        (ModelSpec(architecture="ViT-B-32", device="cpu"), "reference.pretrained: ViT-B-32 needs weights"),
        (ModelSpec(architecture="local-dir:/nowhere", device="cpu"), "[reference] local-dir:/nowhere: can't"),
    ],
)
def test_what_is_wrong_with_a_reference_is_said_of_the_reference(spec: ModelSpec, words: str) -> None:
    with pytest.raises(ModelError, match=f"^{re.escape(words)}"):
        load_target(spec, "reference")
