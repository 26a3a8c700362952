"""Writes specs as TOML."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from tui_mia.private import as_the_user_has_it
from tui_mia.spec.audit_spec import AuditSpec


def dump_spec(spec: AuditSpec) -> str:
    """Write a spec as TOML that `load_spec` reads back to an equal spec."""
    return tomlkit.dumps(spec.model_dump(mode="json", by_alias=True, exclude_none=True))


def write_document(document: Mapping[str, Any], path: Path) -> None:
    """Write a document to a TOML file whole; the comments of a file that is there stay.

    Raises:
        OSError: if it can't be written.
    """
    path = path.resolve()  # a link stays one
    text = _over(document, path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with as_the_user_has_it():
            temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _over(document: Mapping[str, Any], path: Path) -> str:
    """The text of a document, laid over the file that is there where that can be done."""
    try:
        there = tomlkit.parse(path.read_text(encoding="utf-8"))
        _lay(document, there)
        text = tomlkit.dumps(there)
        if tomllib.loads(text) == document:
            return text
    except (FileNotFoundError, UnicodeDecodeError, TOMLKitError, tomllib.TOMLDecodeError):
        pass  # there is nothing to lay it over
    return tomlkit.dumps(document)


def _lay(new: Mapping[str, Any], old: MutableMapping[str, Any]) -> None:
    """Change `old` to hold what `new` has, touching only what differs."""
    for key in [key for key in old if key not in new]:
        del old[key]
    for key, value in new.items():
        there = old.get(key)
        if isinstance(value, Mapping) and isinstance(there, MutableMapping):
            _lay(value, there)
        elif there != value:
            old[key] = value
