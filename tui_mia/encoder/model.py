"""The target model: any open_clip model with its own preprocess and tokenizer."""

from __future__ import annotations

import math
import pickle
import platform
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, TypeAlias

import open_clip
import torch
from huggingface_hub.constants import HF_HUB_CACHE
from torch import Tensor, nn
from torch.nn import functional

from tui_mia.encoder.checkpoints import checkpoints_folder, fetched_checkpoint
from tui_mia.encoder.fast_paths import encode_texts, seconds_of, speed_up
from tui_mia.encoder.fingerprint import Fingerprint, take_fingerprint
from tui_mia.encoder.operations import Operations, count_operations
from tui_mia.encoder.preprocess import NotBytesError, Preprocess, in_bytes
from tui_mia.network import NetworkRefusedError, is_on_a_hub
from tui_mia.private import as_the_user_has_it
from tui_mia.runs.space import full_message, is_full
from tui_mia.spec import ModelSpec, checkpoint_path, has_own_weights
from tui_mia.storage import StorageError, Url

NumberFormat: TypeAlias = Literal["fp32", "fp16", "bf16"]
# The table of a spec that names a model.
ModelTable: TypeAlias = Literal["model", "reference"]
MOST_LAYERS = 1000
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class ModelError(Exception):
    """The target model can't be loaded; the message says which and what to do."""


@dataclass(frozen=True)
class TargetModel:
    """A model under audit, or the reference beside it, ready to encode.

    `preprocess` leaves images as [3, H, W] uint8. `mean` and `std` are [3, 1, 1] on
    the device, what they are normalised by. `logit_scale` multiplies cosines (already
    exponentiated). `operations` is None where they could not be counted.
    """

    network: nn.Module
    preprocess: Preprocess
    tokenizer: Callable[[Sequence[str]], Tensor]
    mean: Tensor
    std: Tensor
    logit_scale: float
    device: torch.device
    number_format: NumberFormat
    fingerprint: Fingerprint
    operations: Operations | None = None

    @property
    def dtype(self) -> torch.dtype:
        return DTYPES[self.number_format]

    def to_device(self, images: Sequence[Tensor]) -> Tensor:
        """n preprocessed images to [n, 3, H, W] float32 in 0 to 1, on the device."""
        pixels = torch.stack(list(images))
        if self.device.type == "cuda":
            pixels = pixels.pin_memory()
        return pixels.to(self.device, non_blocking=True).float() / 255

    @torch.inference_mode()
    def encode_images(self, images: Tensor) -> Tensor:
        """[n, 3, H, W] float32 in 0 to 1, on the device, to [n, D] float32 of unit length, there too."""
        inputs = ((images - self.mean) / self.std).to(self.dtype)
        embedded: Tensor = self.network.encode_image(inputs)  # type: ignore[operator]
        return functional.normalize(embedded.float(), dim=-1)

    @torch.inference_mode()
    def encode_texts(self, captions: Sequence[str]) -> Tensor:
        """n captions to [n, D] float32 embeddings of unit length, on the device."""
        return self.encode_tokens(self.tokenizer(captions))

    @torch.inference_mode()
    def encode_tokens(self, tokens: Tensor) -> Tensor:
        """[n, L] tokens of n captions, on any device, to what `encode_texts` gives."""
        encoded = encode_texts(self.network, tokens.to(self.device))
        return functional.normalize(encoded.float(), dim=-1)


