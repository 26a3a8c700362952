"""AuditSpec: the model, pools, attacks and output of an audit; TOML in and out.

The docstring under each key is its user documentation: `tui-mia init` and the
terminal app show it as it stands here.
"""

from __future__ import annotations

import difflib
import glob
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

import tomlkit
from braceexpand import braceexpand
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo

PoolName: TypeAlias = Literal["candidates", "nonmembers", "general", "bank"]
ATTACK_ENTRY_POINTS = "tui_mia.attacks"


class SpecError(Exception):
    """The audit that was asked for can't be run as written; the message says which key and why."""


class _Table(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, use_attribute_docstrings=True
    )


class ModelSpec(_Table):
    architecture: str
    """An open_clip architecture (`ViT-B-32`), `local-dir:PATH` or `hf-hub:ORG/NAME`."""
    pretrained: str | None = None
    """A pretrained tag (`laion2b_s34b_b79k`) or a checkpoint file (.pt, .safetensors) of it."""
    precision: Literal["exact", "fast"] = "exact"
    """`exact` is fp32; `fast` is what suits the device: fp16 on a GPU, bf16 on a CPU that has it."""
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda|cuda:[0-9]{1,2})$")] = "auto"
    """`auto` (a GPU where there is one), `cpu`, `cuda` or `cuda:N`."""


class PoolSpec(_Table):
    source: list[str]
    """Tars, tables (CSV, TSV, JSONL, Parquet), a folder or a COCO captions JSON; one or a list.

    Globs and brace ranges (`part-{000..012}.tar`) are expanded.
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
    limit: Annotated[int, Field(gt=0)] | None = None
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

    lambda_: float | Literal["auto"] = Field("auto", alias="lambda")
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
                    f"unknown attack {name!r}{_did_you_mean(name, [*type(self).model_fields, *added])}"
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


class RunSpec(_Table):
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """The seed of what is drawn for WSA: subsamples and classifiers. Folds go by content, without a seed."""
    batch_size: Annotated[int, Field(ge=1)] | None = None
    """Images a batch; by default 32 on a CPU and 256 on a GPU."""


class OutputSpec(_Table):
    database: str = Field(default_factory=lambda: str(Path.cwd() / "audits.duckdb"))
    """The DuckDB file that the scores go to; made when missing."""


def _default_attacks() -> AttacksSpec:
    return AttacksSpec(csa=CsaSpec(), aea=AeaSpec(), wsa=WsaSpec(), loss=LossSpec())


class AuditSpec(_Table):
    model: ModelSpec
    pools: PoolsSpec
    attacks: AttacksSpec = Field(default_factory=_default_attacks)
    run: RunSpec = Field(default_factory=RunSpec)
    output: OutputSpec = Field(default_factory=OutputSpec)

    @field_validator("attacks")
    @classmethod
    def _some_attack(cls, value: AttacksSpec) -> AttacksSpec:
        if not value.requested():
            raise ValueError("asks for no attack; leave [attacks] out to run all of them")
        return value

    @property
    def views(self) -> int:
        """How many augmented views of each image are encoded; 0 without AEA."""
        return self.attacks.aea.views if self.attacks.aea is not None else 0

    def pool_specs(self) -> dict[PoolName, PoolSpec]:
        """The pools that were given, by name, candidates first."""
        named: dict[PoolName, PoolSpec | None] = {
            "candidates": self.pools.candidates,
            "nonmembers": self.pools.nonmembers,
            "general": self.pools.general,
            "bank": self.pools.bank,
        }
        return {name: pool for name, pool in named.items() if pool is not None}


def load_spec(
    path: Path | None, overrides: Mapping[str, Any] | None = None, attacks: Sequence[str] | None = None
) -> AuditSpec:
    """Read `path` (or nothing), lay `overrides` ("model.device": value) over it, and check it all.

    With `attacks`, only these run, each with what the file says of it.

    Relative paths in the file are relative to the file, those in `overrides` to
    the current folder; in the result all are absolute.

    Raises:
        SpecError: for unreadable TOML, unknown keys, wrong types and missing
            files, naming the file, the key and what to do.
    """
    where = str(path) if path else "options"
    written = _resolved(_read_toml(path), path.resolve().parent) if path else {}
    tables = written.get("attacks", {})
    if attacks is not None and isinstance(tables, dict):
        written["attacks"] = {name: tables.get(name, {}) for name in attacks}
    for key, value in (overrides or {}).items():
        _set_dotted(written, key, value)
    spec = _validated(where, _resolved(written, Path.cwd()))
    _check_files(where, spec)
    return spec


def read_spec(path: Path) -> AuditSpec:
    """Read a spec that `dump_spec` wrote, whether or not the files that it names are still there.

    Raises:
        SpecError: for what can't be read as a spec.
    """
    return _validated(str(path), _read_toml(path))


def dump_spec(spec: AuditSpec) -> str:
    """Write a spec as TOML that `load_spec` reads back to an equal spec."""
    return tomlkit.dumps(spec.model_dump(mode="json", by_alias=True, exclude_none=True))


def expand_source(source: str) -> list[Path]:
    """The files or folders that a path, glob or brace range names, sorted; may be empty."""
    return [Path(match) for matches in _matches(source).values() for match in matches]


def checkpoint_path(pretrained: str | None) -> Path | None:
    """The file that `pretrained` names, or None where it is a tag."""
    if pretrained is None:
        return None
    looks_like_a_file = "/" in pretrained or pretrained.endswith((".pt", ".pth", ".bin", ".safetensors"))
    return Path(pretrained) if looks_like_a_file else None


def _matches(source: str) -> dict[str, list[str]]:
    """What there is under each path or pattern that a source stands for."""
    if os.path.lexists(source):
        return {source: [source]}
    try:
        patterns = list(braceexpand(source))
    except ValueError:  # unbalanced braces are a plain file name
        patterns = [source]
    return {pattern: sorted(glob.glob(pattern, recursive=True)) for pattern in patterns}


def _validated(where: str, written: dict[str, Any]) -> AuditSpec:
    try:
        return AuditSpec.model_validate(written)
    except ValidationError as error:
        raise SpecError("\n".join(_explain(where, error.errors()))) from None


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(f"{path}: can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SpecError(f"{path}: is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"{path}: is not valid TOML: {error}") from None


def _set_dotted(document: dict[str, Any], key: str, value: Any) -> None:
    *tables, last = key.split(".")
    for table in tables:
        inner = document.setdefault(table, {})
        if not isinstance(inner, dict):
            raise SpecError(f"{key}: {table} is not a table")
        document = inner
    document[last] = value


def _resolved(document: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Make the paths of a spec absolute, as far as it has the expected shape."""

    def absolute(value: Any) -> Any:
        if isinstance(value, list):
            return [absolute(item) for item in value]
        return str(folder / os.path.expanduser(value)) if isinstance(value, str) and value else value

    def table(parent: Any, name: str) -> dict[str, Any]:
        inner = parent.get(name) if isinstance(parent, dict) else None
        return inner if isinstance(inner, dict) else {}

    for pool in table(document, "pools").values():
        for key in ("source", "keys"):
            if isinstance(pool, dict) and key in pool:
                pool[key] = absolute(pool[key])
    model, output = table(document, "model"), table(document, "output")
    architecture, pretrained = model.get("architecture"), model.get("pretrained")
    if isinstance(architecture, str) and architecture.startswith("local-dir:"):
        model["architecture"] = "local-dir:" + absolute(architecture.removeprefix("local-dir:"))
    if isinstance(pretrained, str) and checkpoint_path(pretrained):
        model["pretrained"] = absolute(pretrained)
    if "database" in output:
        output["database"] = absolute(output["database"])
    return document


