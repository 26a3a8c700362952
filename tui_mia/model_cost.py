"""What a model costs: parameters, operations and memory, and how fast this machine's CPU is with it.

`python -P -m tui_mia.model_cost BATCH_SIZE SECONDS DEVICE < spec.toml`, started by
`tui-mia check`: torch and open_clip load here and not there. The last line that
it prints is one JSON object.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import time
import tomllib
import weakref
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from tui_mia.encoder.appearance import FORM_NAMES, STATISTICS_NAMES
from tui_mia.encoder.encode import encode_shard
from tui_mia.encoder.fast_paths import speed_up
from tui_mia.encoder.fingerprint import Fingerprint
from tui_mia.encoder.images import decoded_batches
from tui_mia.encoder.model import ModelError, ModelTable, TargetModel, check_names, load_target
from tui_mia.pools import Pair, PoolError
from tui_mia.pools.preview import preview
from tui_mia.spec import AuditSpec, ModelSpec, checkpoint_path

PAIRS_TIMED = 128
WARM_UP_PAIRS = 2
# A batch that takes longer would leave no time for a second one.
LARGEST_BATCH_SECONDS = 2.0


@dataclass(frozen=True)
class ModelCost:
    """What is known of one model.

    `problem` says why a run can't load it, `unknown` why it could not be counted.
    Operations are of one image in one view, and of one caption; `activation_bytes`
    is the most that is alive at once while a batch of images is encoded, in fp32.
    `loaded` says that these very weights have been loaded.
    """

    problem: str | None = None
    unknown: str | None = None
    loaded: bool = False
    parameters: int | None = None
    image_flops: int | None = None
    caption_flops: int | None = None
    activation_bytes: int | None = None
    dimension: int | None = None
    image_size: int | None = None
    context_length: int | None = None


def main(arguments: list[str]) -> None:
    batch_size, seconds, device = int(arguments[0]), float(arguments[1]), arguments[2]
    logging.disable(logging.WARNING)  # open_clip warns of weights that are not wanted here
    spec = AuditSpec.model_validate(tomllib.loads(sys.stdin.read()))
    named: dict[ModelTable, ModelSpec | None] = {"model": spec.model, "reference": spec.reference_model}
    costs: dict[str, ModelCost] = {}
    models: dict[str, TargetModel] = {}
    for table, model_spec in named.items():
        if model_spec is None:
            continue
        try:
            on_cpu = model_spec.model_copy(update={"device": "cpu"})
            model = _model(on_cpu if device == "cpu" else _exact(on_cpu), table)
            described = _described(model, loaded=_is_here(model_spec))
            costs[table] = _counted(described, model.network, batch_size)
            models[table] = model
        except ModelError as error:
            costs[table] = ModelCost(problem=str(error))
        except Exception as error:  # hubs, configurations and architectures raise all sorts of things
            costs[table] = ModelCost(unknown=f"{type(error).__name__}: {str(error).strip()[:300]}")
    speed = _speed(spec, models, batch_size, seconds, device) if len(models) == len(costs) else {}
    print(
        json.dumps(
            {
                "models": {name: asdict(cost) for name, cost in costs.items()},
                "cuda_in_torch": torch.version.cuda is not None,
                "appearance_numbers": len(FORM_NAMES) + len(STATISTICS_NAMES),
                **speed,
            }
        )
    )


def _is_here(spec: ModelSpec) -> bool:
    """Whether the weights are in a file that the spec names; a tag may have to be downloaded first."""
    return spec.architecture.startswith("local-dir:") or checkpoint_path(spec.pretrained) is not None


def _exact(spec: ModelSpec) -> ModelSpec:
    return spec.model_copy(update={"precision": "exact"})


def _model(spec: ModelSpec, table: ModelTable) -> TargetModel:
    """The model with its weights where they are in a file; else of the same shape, with weights of chance."""
    if _is_here(spec):
        return load_target(spec, table, packed=False)
    if ":" not in spec.architecture:
        check_names(spec, table)
    network, tokenizer = _untrained(spec.architecture)
    configuration: dict[str, Any] = network.visual.preprocess_cfg
    return TargetModel(
        network=network.eval(),
        preprocess=image_transform_v2(PreprocessCfg(**configuration), is_train=False),
        tokenizer=tokenizer,
        mean=torch.tensor(configuration["mean"]).view(3, 1, 1),
        std=torch.tensor(configuration["std"]).view(3, 1, 1),
        logit_scale=1.0,
        device=torch.device("cpu"),
        number_format="fp32",
        fingerprint=Fingerprint("", "", ""),
    )


def _untrained(architecture: str) -> tuple[Any, Any]:
    scheme, _, name = architecture.partition(":")
    if scheme != "hf-hub":
        network = open_clip.create_model(architecture, load_weights=False, pretrained_text=False)
        return network, open_clip.get_tokenizer(architecture)
    from huggingface_hub import hf_hub_download

    # open_clip would download the weights too.
    with tempfile.TemporaryDirectory() as folder:
        config = Path(hf_hub_download(name, "open_clip_config.json")).read_text(encoding="utf-8")
        Path(folder, "open_clip_config.json").write_text(config, encoding="utf-8")
        network = open_clip.create_model(f"local-dir:{folder}", load_weights=False, pretrained_text=False)
    return network, open_clip.get_tokenizer(architecture)


def _described(model: TargetModel, *, loaded: bool) -> ModelCost:
    size = model.network.visual.preprocess_cfg["size"]  # type: ignore[union-attr, index]
    return ModelCost(
        loaded=loaded,
        parameters=sum(parameter.numel() for parameter in model.network.parameters()),
        image_size=size if isinstance(size, int) else max(size),
        context_length=int(model.network.context_length),  # type: ignore[arg-type]
    )


def _speed(
    spec: AuditSpec, models: dict[str, TargetModel], batch_size: int, seconds: float, device: str
) -> dict[str, float | int]:
    """Seconds a pair for what this machine's CPU will do: all of the encoding, or decoding for a GPU."""
    try:
        pairs = preview("candidates", spec.pools.candidates, PAIRS_TIMED).pairs
    except PoolError:
        return {}
    if not pairs or seconds <= 0:
        return {}
    target, reference = models["model"], models.get("reference")
    if device == "cpu":
        for model in models.values():
            speed_up(model.network)
    else:
        preprocesses = [model.preprocess for model in models.values()]
        return _timed(
            "decode_seconds_a_pair",
            pairs,
            seconds,
            lambda items: [None for _ in decoded_batches(items, 8, *preprocesses)],
        )

    def encode(items: Iterable[Pair], size: int) -> None:
        encode_shard(items, target, spec.views, 0, size, reference=reference)

    encode(pairs[:WARM_UP_PAIRS], WARM_UP_PAIRS)
    began = time.perf_counter()
    encode(pairs[:WARM_UP_PAIRS], WARM_UP_PAIRS)
    a_pair = (time.perf_counter() - began) / WARM_UP_PAIRS
    size = max(1, min(batch_size, int(LARGEST_BATCH_SECONDS / a_pair)))
    return _timed("encode_seconds_a_pair", pairs, seconds, lambda items: encode(items, size))


