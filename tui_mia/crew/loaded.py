"""The models of an audit, loaded on a device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch

from tui_mia.encoder import (
    BatchLimit,
    Meter,
    ModelError,
    Reuse,
    ShardEncoder,
    TargetModel,
    choose_batch_size,
    device_identity,
    encoding_of,
    load_target,
    read_indexes,
)
from tui_mia.encoder.fingerprint import Fingerprint
from tui_mia.encoder.model import NumberFormat
from tui_mia.runs.device_lock import device_lock
from tui_mia.spec import AuditSpec


@dataclass(frozen=True)
class ModelFacts:
    """What an audit has to know of a model that it does not hold itself."""

    number_format: NumberFormat
    fingerprint: Fingerprint
    logit_scale: float


@dataclass(frozen=True)
class About:
    """What an encoder says of itself; `encoding` is all that goes into its embeddings, by name."""

    device: str
    target: ModelFacts
    reference: ModelFacts | None
    encoding: Mapping[str, object]


class LoadedModels:
    """The target, and the reference if there is one, on the device that the spec names.

    Raises:
        ModelError: if one can't be loaded, or both have the same weights.
    """

    def __init__(self, spec: AuditSpec) -> None:
        self._spec = spec
        self.model = load_target(spec.model)
        self.reference: TargetModel | None = None
        if spec.reference_model is not None:
            self.reference = load_target(spec.reference_model, "reference")
            if self.reference.fingerprint.weights == self.model.fingerprint.weights:
                raise ModelError(
                    "[reference] has the very weights of [model]; "
                    "name a model that has not seen the candidates"
                )

    @property
    def about(self) -> About:
        reference = None if self.reference is None else _facts(self.reference)
        return About(str(self.model.device), _facts(self.model), reference, self._encoding(0))

    def lock(self, tell: Callable[[str], None], *, of_cpu: bool = True) -> AbstractContextManager[None]:
        """Keeps the device to this process, but for a CPU that several encoders of a run share."""
        if self.model.device.type == "cpu" and not of_cpu:
            return nullcontext()
        return device_lock(str(self.model.device), device_identity(self.model.device), tell)

    def device_memory(self) -> int | None:
        """The most bytes of its GPU that this process took."""
        device = self.model.device
        return int(torch.cuda.max_memory_allocated(device)) if device.type == "cuda" else None

    def encoder(
        self,
        parts: Path,
        earlier: Iterable[Path],
        warn: Callable[[str], None],
        writer: str = "",
        decoders: int | None = None,
    ) -> ShardEncoder:
        """The models at work for a run with its `parts`; `earlier` are those of other runs, the newest last.

        The device is measured: it should be free. `writer` tells the processes of a run apart.
        """
        earlier = list(earlier)
        before = [run.encoding for folder in (*earlier, parts) for run in read_indexes(folder)]
        batch_size = self._spec.run.batch_size or choose_batch_size(self.model, self._encoding(0), before)
        return ShardEncoder(
            spec=self._spec,
            model=self.model,
            reference=self.reference,
            batch_size=batch_size,
            folder=parts,
            reuse=Reuse(parts, earlier, self._encoding(batch_size), writer),
            limit=BatchLimit(warn),
            meter=Meter([each for each in (self.model, self.reference) if each]),
            decoders=decoders,
        )

    def _encoding(self, batch_size: int) -> dict[str, object]:
        return encoding_of(self._spec, self.model, self.reference, batch_size)


def _facts(model: TargetModel) -> ModelFacts:
    return ModelFacts(model.number_format, model.fingerprint, model.logit_scale)
