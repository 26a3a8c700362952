"""Every key of the app by the id under which the settings can change it."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass

from textual.binding import Binding, BindingType
from textual.dom import DOMNode

from tui_mia.tui.pane import PANES
from tui_mia.tui.pane_classes import pane_class


@dataclass(frozen=True)
class Key:
    """A binding: its id, its keys with commas between, and what it does."""

    id: str
    keys: str
    does: str


def all_keys() -> list[Key]:
    """The keys of the app, its panes and what they are made of, by id."""
    keys = {}
    for name in PANES:
        pane_class(name)
    for module in ("app", "dialogs", "help"):
        importlib.import_module(f"tui_mia.tui.{module}")
    for node in _ours(DOMNode):
        for binding in _bindings(vars(node).get("BINDINGS", [])):
            if binding.id is not None:
                keys[binding.id] = Key(binding.id, binding.key, binding.tooltip or binding.description)
    return [keys[name] for name in sorted(keys)]


def _ours(kind: type[DOMNode]) -> Iterator[type[DOMNode]]:
    """The classes of this room among the subclasses of a class."""
    for subclass in kind.__subclasses__():
        if subclass.__module__.startswith("tui_mia."):
            yield subclass
        yield from _ours(subclass)


def _bindings(found: list[BindingType]) -> list[Binding]:
    return [binding for binding in found if isinstance(binding, Binding)]