def _timed(
    name: str, pairs: tuple[Pair, ...], seconds: float, work: Callable[[Iterable[Pair]], object]
) -> dict[str, float | int]:
    """Work on the pairs, in turn, for about this long."""
    given = 0
    began = time.perf_counter()

    def until_late() -> Iterator[Pair]:
        nonlocal given
        while time.perf_counter() - began < seconds and given < len(pairs):
            given += 1
            yield pairs[given - 1]

    work(until_late())
    return {name: (time.perf_counter() - began) / given, "pairs_timed": given}


def _counted(cost: ModelCost, network: nn.Module, batch_size: int) -> ModelCost:
    """The operations and memory of a forward pass; on tensors without contents, so that it takes no time."""
    try:
        network = _without_contents(network).float().requires_grad_(False)
        image = torch.empty(1, 3, cost.image_size or 1, cost.image_size or 1, device="meta")
        caption = torch.zeros(1, cost.context_length or 1, dtype=torch.long, device="meta")
        image_flops, dimension = _flops(network.encode_image, image)
        caption_flops, _ = _flops(network.encode_text, caption)
        batch = image.expand(batch_size, -1, -1, -1).clone()
        with torch.no_grad(), _PeakMemory(network) as memory:
            network.encode_image(batch)  # type: ignore[operator]
    except Exception as error:  # an operation that has no form without contents
        return replace(cost, unknown=f"{type(error).__name__}: {str(error).strip()[:300]}")
    return replace(
        cost,
        image_flops=image_flops,
        caption_flops=caption_flops,
        dimension=dimension,
        activation_bytes=memory.peak_bytes + batch.untyped_storage().nbytes(),
    )


def _without_contents(network: nn.Module) -> nn.Module:
    """A copy with the shapes of the weights alone; the network keeps its own."""
    empty: dict[int, Any] = {
        **{id(tensor): nn.Parameter(tensor.to("meta")) for tensor in network.parameters()},
        **{id(tensor): tensor.to("meta") for tensor in network.buffers()},
    }
    return deepcopy(network, empty)


def _flops(method: Any, inputs: Tensor) -> tuple[int, int]:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        embedding = method(inputs)
    return int(counter.get_total_flops()), int(embedding.shape[-1])


class _PeakMemory(TorchDispatchMode):
    """The most bytes that results of operations take up at once, beside the network's weights."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak_bytes = self._alive = 0
        weights = [*network.parameters(), *network.buffers()]
        # Weights that an operation turns round are no new memory.
        self._known = weakref.WeakSet(tensor.untyped_storage() for tensor in weights)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                if storage not in self._known:
                    self._known.add(storage)
                    self._alive += storage.nbytes()
                    weakref.finalize(storage, self._gone, storage.nbytes())
        self.peak_bytes = max(self.peak_bytes, self._alive)
        return result

    def _gone(self, size: int) -> None:
        self._alive -= size


if __name__ == "__main__":
    main(sys.argv[1:])