def load_target(spec: ModelSpec, table: ModelTable = "model", *, as_it_is: bool = False) -> TargetModel:
    """Load the model that a spec names in a table, weights-only.

    It is made faster (`fast_paths`), unless it is wanted `as_it_is`.

    Raises:
        ModelError: for an unknown architecture or tag, weights that can't be
            had, don't fit the architecture or carry code, and a missing device.
    """
    device = _device(spec.device)
    number_format = choose_number_format(spec.precision, device)
    with as_the_user_has_it():  # the hub's cache may be one for many users
        network, preprocess, tokenizer, number_format = _load(spec, table, device, number_format)
    if number_format == "fp32":
        torch.backends.cudnn.allow_tf32 = False
    network.eval()
    config: dict[str, Any] = network.visual.preprocess_cfg
    fingerprint = take_fingerprint(network, config, tokenizer)
    # What is packed has no form without contents, and what is left out is no longer there to count.
    operations = count_operations(network)
    logit_scale = network.logit_scale.exp().item()
    if not math.isfinite(logit_scale):
        raise ModelError(
            f"{_named(spec, table)}: its logit_scale is {network.logit_scale.item()}, with which no score is "
            f"a number; the weights are damaged or of a training that went wrong"
        )
    if not as_it_is:
        speed_up(network)
    try:
        pixels = in_bytes(preprocess, fast=spec.precision == "fast")
    except NotBytesError as error:
        raise ModelError(f"{table}.architecture: {error}") from error
    return TargetModel(
        network=network,
        preprocess=pixels,
        tokenizer=tokenizer,
        mean=torch.tensor(config["mean"], device=device).view(3, 1, 1),
        std=torch.tensor(config["std"], device=device).view(3, 1, 1),
        logit_scale=logit_scale,
        device=device,
        number_format=number_format,
        fingerprint=fingerprint,
        operations=operations,
    )


def _load(
    spec: ModelSpec, table: ModelTable, device: torch.device, number_format: NumberFormat
) -> tuple[Any, Any, Any, NumberFormat]:
    named = _named(spec, table)
    if not has_own_weights(spec.architecture):
        check_names(spec, table)
    pretrained = _pretrained(spec, named)

    def create() -> Any:
        return open_clip.create_model_from_pretrained(
            spec.architecture, pretrained, precision=number_format, device=device, weights_only=True
        )

    try:
        if asked := _asks_for_harm(open_clip.get_model_config(spec.architecture)):
            raise ModelError(f"{named}: its configuration asks {asked}, and it was not loaded")
        try:
            network, preprocess = create()
        except AttributeError:
            # open_clip has no way to make a text projection with a bias fp16 or bf16 (3.3).
            if number_format == "fp32":
                raise
            number_format = "fp32"
            network, preprocess = create()
        return network, preprocess, open_clip.get_tokenizer(spec.architecture), number_format
    except ModelError:
        raise
    except Exception as error:  # open_clip, hubs and file formats raise all sorts of things
        if _may_carry_code(error):
            reason = str(error).splitlines()[0][:200]
            raise ModelError(
                f"{named}: the checkpoint is not a plain file of weights and was not loaded, since it may "
                f"carry code ({reason}); save it as .safetensors"
            ) from error
        if isinstance(error, OSError) and is_full(error):
            where = full_message(Path(error.filename).parent if error.filename else Path(HF_HUB_CACHE), error)
            raise ModelError(
                f"{named}: {where}; make space for its files, or let HF_HOME name a folder elsewhere"
            ) from error
        if any(sign in str(error) for sign in ("state_dict", "size mismatch", "width changed")):
            raise ModelError(
                f"{named}: these weights are not of this architecture ({_brief(error)}); "
                f"name the architecture that they were trained with"
            ) from error
        what = f"{type(error).__name__}: {_brief(error)}"
        if not is_on_a_hub(spec) and _wants_a_hub(error):
            raise ModelError(
                f"{named}: its configuration asks for files from a hub ({what}), and an audit of a model on "
                f"this machine uses no network; fetch them once, into the hub's cache (hf download ORG/NAME, "
                f"as its open_clip_config.json names them) or into the model's folder"
            ) from error
        raise ModelError(
            f"{named}: can't be loaded ({what}); the file may be damaged, or no file of weights"
            if checkpoint_path(spec.pretrained)
            else f"{named}: can't be loaded ({what})"
        ) from error


def _pretrained(spec: ModelSpec, named: str) -> str | None:
    """What open_clip is told of the weights: a tag or a file on this machine."""
    checkpoint = checkpoint_path(spec.pretrained)
    if not isinstance(checkpoint, Url):
        return spec.pretrained
    try:
        return str(fetched_checkpoint(checkpoint))
    except StorageError as error:
        raise ModelError(f"{named}: {error.strerror}") from None
    except OSError as error:
        folder = checkpoints_folder()
        why = full_message(folder, error) if is_full(error) else f"{folder}: {error.strerror}"
        raise ModelError(
            f"{named}: it can't be kept on this machine: {why}; "
            f"make space, or let XDG_CACHE_HOME name a folder elsewhere"
        ) from error


