"""Options of the command line as keys of the spec, and a spec as a command line."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tomlkit

from tui_mia.clean import printable
from tui_mia.spec import AttacksSpec, AuditSpec, SpecError

_OPTIONS = {
    "model.architecture": "--model",
    "model.pretrained": "--pretrained",
    "model.device": "--device",
    "model.precision": "--precision",
    "reference.architecture": "--reference",
    "reference.pretrained": "--reference-pretrained",
    "pools.candidates.source": "--candidates",
    "pools.nonmembers.source": "--nonmembers",
    "pools.general.source": "--general",
    "output.database": "--db",
}
_DEFAULTS = {
    "model.device": "auto",
    "run.engine": "local",
    "model.precision": "exact",
    "reference.precision": "exact",
    "evidence.smallest_auc": 0.6,
    "run.seed": 0,
    "output.layout": "table",
}


def parse_assignment(assignment: str) -> tuple[str, Any]:
    """`model.device=cpu` as a key and a value: TOML where it is that, else text.

    Raises:
        SpecError: if it has no key or no `=`.
    """
    key, equals, text = assignment.partition("=")
    if not equals or not key.strip():
        raise SpecError(f"--set {assignment}: write KEY=VALUE, as in --set model.device=cpu")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):  # no TOML, or a number or nesting that Python does not take
        value = text
    return key.strip(), value


def attack_names(names: str) -> list[str]:
    """`csa,aea` as names of attacks.

    Raises:
        SpecError: if it names none.
    """
    named = [name.strip() for name in names.split(",") if name.strip()]
    if not named:
        raise SpecError("--attacks names no attack; write for instance --attacks csa,aea")
    return named


def command_line(spec: AuditSpec) -> list[str]:
    """The `tui-mia run` command that asks for the same audit, without any file; for `shlex.join`.

    No argument has a control character in it, whatever the spec has.
    """
    document = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    attacks = document.pop("attacks")
    arguments = [argument for key, value in _leaves(document) for argument in _option(key, value)]
    return ["tui-mia", "run", *arguments, *_attack_options(spec.attacks, attacks)]


def _leaves(table: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _option(key: str, value: Any) -> list[str]:
    if _DEFAULTS.get(key) == value:
        return []
    values = value if isinstance(value, list) else [value]
    plain = all(isinstance(each, str) and each and printable(each) == each for each in values)
    if key == "output.database":
        plain = plain and str(Path(value)) == value
    if key in _OPTIONS and plain:
        return [argument for each in values for argument in (_OPTIONS[key], each)]
    return ["--set", _assignment(key, value[0] if key.endswith(".source") and len(value) == 1 else value)]


def _attack_options(spec: AttacksSpec, written: dict[str, Any]) -> list[str]:
    if spec == AuditSpec.model_fields["attacks"].get_default(call_default_factory=True):
        return []
    if spec.added():  # whose names may be anything
        return ["--set", _assignment("attacks", written)]
    defaults = {name: type(table)().model_dump(by_alias=True) for name, table in spec if name in written}
    changed = [
        argument
        for name, table in written.items()
        for key, value in table.items()
        if value != defaults[name][key]
        for argument in ("--set", _assignment(f"attacks.{name}.{key}", value))
    ]
    return ["--attacks", ",".join(written), *changed]


def _assignment(key: str, value: Any) -> str:
    """KEY=VALUE that `parse_assignment` reads back: bare where that is possible, else TOML in one line."""
    bare = f"{key}={value}"
    if isinstance(value, str) and printable(bare) == bare and parse_assignment(bare) == (key, value):
        return bare
    return f"{key}={_toml(value)}"


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        inner = (f"{_toml(str(name))} = {_toml(item)}" for name, item in value.items())
        return f"{{{', '.join(inner)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    text = str(tomlkit.item(value).as_string())
    return "".join(char if printable(char) == char else f"\\U{ord(char):08X}" for char in text)
