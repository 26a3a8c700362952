"""AuditSpec: the model, pools, attacks and output of an audit.

The docstring under each key is its user documentation: `tui-mia init` and the
terminal app show it as it stands here.
"""

from __future__ import annotations

import difflib
import re
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from tui_mia.storage import is_url, wrong_with

PoolName: TypeAlias = Literal["candidates", "nonmembers", "general", "bank"]
ATTACK_ENTRY_POINTS = "tui_mia.attacks"
# Empty is none: so a tag that a file names is taken away by an option or a form.
Pretrained: TypeAlias = Annotated[str | None, AfterValidator(lambda value: value or None)]


# The keys that may name an object by its URL; all others name places on this machine, if any.
_MAY_BE_URLS = {"source", "keys", "pretrained"}
_NO_URL = "can't be a URL; name a place on this machine"


class _Table(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, use_attribute_docstrings=True
    )

    @field_validator("*")
    @classmethod
    def _urls_that_are_taken(cls, value: object, info: ValidationInfo) -> object:
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and is_url(text.removeprefix("local-dir:")):
                problem = wrong_with(text) if info.field_name in _MAY_BE_URLS else _NO_URL
                if problem:
                    raise ValueError(problem)
        return value


class ModelSpec(_Table):
    architecture: str
    """An open_clip architecture (`ViT-B-32`), `local-dir:PATH` or `hf-hub:ORG/NAME`."""
    pretrained: Pretrained = None
    """Of an open_clip architecture: a tag (`laion2b_s34b_b79k`) or a checkpoint (.pt, .safetensors).

    A checkpoint may be a URL (`s3://`, `gs://`, `https://`): it is fetched once.
    """
    precision: Literal["exact", "fast"] = "exact"
    """`exact` is fp32; `fast` is what suits the device: fp16 on a GPU, bf16 on a CPU that has it."""
    device: str = "auto"
    """`auto` (a GPU where there is one), `cpu`, `cuda` or `cuda:N`."""

    @field_validator("device")
    @classmethod
    def _a_device(cls, value: str) -> str:
        if not re.fullmatch(r"auto|cpu|cuda|cuda:[0-9]{1,2}", value, re.ASCII):
            raise ValueError("must be auto, cpu, cuda or cuda:N")
        return value


class ReferenceSpec(_Table):
    architecture: str
    """An open_clip architecture, `local-dir:PATH` or `hf-hub:ORG/NAME`; it need not be the model's."""
    pretrained: Pretrained = None
    """Of an open_clip architecture: a tag or a checkpoint (.pt, .safetensors), which may be a URL."""
    precision: Literal["exact", "fast"] = "exact"
    """`exact` is fp32; `fast` is what suits the device: fp16 on a GPU, bf16 on a CPU that has it."""