def _named(spec: ModelSpec, table: ModelTable) -> str:
    """A model as messages name it."""
    place = "" if table == "model" else f"[{table}]"
    return " ".join(filter(None, [place, spec.architecture, spec.pretrained]))


def _asks_for_harm(configuration: object) -> str | None:
    """What a configuration, which may be anybody's, asks for and does not get: code, or no end of layers."""
    if not isinstance(configuration, Mapping | list):
        return None
    values = configuration.items() if isinstance(configuration, Mapping) else enumerate(configuration)
    for key, value in values:
        if key == "trust_remote_code" and value:
            return "to run code that comes with it (trust_remote_code)"
        layers = [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, int)]
        if key == "layers" and sum(layers) > MOST_LAYERS:
            return f"for {sum(layers):,} layers, of which at most {MOST_LAYERS:,} are made"
        if asked := _asks_for_harm(value):
            return asked
    return None


def _may_carry_code(error: Exception) -> bool:
    """Whether a loader that takes nothing but weights has refused something else: pickles, TorchScript."""
    signs = ("TorchScript archive", "allow_pickle")
    return isinstance(error, pickle.UnpicklingError) or any(sign in str(error) for sign in signs)


def _wants_a_hub(error: BaseException | None) -> bool:
    """Whether an error, or one that led to it, is the hub's, or that of a network that was refused."""
    while error is not None:
        if isinstance(error, NetworkRefusedError) or type(error).__module__.startswith("huggingface_hub"):
            return True
        error = error.__cause__ or error.__context__
    return False


def check_names(spec: ModelSpec, table: ModelTable) -> None:
    """Open_clip's own errors list every model there is; ours name the close ones."""
    known = open_clip.list_models()
    if spec.architecture not in known:
        close = get_close_matches(spec.architecture, known, n=3, cutoff=0.5)
        raise ModelError(
            f"{table}.architecture: open_clip knows no {spec.architecture!r}"
            + (f"; did you mean {' or '.join(close)}?" if close else "")
        )
    if checkpoint_path(spec.pretrained):
        return
    tags = open_clip.list_pretrained_tags_by_model(spec.architecture)
    if spec.pretrained not in tags:
        wrong = f"has no tag {spec.pretrained!r}" if spec.pretrained else "needs weights"
        raise ModelError(
            f"{table}.pretrained: {spec.architecture} {wrong}; "
            f"give a checkpoint file or one of: {', '.join(tags) or 'no tags'}"
        )


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device("cuda:0" if name == "cuda" else name)
    if device.type == "cuda" and device.index >= torch.cuda.device_count():
        raise ModelError(
            f"model.device: there is no {name} here ({torch.cuda.device_count()} CUDA devices are visible); "
            f"use auto or cpu"
        )
    return device


def device_identity(device: torch.device) -> str:
    """A name for a device that is the same in every process, whichever GPU is its `cuda:0`."""
    if device.type == "cpu":
        return cpu_identity()
    return f"gpu-{torch.cuda.get_device_properties(device).uuid}"


def cpu_identity() -> str:
    """The CPU of this node: the folder of the locks may be shared by several."""
    return f"cpu-{re.sub(r'[^A-Za-z0-9.-]', '_', platform.node())}"


def choose_number_format(precision: str, device: torch.device) -> NumberFormat:
    """What `exact` and `fast` are on this device."""
    if precision == "exact":
        return "fp32"
    if device.type == "cuda":
        return "fp16"
    # On a CPU without bf16 units bf16 is the slower one, and no flag tells reliably.
    of_fp32, of_bf16 = seconds_of(_product(torch.float32), _product(torch.bfloat16))
    return "bf16" if of_bf16 < of_fp32 else "fp32"


def _product(dtype: torch.dtype) -> Callable[[], Tensor]:
    left, right = torch.ones(512, 768, dtype=dtype), torch.ones(768, 768, dtype=dtype)
    return lambda: left @ right


def _brief(error: Exception) -> str:
    """The first lines of a message, without the list of every tensor that differs."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])[:300] or type(error).__name__
