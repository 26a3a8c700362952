"""What is faster gives the same embeddings, and what can't be made faster is left as it is."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import open_clip
import pytest
import torch
from open_clip.transformer import ResidualAttentionBlock
from torch import Tensor, nn
from torch.nn import functional

from tests.encoder.conftest import IMAGE, TEXT
from tui_mia.encoder import fast_paths, load_target
from tui_mia.encoder.fast_paths import LastBlock, PackedLinear, encode_texts, packing_pays, speed_up
from tui_mia.spec import ModelSpec

MakeModel = Callable[..., ModelSpec]
CAPTIONS = ["", "cat", "a dog on a wooden chair", "two birds", "word " * 40, "a red car, parked", "cat"]


def network_of(spec: ModelSpec, precision: str = "fp32") -> Any:
    network = open_clip.create_model_from_pretrained(
        spec.architecture, precision=precision, return_transform=False, weights_only=True
    )
    network.eval()
    return network


def apart(first: Tensor, second: Tensor) -> float:
    """How far from 1 the lowest cosine of [n, D] and [n, D] is."""
    return float((1 - functional.cosine_similarity(first.double(), second.double())).abs().max())


def last_blocks(network: nn.Module) -> int:
    """How many towers end with a block for one token."""
    return sum(isinstance(module, LastBlock) for module in network.modules())


@pytest.fixture
def packing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packs whether it pays on this CPU or not."""
    monkeypatch.setattr(fast_paths, "packing_pays", lambda dtype: True)


@pytest.fixture
def no_packing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_paths, "packing_pays", lambda dtype: False)


@pytest.mark.parametrize(
    "text",
    [
        {},
        {"custom_text": True},
        {"custom_text": True, "text_cfg": TEXT | {"pool_type": "eos", "eos_id": 49407}},
    ],
    ids=["clip", "custom text", "end by its id"],
)
@torch.inference_mode()
def test_captions_end_where_they_end_and_mean_the_same(make_model: MakeModel, text: dict[str, Any]) -> None:
    spec = make_model(**text)
    network = network_of(spec)
    tokens = open_clip.get_tokenizer(spec.architecture)(CAPTIONS)
    whole = network.encode_text(tokens)
    transformer = network.transformer if "custom_text" not in text else network.text.transformer
    lengths: list[int] = []
    transformer.resblocks[0].register_forward_pre_hook(
        lambda module, inputs: lengths.append(inputs[0].shape[1])
    )
    assert apart(encode_texts(network, tokens), whole) < 1e-6
    assert sorted(lengths) == [8, 16]
    assert apart(encode_texts(network, tokens[:1]), whole[:1]) < 1e-6
    assert lengths[-1] == 2


@pytest.mark.parametrize("family", ["siglip", "coca"])
@torch.inference_mode()
def test_a_tower_that_sees_what_comes_later_gets_the_whole_context(
    make_model: MakeModel, family: str
) -> None:
    spec = make_model(family)
    network = network_of(spec)
    tokens = open_clip.get_tokenizer(spec.architecture)(CAPTIONS)
    assert torch.equal(encode_texts(network, tokens), network.encode_text(tokens))


@pytest.mark.parametrize("family", ["clip", "siglip", "coca", "resnet"])
@pytest.mark.usefixtures("packing")
@torch.inference_mode()
def test_packed_layers_give_the_same_embeddings(make_model: MakeModel, family: str) -> None:
    spec = make_model(family)
    plain = network_of(spec)
    packed = deepcopy(plain)
    assert speed_up(packed)
    assert any(isinstance(module, PackedLinear) for module in packed.modules())
    images = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    tokens = open_clip.get_tokenizer(spec.architecture)(CAPTIONS)
    assert apart(packed.encode_image(images), plain.encode_image(images)) < 1e-6
    assert apart(encode_texts(packed, tokens), plain.encode_text(tokens)) < 1e-6


