"""What the child processes that have torch tell those that don't: the plain types between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


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


@dataclass(frozen=True)
class AfterCost:
    """Seconds of what follows the encoding, each of one piece of work; None of what was not asked for.

    `blind_seconds` is of all blind baselines on `blind_samples`. `step_seconds` is of
    a step of the classifiers of WSA, side by side, `light_step_seconds` of a single
    one; `wsa_row_seconds` is of a sample scored by one fit of them. `bank_seconds` is of
    a sample against one entry of the bank, for all folds.
    """

    blind_seconds: float | None = None
    blind_samples: int = 0
    step_seconds: float | None = None
    light_step_seconds: float | None = None
    wsa_row_seconds: float | None = None
    bank_seconds: float | None = None


@dataclass(frozen=True)
class DeviceSpeed:
    """Operations a second of a matrix product by number format, and what an audit does on this device.

    `problem` says why it was not measured, or not all of it. `packed` is whether linear layers are
    packed for oneDNN, None on a GPU; `batch_size` is None where a run finds it when it starts.
    """

    device: str
    uuid: str | None = None
    name: str | None = None
    flops: Mapping[str, float] = field(default_factory=dict)
    problem: str | None = None
    packed: bool | None = None
    exact: str | None = None
    fast: str | None = None
    batch_size: int | None = None
