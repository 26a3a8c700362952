"""The form that a spec is: its sections and fields, from the spec's own models and documentation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Annotated, Any, Final, Literal, TypeAlias, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from tui_mia.spec import ATTACK_ENTRY_POINTS, AttacksSpec, AuditSpec, PoolName, PoolsSpec

Completes: TypeAlias = Literal["architecture", "pretrained", "device", "path"]

_TITLES: Final = {"nonmembers": "Non-members"}
_COMPLETES: Final[dict[str, Completes]] = {
    "architecture": "architecture",
    "pretrained": "pretrained",
    "device": "device",
    "source": "path",
    "keys": "path",
    "database": "path",
}


@dataclass(frozen=True)
class SpecField:
    """One key of a spec as a field of a form.

    `default` is what the key means when it is left out; `choices` are all it may
    be, where that is known; `several` are lines, one a value.
    """

    table: str
    name: str
    help: str
    default: str
    required: bool
    choices: tuple[str, ...]
    several: bool
    completes: Completes | None
    kinds: frozenset[str]

    @property
    def key(self) -> str:
        return f"{self.table}.{self.name}"

    def holds(self, kind: str) -> bool:
        """Whether a value of this type ("int", "float", "bool") may stand here."""
        return kind in self.kinds


@dataclass(frozen=True)
class Group:
    """The fields of one table.

    `optional` where the table can be left out; `open` where it may have any key
    besides its fields.
    """

    table: str
    label: str
    help: str
    optional: bool
    fields: tuple[SpecField, ...]
    open: bool = False


@dataclass(frozen=True)
class Section:
    """What is on the screen at once: a pool, all attacks, or another table of the spec."""

    key: str
    title: str
    help: str
    groups: tuple[Group, ...]

    @property
    def pool(self) -> PoolName | None:
        """The pool that this is, if it is one."""
        return next((name for name in get_args(PoolName) if self.key == f"pools.{name}"), None)

    def has(self, key: str) -> bool:
        """Whether a key belongs into this section."""
        return f"{key}.".startswith(f"{self.key}.")


@cache
def sections() -> tuple[Section, ...]:
    """The sections of a spec in the order of its keys."""
    found: list[Section] = []
    for name, field in AuditSpec.model_fields.items():
        model = _model(field)
        if model is PoolsSpec:
            found += [_pool(key, inner) for key, inner in PoolsSpec.model_fields.items()]
        elif model is AttacksSpec:
            found.append(Section(name, "Attacks", "Which attacks run.", _attacks()))
        else:
            group = _group(name, field, label=f"use a {name} model")
            found.append(Section(name, name.capitalize(), group.help, (group,)))
    return tuple(found)


@cache
def all_groups() -> tuple[Group, ...]:
    """The groups of all sections."""
    return tuple(group for section in sections() for group in section.groups)


@cache
def shipped_attacks() -> tuple[str, ...]:
    """The attacks that run where a spec says nothing of attacks."""
    return tuple(AttacksSpec.model_fields)


def _pool(name: str, field: FieldInfo) -> Section:
    title = _TITLES.get(name, name.capitalize())
    group = _group(f"pools.{name}", field, label=f"use {title.lower()}")
    return Section(f"pools.{name}", title, _words(field.description), (group,))


def _attacks() -> tuple[Group, ...]:
    shipped = [
        _group(f"attacks.{name}", field, f"{name}: {_words(field.description).partition(':')[0].rstrip('.')}")
        for name, field in AttacksSpec.model_fields.items()
    ]
    added = sorted({point.name for point in entry_points(group=ATTACK_ENTRY_POINTS)})
    help_text = "An attack of another package; its options stay as a loaded file has them."
    return (*shipped, *(Group(f"attacks.{name}", name, help_text, True, (), open=True) for name in added))


def _group(table: str, field: FieldInfo, label: str = "") -> Group:
    fields = (_field(table, name, inner) for name, inner in _model(field).model_fields.items())
    return Group(table, label, _words(field.description), field.default is None, tuple(fields))


def _field(table: str, name: str, field: FieldInfo) -> SpecField:
    name = field.alias or name
    kinds, choices = _kinds(field.annotation)
    default = "" if field.default in (None, PydanticUndefined) else str(field.default)
    return SpecField(
        table=table,
        name=name,
        help=_words(field.description),
        default=default,
        required=field.is_required(),
        choices=choices if kinds == {"choice"} else (),
        several=name == "source",
        completes=_COMPLETES.get(name),
        kinds=frozenset(kinds),
    )


def _kinds(annotation: Any) -> tuple[set[str], tuple[str, ...]]:
    """The names of the types that a key may hold, and the words that it may be."""
    if get_origin(annotation) is Literal:
        return {"choice"}, tuple(map(str, get_args(annotation)))
    inner = get_args(annotation)
    if get_origin(annotation) is Annotated:
        inner = inner[:1]
    if not inner:
        return ({annotation.__name__} if isinstance(annotation, type) else set()) - {"NoneType"}, ()
    found = [_kinds(each) for each in inner]
    return set[str]().union(*(kinds for kinds, _ in found)), tuple(
        word for _, words in found for word in words
    )


def _model(field: FieldInfo) -> type[BaseModel]:
    """The table that a key of tables holds."""
    kinds = (field.annotation, *get_args(field.annotation))
    return next(kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel))


def _words(text: str | None) -> str:
    return " ".join((text or "").split())