@pytest.mark.parametrize("quick_gelu", [False, True])
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-6), ("bf16", 1e-3)])
@pytest.mark.usefixtures("packing")
@torch.inference_mode()
def test_packed_layers_know_both_activations_and_formats(
    make_model: MakeModel, quick_gelu: bool, precision: str, tolerance: float
) -> None:
    plain = network_of(make_model(quick_gelu=quick_gelu), precision)
    packed = deepcopy(plain)
    assert speed_up(packed)
    dtype = torch.float32 if precision == "fp32" else torch.bfloat16
    images = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(1)).to(dtype)
    assert apart(packed.encode_image(images), plain.encode_image(images)) < tolerance


TWO_LAYERS = {"layers": 2, "ls_init_value": 0.5}


@pytest.mark.parametrize(
    ("family", "config", "towers"),
    [
        ("clip", {"vision_cfg": IMAGE | TWO_LAYERS, "text_cfg": TEXT | TWO_LAYERS}, 2),
        ("clip", {"custom_text": True}, 2),
        ("clip", {"vision_cfg": IMAGE | {"pool_type": "avg"}}, 1),
        ("siglip", {}, 0),
        ("coca", {}, 0),
        ("resnet", {}, 1),
    ],
    ids=["clip", "custom text", "mean of tokens", "siglip", "coca", "resnet"],
)
@pytest.mark.usefixtures("no_packing")
@torch.inference_mode()
def test_the_last_block_runs_for_the_one_token_that_is_looked_at(
    make_model: MakeModel, family: str, config: dict[str, Any], towers: int
) -> None:
    spec = make_model(family, **config)
    plain = network_of(spec)
    fast = deepcopy(plain)
    speed_up(fast)
    assert last_blocks(fast) == towers
    images = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    tokens = open_clip.get_tokenizer(spec.architecture)(CAPTIONS)
    assert apart(fast.encode_image(images), plain.encode_image(images)) < 1e-6
    assert apart(encode_texts(fast, tokens), plain.encode_text(tokens)) < 1e-6


@pytest.mark.usefixtures("no_packing")
@torch.inference_mode()
def test_a_block_that_open_clip_has_changed_is_left_as_it_is(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def twice(block: ResidualAttentionBlock, inputs: Tensor, **rest: Any) -> Tensor:
        doubled: Tensor = 2 * forward(block, inputs, **rest)
        return doubled

    forward = ResidualAttentionBlock.forward
    monkeypatch.setattr(ResidualAttentionBlock, "forward", twice)
    network = network_of(make_model())
    speed_up(network)
    assert last_blocks(network) == 0


@torch.inference_mode()
def test_a_causal_tower_that_is_not_told_where_captions_end_is_an_error(make_model: MakeModel) -> None:
    network = network_of(make_model())
    speed_up(network)
    with pytest.raises(ValueError, match="where captions end"):
        network.encode_text(open_clip.get_tokenizer("ViT-B-32")(CAPTIONS)[:, :16])


@pytest.mark.usefixtures("packing")
def test_a_packed_model_keeps_its_fingerprint(make_model: MakeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = load_target(make_model())
    assert any(isinstance(module, PackedLinear) for module in packed.network.modules())
    monkeypatch.setattr(fast_paths, "packing_pays", lambda dtype: False)
    plain = load_target(make_model())
    assert not any(isinstance(module, PackedLinear) for module in plain.network.modules())
    assert packed.fingerprint == plain.fingerprint


@pytest.mark.parametrize("error", [RuntimeError, AttributeError, NotImplementedError])
def test_a_torch_without_the_operators_is_no_error(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def missing(*_: object) -> None:
        raise error("no such operator")

    monkeypatch.setattr(PackedLinear, "__init__", missing)
    assert not packing_pays(torch.float32)
    network = network_of(make_model())
    assert not speed_up(network)
    assert not any(isinstance(module, PackedLinear) for module in network.modules())


@torch.inference_mode()
def test_a_product_that_is_wrong_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PackedLinear, "forward", lambda self, inputs: inputs.new_zeros(len(inputs), 3072))
    assert not packing_pays(torch.float32)


@pytest.mark.parametrize(("speed", "pays"), [(0.5, True), (1.1, True), (1.3, False)])
def test_only_a_clear_loss_is_refused(monkeypatch: pytest.MonkeyPatch, speed: float, pays: bool) -> None:
    monkeypatch.setattr(fast_paths, "seconds_of", lambda *ways: [1.0, speed])
    assert packing_pays(torch.float32) is pays