def _check_files(where: str, spec: AuditSpec) -> None:
    for name, pool in spec.pool_specs().items():
        for source in pool.source:
            for pattern, matches in _matches(source).items():
                if not matches:
                    of = "" if pattern == source else f", of {source}"
                    raise SpecError(f"{where}: pools.{name}.source: no file or folder matches {pattern}{of}")
        if pool.keys and not os.path.isfile(pool.keys):
            raise SpecError(f"{where}: pools.{name}.keys: there is no file {pool.keys}")
    checkpoint = checkpoint_path(spec.model.pretrained)
    if checkpoint and not os.path.isfile(checkpoint):
        raise SpecError(f"{where}: model.pretrained: there is no checkpoint {checkpoint}")
    folder = spec.model.architecture.removeprefix("local-dir:")
    if folder != spec.model.architecture and not os.path.isfile(Path(folder) / "open_clip_config.json"):
        raise SpecError(f"{where}: model.architecture: {folder} has no open_clip_config.json")
    if os.path.isdir(spec.output.database):
        raise SpecError(f"{where}: output.database: {spec.output.database} is a folder; name a file in it")


def _explain(where: str, errors: Sequence[Any]) -> Iterator[str]:
    """One line for each key that is wrong: file, key, what is wrong, what to do."""
    by_key: dict[str, list[Any]] = {}
    for error in errors:
        by_key.setdefault(_key_of(error["loc"]), []).append(error)
    for key, (error, *others) in by_key.items():
        if error["type"] == "extra_forbidden":
            *table, name = key.split(".")
            yield f"{where}: {key}: unknown key{_did_you_mean(name, list(_fields_at(table)))}"
        elif error["type"] == "missing":
            yield f"{where}: {key}: is required but missing"
        else:
            # A key of several types has an error for each of them.
            messages = dict.fromkeys(
                str(each["msg"]).removeprefix("Value error, ") for each in (error, *others)
            )
            message = f"{where}: {key}: {', or: '.join(messages)}"
            yield message if isinstance(error["input"], dict) else f"{message}, not {error['input']!r}"


def _key_of(location: Sequence[object]) -> str:
    """The key of an error as it stands in the file, without the types that pydantic tried for it."""
    key: list[str] = []
    for part in map(str, location):
        fields = _fields_at(key)
        if key and not fields:
            break
        key.append(part)
    return ".".join(key)


def _fields_at(table: Sequence[str]) -> dict[str, FieldInfo]:
    """The keys of a table of the spec; none where there is no such table."""
    fields: dict[str, FieldInfo] = AuditSpec.model_fields
    for part in table:
        annotation = fields[part].annotation if part in fields else None
        types = [annotation, *getattr(annotation, "__args__", [])]
        model: Any = next((kind for kind in types if hasattr(kind, "model_fields")), None)
        fields = {field.alias or name: field for name, field in model.model_fields.items()} if model else {}
    return fields


def _did_you_mean(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(known)}"