class PoolSpec(_Table):
    source: list[str]
    """Tars, tables (CSV, TSV, JSONL, Parquet), a folder or a COCO captions JSON; one or a list.

    Globs and brace ranges (`part-{000..012}.tar`) are expanded. Tars and tables may be URLs
    (`s3://`, `gs://`, `https://`).
    """
    image: str | None = None
    """The column of the image's path or bytes (default `image`).

    In tars and folders the extension of the images, for COCO the folder they are in.
    """
    caption: str | None = None
    """The column or field of the caption (default `caption`); in tars and folders also an extension."""
    member: str | list[bool] | None = None
    """The column or field of the known label (default `member`), or one true or false a source.

    Used to evaluate the attacks, never by an attack.
    """
    keys: str | None = None
    """A text file with one key a line: only these pairs are taken."""
    limit: Annotated[int, Field(gt=0, lt=2**63)] | None = None
    """At most this many pairs, from the front."""

    @field_validator("source", mode="before")
    @classmethod
    def _one_source_is_a_list_of_one(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @field_validator("source")
    @classmethod
    def _some_source(cls, value: list[str]) -> list[str]:
        if not value or not all(value):
            raise ValueError("names no file")
        return value

    @model_validator(mode="after")
    def _a_label_for_each_source(self) -> Self:
        if isinstance(self.member, list) and len(self.member) != len(self.source):
            raise ValueError(
                f"member has {len(self.member)} labels for {len(self.source)} sources; give one a source"
            )
        return self


class PoolsSpec(_Table):
    candidates: PoolSpec
    """The pairs in question. A `member` label, where known, is used for evaluation only."""
    nonmembers: PoolSpec | None = None
    """Pairs known not to be in the training data; needed for p-values, WSA and the loss."""
    general: PoolSpec | None = None
    """Unlabelled pairs, some of them members; WSA finds its pseudo-members here."""
    bank: PoolSpec | None = None
    """The pairs that the loss contrasts with; by default known non-members."""


class CsaSpec(_Table):
    """Cosine Similarity Attack."""


class AeaSpec(_Table):
    """Augmentation-Enhanced Attack."""

    views: Annotated[int, Field(ge=1, le=64)] = 8
    """How many augmented versions of each image are encoded beside the plain one."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """The seed of the augmentations."""


class WsaSpec(_Table):
    """Weakly Supervised Attack."""

    lambda_: Annotated[float, Field(allow_inf_nan=False)] | Literal["auto"] = Field("auto", alias="lambda")
    """How many standard deviations above the known non-members a general pair is a pseudo-member.

    `auto` takes the largest step that leaves as many of them as there are known non-members.
    """
    seeds: Annotated[int, Field(ge=1, le=100)] = 5
    """How many classifiers are trained and averaged in each fold."""


class LossSpec(_Table):
    """Contrastive loss against a fixed bank."""


class AttacksSpec(BaseModel):
    """Which attacks run, one table each.

    The table of an attack that another package adds is passed on to it as it is written.
    """

    model_config = ConfigDict(extra="allow", frozen=True, use_attribute_docstrings=True)

    csa: CsaSpec | None = None
    """Cosine Similarity Attack: the similarity of image and caption."""
    aea: AeaSpec | None = None
    """Augmentation-Enhanced Attack: how the similarity holds under augmentation."""
    wsa: WsaSpec | None = None
    """Weakly Supervised Attack: a classifier trained on pseudo-members."""
    loss: LossSpec | None = None
    """The model's own contrastive loss against a fixed bank of pairs."""

    @model_validator(mode="after")
    def _known_attacks_only(self) -> Self:
        added = {point.name for point in entry_points(group=ATTACK_ENTRY_POINTS)}
        for name, options in self.added().items():
            if name not in added:
                raise ValueError(
                    f"unknown attack {name!r}{did_you_mean(name, [*type(self).model_fields, *added])}"
                )
            if not isinstance(options, dict):
                raise ValueError(f"{name} must be a table of options")
        return self

    def added(self) -> dict[str, Any]:
        """The attacks that other packages bring, with their options as written."""
        return dict(self.model_extra or {})

    def requested(self) -> list[str]:
        """The names of the attacks that were asked for, shipped ones first."""
        return [name for name in type(self).model_fields if getattr(self, name) is not None] + list(
            self.added()
        )


class EvidenceSpec(_Table):
    smallest_auc: Annotated[float, Field(gt=0.5, lt=1)] = 0.60
    """The smallest AUC worth finding: `no evidence` is said only where the figures rule it out."""


class RunSpec(_Table):
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """The seed of what is drawn for WSA: subsamples and classifiers. Folds go by content, without a seed."""
    batch_size: Annotated[int, Field(ge=1, le=65_536)] | None = None
    """Images a batch; by default 32 on a CPU, and on a GPU what fills it, found when the run starts."""
    devices: Literal["all"] | list[str] | None = None
    """Where pairs are encoded, by a process each: `all` GPUs or a list of them (`["cuda:0", "cuda:3"]`).

    By default on `model.device` alone. `["cpu", "cpu"]` is two processes with half of the cores each.
    """
    threads: Annotated[int, Field(ge=1, le=4096)] | None = None
    """Threads of each process that encodes; by default its share of the cores."""
    engine: Literal["local", "ray"] = "local"
    """`ray` encodes on all machines of a Ray cluster; it takes `pip install 'tui-mia[ray]'` on each.

    The pairs, the model's files and the database have to be on paths that all of them share.
    """
    address: Annotated[str, Field(min_length=1)] | None = None
    """The Ray cluster, as `ray.init` takes it; by default RAY_ADDRESS, or else a Ray that is started here."""
    actors: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """At most how many encoders Ray starts; by default one for each GPU of the cluster.

    Without GPUs one for each `threads` CPUs of a machine, or one a machine with all of its CPUs.
    """

    @field_validator("devices")
    @classmethod
    def _devices_of_one_kind(cls, value: Literal["all"] | list[str] | None) -> object:
        if value is None or value == "all":
            return value
        if not value:
            raise ValueError("names no device")
        for name in value:
            if not re.fullmatch(r"cpu|cuda:[0-9]{1,2}", name, re.ASCII):
                raise ValueError(f"{name!r} must be cpu or cuda:N")
        of_gpus = [name for name in value if name != "cpu"]
        if of_gpus and len(of_gpus) < len(value):
            raise ValueError("has both CPUs and GPUs, whose results differ in the last digits; name one kind")
        if len(set(of_gpus)) < len(of_gpus):
            raise ValueError("names a GPU twice")
        return value


class OutputSpec(_Table):
    database: str = Field(default_factory=lambda: str(Path.cwd() / "audits.duckdb"))
    """The DuckDB file that the scores go to; made when missing."""
    layout: Literal["table", "parquet"] = "table"
    """Where similarities and scores are kept: in the file itself, or as Parquet files in a folder beside it.

    `parquet` is for tens of millions of rows. It is for all of the database, and from then on.
    """


def _default_attacks() -> AttacksSpec:
    return AttacksSpec(csa=CsaSpec(), aea=AeaSpec(), wsa=WsaSpec(), loss=LossSpec())


class AuditSpec(_Table):
    model: ModelSpec
    pools: PoolsSpec
    reference: ReferenceSpec | None = None
    """A model known not to have seen the candidates: what the attacks find on it too is no leak.

    It runs beside the model, on the same device.
    """
    attacks: AttacksSpec = Field(default_factory=_default_attacks)
    evidence: EvidenceSpec = Field(default_factory=EvidenceSpec)
    run: RunSpec = Field(default_factory=RunSpec)
    output: OutputSpec = Field(default_factory=OutputSpec)

    @field_validator("attacks")
    @classmethod
    def _some_attack(cls, value: AttacksSpec) -> AttacksSpec:
        if not value.requested():
            raise ValueError("asks for no attack; leave [attacks] out to run all of them")
        return value

    @model_validator(mode="after")
    def _devices_are_named_once(self) -> Self:
        if self.run.devices is not None and self.model.device != "auto":
            raise ValueError("run.devices and model.device both name devices; leave one of them out")
        return self

    @model_validator(mode="after")
    def _ray_has_devices_of_its_own(self) -> Self:
        run = self.run
        if run.engine != "ray":
            for name in ("address", "actors"):
                if getattr(run, name) is not None:
                    raise ValueError(f'run.{name} is for Ray; add run.engine = "ray", or leave it out')
        elif run.devices is not None:
            raise ValueError(
                "run.devices names devices of this machine, and run.engine is ray; leave one of them out"
            )
        elif self.model.device.startswith("cuda:"):
            raise ValueError(
                "model.device names a GPU of this machine, and run.engine is ray; "
                "leave it out, or make it cuda or cpu"
            )
        return self

    @property
    def views(self) -> int:
        """How many augmented views of each image are encoded; 0 without AEA."""
        return self.attacks.aea.views if self.attacks.aea is not None else 0

    @property
    def reference_model(self) -> ModelSpec | None:
        """The reference as a model to load, on the device of the target."""
        if self.reference is None:
            return None
        return ModelSpec(**self.reference.model_dump(), device=self.model.device)

    def pool_specs(self) -> dict[PoolName, PoolSpec]:
        """The pools that were given, by name, candidates first."""
        named: dict[PoolName, PoolSpec | None] = {
            "candidates": self.pools.candidates,
            "nonmembers": self.pools.nonmembers,
            "general": self.pools.general,
            "bank": self.pools.bank,
        }
        return {name: pool for name, pool in named.items() if pool is not None}


def did_you_mean(name: str, known: list[str]) -> str:
    """The end of a message about an unknown name: the closest known one, or all of them."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(known)}"
