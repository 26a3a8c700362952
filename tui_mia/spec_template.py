"""Writes a commented audit.toml from the spec's own documentation."""

from __future__ import annotations

import textwrap
from typing import Any

import tomlkit
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from tui_mia.spec import (
    AeaSpec,
    AttacksSpec,
    AuditSpec,
    EvidenceSpec,
    ModelSpec,
    OutputSpec,
    PoolSpec,
    PoolsSpec,
    ReferenceSpec,
    RunSpec,
    WsaSpec,
)

_EXAMPLES: dict[str, Any] = {
    "architecture": "ViT-B-32",
    "pretrained": "laion2b_s34b_b79k",
    "image": "jpg",
    "caption": "caption",
    "member": "member",
    "keys": "keys.txt",
    "limit": 1000,
    "batch_size": 64,
    "devices": "all",
    "threads": 8,
    "engine": "ray",
    "address": "10.0.0.1:6379",
    "actors": 16,
    "database": "audits.duckdb",
}
_SOURCES = {
    "candidates": "candidates/part-{000..012}.tar",
    "nonmembers": "nonmembers.csv",
    "general": "general/",
    "bank": "bank.parquet",
}
_NEEDED_POOLS = ("candidates", "nonmembers", "general")


def spec_template() -> str:
    """An audit.toml with every key, its meaning and its default; what is optional is commented out."""
    lines = [
        "# An audit: was each candidate in the training data of this model?",
        "# Paths are relative to this file. `tui-mia run audit.toml` carries it out.",
        "",
        "[model]",
        *_keys(ModelSpec, shown=("architecture", "pretrained")),
    ]
    for name, field in PoolsSpec.model_fields.items():
        shown = name in _NEEDED_POOLS
        lines += ["", *_comment(field), f"{'' if shown else '# '}[pools.{name}]"]
        lines += [*_comment(PoolSpec.model_fields["source"])] if name == "candidates" else []
        lines += [f"{'' if shown else '# '}source = {_literal(_SOURCES[name])}"]
        if name == "candidates":
            lines += _keys(PoolSpec, shown=(), left_out=("source",))
    lines += ["", *_comment(AuditSpec.model_fields["reference"]), "# [reference]"]
    lines += _keys(ReferenceSpec, shown=())
    lines += ["", "# Without any [attacks] table all four attacks run."]
    options: dict[str, type[BaseModel]] = {"aea": AeaSpec, "wsa": WsaSpec}
    for name, field in AttacksSpec.model_fields.items():
        lines += ["", *_comment(field), f"[attacks.{name}]"]
        lines += _keys(options[name], shown=()) if name in options else []
    lines += ["", "[evidence]", *_keys(EvidenceSpec, shown=()), "", "[run]", *_keys(RunSpec, shown=())]
    lines += ["", "[output]", *_keys(OutputSpec, shown=("database",))]
    return "\n".join(lines) + "\n"


def _keys(table: type[BaseModel], shown: tuple[str, ...], left_out: tuple[str, ...] = ()) -> list[str]:
    lines = []
    for name, field in table.model_fields.items():
        if name not in left_out:
            value = _EXAMPLES.get(name, field.default)
            assert value is not PydanticUndefined, name
            lines += [
                *_comment(field),
                f"{'' if name in shown else '# '}{field.alias or name} = {_literal(value)}",
            ]
    return lines


def _comment(field: FieldInfo) -> list[str]:
    """A field's documentation as comment lines; two marks, so that one mark always stands before a key."""
    text = " ".join((field.description or "").split())
    return textwrap.wrap(text, 100, initial_indent="## ", subsequent_indent="## ")


def _literal(value: Any) -> str:
    return str(tomlkit.item(value).as_string())
