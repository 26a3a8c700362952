"""Reads a spec from TOML, options or a form, and checks all of it, the files that it names too."""

from __future__ import annotations

import copy
import os
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from tui_mia.spec.audit_spec import AuditSpec, ModelSpec, OutputSpec, PoolName, PoolSpec, ReferenceSpec
from tui_mia.spec.problems import SpecError, SpecProblem, explain
from tui_mia.spec.sources import checkpoint_path, has_own_weights, matches, patterns
from tui_mia.storage import StorageError, Url, is_url, lacking_package

Table = TypeVar("Table", bound=BaseModel)

DEEPEST: Final = 32
_TOO_DEEP: Final = f"tables or lists are nested deeper than {DEEPEST}; an audit needs four"


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
    written = _resolved(read_document(path), path.resolve().parent) if path else {}
    tables = written.get("attacks", {})
    if attacks is not None and isinstance(tables, dict):
        written["attacks"] = {name: tables.get(name, {}) for name in attacks}
    for key, value in (overrides or {}).items():
        _set_dotted(written, key, value)
    return check_document(written, Path.cwd(), str(path) if path else "options")


def check_document(document: Mapping[str, Any], folder: Path, where: str) -> AuditSpec:
    """Make a spec of a document as TOML has it, whose relative paths are relative to `folder`.

    `where` says in messages what was checked.

    Raises:
        SpecError: with every problem there is, in order of the document's keys.
    """
    written = _resolved(document, folder)
    problems = []
    try:
        spec = AuditSpec.model_validate(written)
    except ValidationError as error:
        problems = list(explain(error))
    problems += [*_no_text(written), *_missing_files(written)]
    if problems:
        raise SpecError.of(where, problems)
    return spec


def read_spec(path: Path) -> AuditSpec:
    """Read a spec that `dump_spec` wrote, whether or not the files that it names are still there.

    Raises:
        SpecError: for what can't be read as a spec.
    """
    try:
        return AuditSpec.model_validate(read_document(path))
    except ValidationError as error:
        raise SpecError.of(str(path), list(explain(error))) from None


def read_document(path: Path) -> dict[str, Any]:
    """The TOML file as it is written, with nothing checked but that it is TOML.

    Raises:
        SpecError: for a file that can't be read or is no TOML.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(f"{path}: can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SpecError(f"{path}: is not UTF-8 text") from None
    except RecursionError:
        raise SpecError(f"{path}: {_TOO_DEEP}") from None
    except ValueError as error:  # not only TOML's own: a number may have more digits than Python takes
        raise SpecError(f"{path}: is not valid TOML: {error}") from None
    if _is_deep(document):
        raise SpecError(f"{path}: {_TOO_DEEP}")
    return document


def _is_deep(document: Mapping[str, Any]) -> bool:
    """Whether tables or lists lie deeper in one another than whoever walks through them can follow."""
    level: list[Any] = [document]
    for _ in range(DEEPEST):
        inside = [each.values() if isinstance(each, dict) else each for each in level]
        level = [item for items in inside for item in items if isinstance(item, dict | list)]
        if not level:
            return False
    return True


def _set_dotted(document: dict[str, Any], key: str, value: Any) -> None:
    *tables, last = key.split(".")
    for table in tables:
        inner = document.setdefault(table, {})
        if not isinstance(inner, dict):
            raise SpecError(f"{key}: {table} is not a table")
        document = inner
    document[last] = value


def map_paths(document: Mapping[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    """A copy of a document with each path in it changed, as far as it has the expected shape; not URLs."""
    copied = copy.deepcopy(dict(document))

    def changed(value: Any) -> Any:
        if isinstance(value, list):
            return [changed(item) for item in value]
        return change(value) if isinstance(value, str) and value and not is_url(value) else value

    for pool in _table(copied, "pools").values():
        for key in ("source", "keys"):
            if isinstance(pool, dict) and key in pool:
                pool[key] = changed(pool[key])
    for model in (_table(copied, "model"), _table(copied, "reference")):
        architecture, pretrained = model.get("architecture"), model.get("pretrained")
        if isinstance(architecture, str) and architecture.startswith("local-dir:"):
            model["architecture"] = "local-dir:" + changed(architecture.removeprefix("local-dir:"))
        if isinstance(pretrained, str) and checkpoint_path(pretrained):
            file = changed(pretrained)
            # Without a slash or an ending it would be a tag.
            model["pretrained"] = file if checkpoint_path(file) else f"./{file}"
    output = _table(copied, "output")
    if "database" in output:
        output["database"] = changed(output["database"])
    return copied


def pool_of(document: Mapping[str, Any], folder: Path, name: PoolName) -> PoolSpec | None:
    """One pool of a document that may be wrong elsewhere; None where this pool is."""
    return _valid(PoolSpec, _table(_table(_resolved(document, folder), "pools"), name))


def _resolved(document: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Make the paths of a document absolute."""
    return map_paths(document, lambda path: str(folder / os.path.expanduser(path)))


