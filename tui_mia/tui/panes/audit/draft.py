"""A spec while it is being written: what was typed, as the document that TOML would have."""

from __future__ import annotations

import contextlib
import copy
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tui_mia.spec import SpecError, map_paths, read_document
from tui_mia.tui.panes.audit.spec_fields import SpecField, all_groups, shipped_attacks

_WHOLE = re.compile(r"[+-]?[0-9]{1,20}")
_DECIMAL = re.compile(r"[+-]?[0-9]*\.?[0-9]+([eE][+-]?[0-9]{1,3})?")


class Draft:
    """What was typed under each key of a spec; complete or not, right or wrong.

    A table that is switched off keeps what was typed, and is left out of the
    document.
    """

    def __init__(self, document: Mapping[str, Any] | None = None) -> None:
        self.left_out: list[str] = []
        """The keys of the document that no spec has."""
        self._values: dict[str, dict[str, Any]] = {group.table: {} for group in all_groups()}
        self._on = {group.table for group in all_groups() if not group.optional}
        self._attacks_chosen = "attacks" in (document or {})
        if not self._attacks_chosen:
            self._on |= {f"attacks.{name}" for name in shipped_attacks()}
        for table, values in _tables(document or {}):
            self._take(table, values)

    def document(self) -> dict[str, Any]:
        """What TOML would have: no empty table but those that mean something."""
        written: dict[str, Any] = {"attacks": {}} if self._attacks_chosen else {}
        for table, values in self._values.items():
            parent, _, name = table.partition(".")
            if table not in self._on or (parent == "attacks" and not self._attacks_chosen):
                continue
            if name:
                written.setdefault(parent, {})[name] = copy.deepcopy(values)
            elif values or parent in ("model", "reference"):
                written[parent] = copy.deepcopy(values)
        return written

    def is_on(self, table: str) -> bool:
        """Whether a table that can be left out is there, as "pools.general" or "attacks.csa"."""
        return table in self._on

    def switch(self, table: str, on: bool) -> None:
        """Take a table in, with what was typed there, or leave it out."""
        if on != self.is_on(table):
            self._on ^= {table}
            self._attacks_chosen |= table.startswith("attacks.")

    def texts(self, field: SpecField) -> list[str]:
        """What a field shows, a line each."""
        value = self._values[field.table].get(field.name)
        if field.several:
            return [str(item) for item in value] if isinstance(value, list) else [str(value)] if value else []
        return [_shown(field, value)]

    def write(self, field: SpecField, texts: list[str]) -> None:
        """Take what was typed, a line each; nothing typed is a key that is not there."""
        typed = [text for text in texts if text]
        table = self._values[field.table]
        before = table.pop(field.name, None)
        if typed and field.several:
            table[field.name] = typed[0] if len(typed) == 1 else typed
        elif typed:
            table[field.name] = _meant(field, typed[0])
        if field.table.startswith("attacks.") and table.get(field.name) != before:
            self._attacks_chosen = True

    def _take(self, table: str, values: Mapping[str, Any]) -> None:
        group = next((group for group in all_groups() if group.table == table), None)
        if group is None:
            self.left_out.append(table)
            return
        known = {field.name for field in group.fields}
        self.left_out += [f"{table}.{name}" for name in values if name not in known and not group.open]
        self._values[table] = {name: value for name, value in values.items() if name in known or group.open}
        self._on.add(table)


def _tables(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every table of a document that has fields, by its key.

    Raises:
        SpecError: where something else stands for a table.
    """
    for key, value in document.items():
        if not isinstance(value, Mapping):
            raise SpecError(f"{key} is not a table")
        if key not in ("pools", "attacks"):
            yield key, value
            continue
        for name, inner in value.items():
            if not isinstance(inner, Mapping):
                raise SpecError(f"{key}.{name} is not a table")
            yield f"{key}.{name}", inner


def typed_paths(document: Mapping[str, Any], base: Path, folder: Path) -> dict[str, Any]:
    """A document whose paths are relative to `base`, with paths as someone in `folder` would type them."""
    return map_paths(document, lambda path: _seen_from(folder, base, path))


def saved_paths(document: Mapping[str, Any], folder: Path, path: Path) -> dict[str, Any]:
    """A document as someone in `folder` typed it, with paths as they belong into the file `path`.

    Those that the file has already stay as it writes them.
    """
    base = path.resolve().parent
    written: dict[str, str] = {}
    with contextlib.suppress(SpecError):  # there is no such file, or none that could be kept
        map_paths(read_document(path), lambda there: written.setdefault(_absolute(base, there), there))

    def saved(typed: str) -> str:
        return written.get(_absolute(folder, typed)) or _seen_from(base, folder, typed)

    return map_paths(document, saved)


def _seen_from(place: Path, base: Path, path: str) -> str:
    """`path`, which is relative to `base`, as it is written in `place`: relative where it lies below."""
    if place == base or path.startswith("~"):
        return path
    absolute = Path(_absolute(base, path))
    below = absolute.is_relative_to(place) and ".." not in absolute.parts
    return str(absolute.relative_to(place)) if below else str(absolute)


def _absolute(base: Path, path: str) -> str:
    return str(base / os.path.expanduser(path))


def _meant(field: SpecField, text: str) -> Any:
    """What was typed as the value that it stands for; the text itself where it stands for nothing else."""
    if field.holds("int") and _WHOLE.fullmatch(text.strip()):
        return int(text)
    if field.holds("float") and _DECIMAL.fullmatch(text.strip()):
        return float(text)
    if field.holds("bool"):
        words = [word.strip() for word in text.strip().removeprefix("[").removesuffix("]").split(",")]
        if all(word in ("true", "false") for word in words):
            return [word == "true" for word in words]
        if text.startswith('"'):
            try:
                return tomllib.loads(f"text = {text}")["text"]
            except tomllib.TOMLDecodeError:
                return text
    return text


def _shown(field: SpecField, value: Any) -> str:
    """A value as someone would type it."""
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(str(item).lower() if isinstance(item, bool) else str(item) for item in value)
    text = str(value)
    return f'"{text}"' if isinstance(value, str) and _meant(field, text) != value else text
