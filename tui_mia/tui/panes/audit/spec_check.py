"""Says of a spec that is being written what is wrong with it, what it lacks, and what will come of it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from tui_mia.spec import AuditSpec, PoolName, SpecError, check_document, checkpoint_path, has_own_weights
from tui_mia.tui.latest import Stop
from tui_mia.tui.panes.audit.spec_fields import all_groups, sections

Models: TypeAlias = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Question:
    """A document to check: paths are relative to `folder`, and without a database it is `database`.

    `models` are the architectures and tags that open_clip knows; empty while
    that is not known.
    """

    document: Mapping[str, Any]
    folder: Path
    database: Path
    models: Models


@dataclass(frozen=True)
class Checked:
    """What was found: the spec, where all is well; else what is wrong and what is needed, by key."""

    spec: AuditSpec | None
    problems: Mapping[str, str]
    needed: tuple[str, ...]


def check(question: Question, _: Stop) -> Iterator[Checked]:
    """Check a document, once; in the form that `Latest` works with."""
    output = {"database": str(question.database), **question.document.get("output", {})}
    problems: dict[str, str] = {}
    spec = None
    try:
        spec = check_document({**question.document, "output": output}, question.folder, "audit")
    except SpecError as error:
        for problem in error.problems:
            problems.setdefault(problem.key, problem.message)
    for table in ("model", "reference"):
        for key, message in _unknown_names(table, question.document.get(table, {}), question.models):
            problems.setdefault(key, message)
    ordered = sorted(problems, key=_place)
    needed = tuple(key for key in ordered if _is_empty(question.document, key))
    wrong = {key: problems[key] for key in ordered if key not in needed}
    yield Checked(None if problems else spec, wrong, needed)


def with_pools(checked: Checked, of_sources: Mapping[PoolName, str]) -> Checked:
    """What was found, and the pools whose sources are there but can't be read."""
    of_pools = {f"pools.{name}.source": problem for name, problem in of_sources.items() if problem}
    if not of_pools:
        return checked
    problems = {**of_pools, **checked.problems}
    return Checked(None, {key: problems[key] for key in sorted(problems, key=_place)}, checked.needed)


def in_words(checked: Checked, database: Path) -> str:
    """What was found, in a line or two; `database` is the one that is open here."""
    if checked.problems:
        (key, message), *others = checked.problems.items()
        return f"! {key}: {message}" + (f" (and {len(others)} more)" if others else "")
    if checked.spec is None:
        return f"still needed: {', '.join(checked.needed)}"
    here = database.absolute()
    elsewhere = Path(checked.spec.output.database) != here
    parts = ["ready, f5 runs it.", _outlook(checked.spec)]
    parts.append(f"A run from here goes to {here}, which is open." if elsewhere else "")
    return " ".join(filter(None, parts))


def _outlook(spec: AuditSpec) -> str:
    """What an audit will lack, in a few words; empty where it lacks nothing."""
    if spec.pools.nonmembers is not None:
        return ""
    skipped = [name for name in ("wsa", "loss") if name in spec.attacks.requested()]
    without = f", {' and '.join(skipped)} will be skipped" if skipped else ""
    return f"Without non-members there are no p-values{without}."


def _unknown_names(table: str, model: Mapping[str, Any], models: Models) -> Iterator[tuple[str, str]]:
    """What the worker would say of names that open_clip doesn't know."""
    architecture, pretrained = model.get("architecture"), model.get("pretrained")
    if not models or not isinstance(architecture, str) or has_own_weights(architecture):
        return
    if architecture not in models:
        close = difflib.get_close_matches(architecture, models, n=3, cutoff=0.5)
        did_you_mean = f"; did you mean {' or '.join(close)}?" if close else ""
        yield f"{table}.architecture", f"open_clip knows no {architecture!r}{did_you_mean}"
    elif not isinstance(pretrained, str):
        yield f"{table}.pretrained", f"{architecture} needs weights: a tag or a checkpoint file"
    elif checkpoint_path(pretrained) is None and pretrained not in models[architecture]:
        yield f"{table}.pretrained", f"{architecture} has no tag {pretrained!r}"


def _place(key: str) -> tuple[int, int]:
    """Where a key stands in the form: its section, its field."""
    keys = [field.key for group in all_groups() for field in group.fields]
    section = next((number for number, section in enumerate(sections()) if section.has(key)), 0)
    return section, keys.index(key) if key in keys else -1


def _is_empty(document: Mapping[str, Any], key: str) -> bool:
    """Whether nothing was typed into the field of this key."""
    *tables, name = key.split(".")
    table: Any = document
    for part in tables:
        table = table.get(part, {}) if isinstance(table, Mapping) else {}
    fields = {field.key for group in all_groups() for field in group.fields}
    return key in fields and isinstance(table, Mapping) and name not in table
