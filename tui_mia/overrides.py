"""Options of the command line as keys of the spec."""

from __future__ import annotations

import tomllib
from typing import Any

from tui_mia.spec import SpecError


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
    except tomllib.TOMLDecodeError:
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
