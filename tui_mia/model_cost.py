"""What a model costs: parameters, operations and memory, and how fast this machine's CPU is with it.

`python -P -m tui_mia.model_cost BATCH_SIZE SECONDS DEVICE AFTER GPU < spec.toml`, started
by `tui-mia check`: torch and open_clip load here and not there. AFTER is 1 if what
follows the encoding is to be timed, GPU the name of the one that the audit will
have, or nothing. The last line that it prints is one JSON object.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import tempfile
import time
import tomllib
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tui_mia.after_cost import time_after
from tui_mia.costs import AfterCost, ModelCost
from tui_mia.encoder.appearance import FORM_NAMES, STATISTICS_NAMES
from tui_mia.encoder.batch_size import found_before
from tui_mia.encoder.checkpoints import is_fetched
from tui_mia.encoder.encode import encode_shard
from tui_mia.encoder.encoding import BATCH_SIZE, encoding_of
from tui_mia.encoder.fast_paths import speed_up
from tui_mia.encoder.fingerprint import Fingerprint
from tui_mia.encoder.images import Picture, decoded_batches
from tui_mia.encoder.model import ModelError, ModelTable, TargetModel, check_names, load_target
from tui_mia.encoder.operations import empty_images, image_side, operations_of, without_contents
from tui_mia.encoder.preprocess import in_bytes
from tui_mia.encoder.reuse import Reuse
from tui_mia.encoder.reuse_index import INDEXES, read_indexes
from tui_mia.network import is_on_a_hub, keep_off_the_network
from tui_mia.pools import Pair, PoolError, PoolName, Reject, plan_shards
from tui_mia.pools.preview import preview
from tui_mia.runs.directory import runs_folder
from tui_mia.spec import AuditSpec, ModelSpec, PoolSpec, checkpoint_path, has_own_weights
from tui_mia.storage import StorageError, Url

PAIRS_TIMED = 128
WARM_UP_PAIRS = 2
FIRST_LOOK_SECONDS = 0.5
# With more views these are timed, and the others taken to cost the same.
VIEWS_TIMED = 2


def main(arguments: list[str]) -> None:
    # Of this process alone, in CPU time: the files are being read beside it.
    start_seconds = time.process_time()
    batch_size, seconds, device = int(arguments[0]), float(arguments[1]), arguments[2]
    after, gpu = arguments[3] == "1", arguments[4]
    logging.disable(logging.WARNING)  # open_clip warns of weights that are not wanted here
    spec = AuditSpec.model_validate(tomllib.loads(sys.stdin.read()))
    keep_off_the_network(spec)
    named: dict[ModelTable, ModelSpec | None] = {"model": spec.model, "reference": spec.reference_model}
    costs: dict[str, ModelCost] = {}
    models: dict[str, TargetModel] = {}
    load_seconds = 0.0
    for table, model_spec in named.items():
        if model_spec is None:
            continue
        try:
            on_cpu = model_spec.model_copy(update={"device": "cpu"})
            start = time.perf_counter()
            model = _model(on_cpu if device == "cpu" else _exact(on_cpu), table)
            load_seconds += time.perf_counter() - start
            described = _described(model, loaded=not _is_elsewhere(model_spec))
            costs[table] = _counted(described, model, batch_size)
            models[table] = model
        except ModelError as error:
            costs[table] = ModelCost(problem=str(error))
        except StorageError as error:
            costs[table] = ModelCost(problem=f"{table}.pretrained: {error}")
        except Exception as error:  # hubs, configurations and architectures raise all sorts of things
            costs[table] = ModelCost(unknown=f"{type(error).__name__}: {str(error).strip()[:300]}")
    measured: dict[str, Any] = {}
    if len(models) == len(costs):
        here = all(cost.loaded for cost in costs.values())
        encoded = _entries_encoded(spec, models, batch_size, device, gpu) if here else 0
        if device == "cpu":
            start = time.perf_counter()
            for model in models.values():
                speed_up(model.network)
            load_seconds += time.perf_counter() - start
        measured = {"load_seconds": load_seconds, "entries_encoded": encoded}
        measured |= _speed(
            spec, models, batch_size, seconds, device, costs["model"].dimension if after else None
        )
    print(
        json.dumps(
            {
                "start_seconds": start_seconds,
                "models": {name: asdict(cost) for name, cost in costs.items()},
                "cuda_in_torch": torch.version.cuda is not None,
                "appearance_numbers": len(FORM_NAMES) + len(STATISTICS_NAMES),
                **measured,
            }
        )
    )


def _exact(spec: ModelSpec) -> ModelSpec:
    return spec.model_copy(update={"precision": "exact"})


def _model(spec: ModelSpec, table: ModelTable) -> TargetModel:
    """The model with its weights where they are in a file; else of the same shape, with weights of chance."""
    if not _is_elsewhere(spec):
        return load_target(spec, table, as_it_is=True)
    if ":" not in spec.architecture:
        check_names(spec, table)
    network, tokenizer = _untrained(spec.architecture)
    configuration: dict[str, Any] = network.visual.preprocess_cfg
    return TargetModel(
        network=network.eval(),
        preprocess=in_bytes(image_transform_v2(PreprocessCfg(**configuration), is_train=False), fast=False),
        tokenizer=tokenizer,
        mean=torch.tensor(configuration["mean"]).view(3, 1, 1),
        std=torch.tensor(configuration["std"]).view(3, 1, 1),
        logit_scale=1.0,
        device=torch.device("cpu"),
        number_format="fp32",
        fingerprint=Fingerprint("", "", "", ""),
    )


def _is_elsewhere(spec: ModelSpec) -> bool:
    """Whether a run would have to fetch the weights first.

    Raises:
        StorageError: for a checkpoint by URL that can't be looked at.
    """
    checkpoint = None if has_own_weights(spec.architecture) else checkpoint_path(spec.pretrained)
    if isinstance(checkpoint, Url):
        return not is_fetched(checkpoint, checkpoint.look())
    return is_on_a_hub(spec)


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
    return ModelCost(
        loaded=loaded,
        parameters=sum(parameter.numel() for parameter in model.network.parameters()),
        image_size=image_side(model.network),
        context_length=int(model.network.context_length),  # type: ignore[arg-type]
    )


def _entries_encoded(
    spec: AuditSpec, models: dict[str, TargetModel], batch_size: int, device: str, gpu: str
) -> int:
    """How many entries the audit will take over from earlier runs of its database."""
    runs = runs_folder(Path(spec.output.database).resolve())
    folders = sorted({path.parent for path in runs.glob(f"*/parts/{INDEXES}")})
    if not folders:
        return 0
    target, reference = models["model"], models.get("reference")
    target = replace(target, number_format=_number_format(target, spec.model, device))
    if reference is not None and spec.reference_model is not None:
        number_format = _number_format(reference, spec.reference_model, device)
        reference = replace(reference, number_format=number_format)
    encoding = encoding_of(spec, target, reference, batch_size) | {"device": gpu or "cpu"}
    before = found_before(encoding, [run.encoding for folder in folders for run in read_indexes(folder)])
    if device != "cpu" and spec.run.batch_size is None and before:
        encoding[BATCH_SIZE] = before
    with contextlib.suppress(PoolError), tempfile.TemporaryDirectory() as name:
        reuse = Reuse(Path(name), folders, encoding)
        return sum(_entries_of_pool(reuse, pool, pool_spec) for pool, pool_spec in spec.pool_specs().items())
    return 0


def _entries_of_pool(reuse: Reuse, pool: PoolName, spec: PoolSpec) -> int:
    taken = 0
    for shard in plan_shards(pool, spec):
        left = None if spec.limit is None else spec.limit - taken
        if left != 0:
            taken += reuse.entries(shard, spec, left)
    return taken


def _number_format(model: TargetModel, named: ModelSpec, device: str) -> Any:
    """What the audit will calculate in; the model here is on a CPU."""
    return model.number_format if device == "cpu" else "fp16" if named.precision == "fast" else "fp32"


def _speed(
    spec: AuditSpec,
    models: dict[str, TargetModel],
    batch_size: int,
    seconds: float,
    device: str,
    after: int | None,
) -> dict[str, Any]:
    """Seconds a pair of what this machine's CPU will do: all of the encoding, or decoding for a GPU.

    And of what follows it, with embeddings of `after` numbers, unless that is None.
    """
    try:
        pairs = preview("candidates", spec.pools.candidates, PAIRS_TIMED).pairs
    except PoolError:
        return {}
    if not pairs:
        return {}
    found: dict[str, Any] = {}
    if seconds and device == "cpu":
        a_pair, timed = _encode_seconds(spec, models, pairs, batch_size, seconds)
        found |= {"encode_seconds_a_pair": a_pair, "pairs_timed": timed}
    if (seconds and device != "cpu") or after is not None:
        preprocesses = [model.preprocess for model in models.values()]
        began = time.perf_counter()
        seen = [item for batch in decoded_batches(pairs, 8, *preprocesses) for item in batch]
        if device != "cpu":
            a_pair = (time.perf_counter() - began) / len(pairs)
            found |= {"decode_seconds_a_pair": a_pair, "pairs_timed": len(pairs)}
        if after is not None:
            found["after"] = asdict(_after(spec, after, seen))
    return found


def _after(spec: AuditSpec, dimension: int, seen: Iterable[tuple[Pair, Picture] | Reject]) -> AfterCost:
    return time_after(spec, dimension, [item for item in seen if not isinstance(item, Reject)])


def _encode_seconds(
    spec: AuditSpec,
    models: dict[str, TargetModel],
    pairs: tuple[Pair, ...],
    batch_size: int,
    seconds: float,
) -> tuple[float, int]:
    """Seconds that a pair takes with all views and models, and how many pairs that was timed with.

    In batches of the audit's size as far as there is time for them: a small one
    takes longer a pair. Where a batch with all views would take too long, the time
    without a view and with two of them gives that of the others.
    """
    target, reference = models["model"], models.get("reference")

    def encode(items: Iterable[Pair], views: int, size: int) -> float:
        began = time.perf_counter()
        encode_shard(items, target, views, 0, size, reference=reference)
        return time.perf_counter() - began

    def plain(size: int) -> float:
        return encode(pairs[:size], 0, size) / len(pairs[:size])

    encode(pairs[:WARM_UP_PAIRS], min(spec.views, 1), WARM_UP_PAIRS)
    a_pair = plain(WARM_UP_PAIRS)
    # Two pairs are mostly overhead where the model is small.
    a_pair = plain(max(WARM_UP_PAIRS, min(batch_size, int(FIRST_LOOK_SECONDS / a_pair))))
    if a_pair * (1 + spec.views) * min(batch_size, len(pairs)) <= seconds:
        return _timed(pairs, seconds, lambda items: encode(items, spec.views, batch_size))
    timed = min(spec.views, VIEWS_TIMED)
    size = min(batch_size, len(pairs), max(1, int(seconds / a_pair / (3 + timed if timed else 2))))
    without = plain(size)
    with_views = encode(pairs[:size], timed, size) / size if timed else 0.0
    # Of two times the lower one: what else runs here only adds, and the others are told from the difference.
    without = min(without, plain(size))
    a_view = max(with_views - without, 0.0) / timed if timed else 0.0
    return without + spec.views * a_view, size


def _timed(
    pairs: tuple[Pair, ...], seconds: float, work: Callable[[Iterable[Pair]], object]
) -> tuple[float, int]:
    """Seconds a pair of work on the pairs, in turn, for about this long, and how many they were."""
    given = 0
    began = time.perf_counter()

    def until_late() -> Iterator[Pair]:
        nonlocal given
        while time.perf_counter() - began < seconds and given < len(pairs):
            given += 1
            yield pairs[given - 1]

    work(until_late())
    return (time.perf_counter() - began) / given, given


def _counted(cost: ModelCost, model: TargetModel, batch_size: int) -> ModelCost:
    """The operations and memory of a forward pass; on tensors without contents, so that it takes no time."""
    try:
        network = without_contents(model.network)
        operations = model.operations or operations_of(network)
        batch = empty_images(network, batch_size)
        with torch.no_grad(), _PeakMemory(network) as memory:
            network.encode_image(batch)  # type: ignore[operator]
    except Exception as error:  # an operation that has no form without contents
        return replace(cost, unknown=f"{type(error).__name__}: {str(error).strip()[:300]}")
    return replace(
        cost,
        image_flops=operations.image,
        caption_flops=operations.caption,
        dimension=operations.dimension,
        activation_bytes=memory.peak_bytes + batch.untyped_storage().nbytes(),
    )


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
