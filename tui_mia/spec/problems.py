"""What is wrong with a spec: one problem a key, in words that say what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from tui_mia.spec.audit_spec import AuditSpec, did_you_mean
from tui_mia.storage import without_credentials

_LONGEST_QUOTE: Final = 200


@dataclass(frozen=True)
class SpecProblem:
    """One thing that is wrong, and the key it is wrong with, as in "pools.candidates.source"."""

    key: str
    message: str


class SpecError(Exception):
    """The audit that was asked for can't be run as written; the message says which key and why.

    `problems` has what is wrong key by key; none where it is no matter of a
    key, as with a file that is no TOML.
    """

    def __init__(self, message: str, problems: Sequence[SpecProblem] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)

    @classmethod
    def of(cls, where: str, problems: Sequence[SpecProblem]) -> SpecError:
        """An error whose message has a line for each problem: where it is written, key, what is wrong."""
        lines = (f"{where}: {problem.key}: {problem.message}" for problem in problems)
        return cls("\n".join(lines), problems)


def explain(error: ValidationError) -> Iterator[SpecProblem]:
    """One problem for each key that is wrong."""
    by_key: dict[str, list[Any]] = {}
    for each in error.errors():
        by_key.setdefault(_key_of(each["loc"]), []).append(each)
    for key, (first, *others) in by_key.items():
        if first["type"] == "extra_forbidden":
            *table, name = key.split(".")
            yield SpecProblem(key, f"unknown key{did_you_mean(name, list(_fields_at(table)))}")
        elif first["type"] == "missing":
            yield SpecProblem(key, "is required but missing")
        else:
            # A key of several types has an error for each of them.
            told = [_in_our_words(each["msg"]) for each in (first, *others)]
            message, written = ", or: ".join(dict.fromkeys(told)), first["input"]
            yield SpecProblem(
                key, message if isinstance(written, dict) else f"{message}, not {_quote(written)}"
            )


def _quote(written: object) -> str:
    """What was written, as far as it helps to find it."""
    try:
        text = without_credentials(repr(written))
    except ValueError:
        return "a number of thousands of digits"
    return text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}..."


def _in_our_words(message: str) -> str:
    message = message.removeprefix("Value error, ").replace("Input should be", "must be")
    return message.partition(", unable to parse")[0]


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