def _no_text(value: object, key: str = "") -> Iterator[SpecProblem]:
    """File names that are no UTF-8, which no TOML and no database can hold."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _no_text(inner, f"{key}.{name}" if key else name)
    elif isinstance(value, list):
        yield from (problem for item in value for problem in _no_text(item, key))
    elif isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
        yield SpecProblem(key, "is not valid UTF-8; rename the file")


def _missing_files(document: Mapping[str, Any]) -> Iterator[SpecProblem]:
    """What is wrong with the weights and files that the well-formed tables of a document name."""
    if model := _valid(ModelSpec, document.get("model")):
        yield from _missing_of_model("model", model)
    if reference := _valid(ReferenceSpec, document.get("reference")):
        yield from _missing_of_model("reference", reference)
    for name in get_args(PoolName):
        if pool := _valid(PoolSpec, _table(document, "pools").get(name)):
            yield from _missing_of_pool(f"pools.{name}", pool)
    output = _valid(OutputSpec, document.get("output"))
    if output and "\0" in output.database:
        yield SpecProblem("output.database", "has a NUL character, which no file name has")
    elif output and os.path.isdir(output.database):
        yield SpecProblem("output.database", f"{output.database} is a folder; name a file in it")
    elif output and os.path.islink(os.path.realpath(output.database)):
        yield SpecProblem("output.database", f"{output.database} is a link that leads back to itself")


def _missing_of_model(key: str, model: ModelSpec | ReferenceSpec) -> Iterator[SpecProblem]:
    checkpoint = checkpoint_path(model.pretrained)
    if model.pretrained and has_own_weights(model.architecture):
        # open_clip would load the others, and say so in a warning only.
        yield SpecProblem(
            f"{key}.pretrained",
            f"{model.architecture} has weights of its own, and {model.pretrained} would not be loaded; "
            f"leave it out, or name its architecture, or put it into a folder with an "
            f"open_clip_config.json and name that (local-dir:)",
        )
    elif isinstance(checkpoint, Url):
        yield from _lacking(f"{key}.pretrained", checkpoint.text)
    elif checkpoint and not os.path.isfile(checkpoint):
        yield SpecProblem(f"{key}.pretrained", f"there is no checkpoint {checkpoint}")
    folder = model.architecture.removeprefix("local-dir:")
    if folder != model.architecture and not os.path.isfile(Path(folder) / "open_clip_config.json"):
        yield SpecProblem(f"{key}.architecture", f"{folder} has no open_clip_config.json")


def _missing_of_pool(key: str, pool: PoolSpec) -> Iterator[SpecProblem]:
    for source in pool.source:
        if is_url(source):
            yield from _lacking(f"{key}.source", source)
            continue
        missing = next((pattern for pattern in patterns(source) if not matches(pattern)), None)
        if missing is not None:
            of = "" if missing == source else f", of {source}"
            yield SpecProblem(f"{key}.source", f"no file or folder matches {missing}{of}")
    if pool.keys and is_url(pool.keys):
        yield from _lacking(f"{key}.keys", pool.keys)
    elif pool.keys and not os.path.isfile(pool.keys):
        yield SpecProblem(f"{key}.keys", f"there is no file {pool.keys}")


def _lacking(key: str, url: str) -> Iterator[SpecProblem]:
    """What is wrong with a URL that can be told without the network."""
    if lacking := lacking_package(url):
        yield SpecProblem(key, lacking)
        return
    try:
        patterns(url)
    except StorageError as error:
        yield SpecProblem(key, str(error))


def _table(parent: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A table of a document; an empty one where there is none, or something else."""
    inner = parent.get(name)
    return inner if isinstance(inner, dict) else {}


def _valid(kind: type[Table], table: object) -> Table | None:
    try:
        return kind.model_validate(table)
    except ValidationError:
        return None
