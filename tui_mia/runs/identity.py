"""Which run is which: the same spec on the same files is the same audit."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from tui_mia.runs.directory import RunDirectory, runs_folder
from tui_mia.runs.state import RunState
from tui_mia.spec import AuditSpec, checkpoint_path, dump_spec, expand_source
from tui_mia.storage import Location, Url, is_url, look_at_all


def inputs_digest(spec: AuditSpec) -> str:
    """A digest of every input file's path, size and time of change; of objects their URL, size and version.

    Raises:
        StorageError: for an object that can't be looked at: to take it for changed would be wrong.
    """
    digest = hashlib.sha256()
    for path in look_at_all(list(_inputs(spec))):
        if isinstance(path, Url):
            digest.update(f"{path}\0{path.seen}\n".encode())
            continue
        digest.update(os.fsencode(path))
        try:
            status = path.stat()
        except OSError:  # a link to nowhere in a folder; whoever reads it will say so
            continue
        digest.update(f"\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def find_unfinished(spec: AuditSpec, inputs: str) -> RunDirectory | None:
    """The newest run of this spec, database and inputs, if it was cancelled or cut off.

    Not one that failed: whoever asks again has mended something, and what was
    rejected then may be there now. `tui-mia resume` goes on with it.
    """
    text = dump_spec(spec)
    for folder in sorted(runs_folder(Path(spec.output.database)).glob("*/"), reverse=True):
        directory = RunDirectory(folder)
        try:
            asked = directory.spec_path.read_text(encoding="utf-8")
            same = asked == text and directory.inputs_path.read_text() == inputs
        except (OSError, UnicodeDecodeError):
            continue
        if same:
            finished = RunState.of(directory.events()).finished
            goes_on = finished is None or finished.status == "cancelled" or finished.cut_off
            return directory if goes_on else None
    return None


def _inputs(spec: AuditSpec) -> Iterator[Location]:
    for model in filter(None, (spec.model, spec.reference_model)):
        folder = model.architecture.removeprefix("local-dir:")
        if folder != model.architecture:
            yield from _files(Path(folder))
        if checkpoint := checkpoint_path(model.pretrained):
            yield checkpoint
    for pool in spec.pool_specs().values():
        if pool.keys:
            yield Url(pool.keys) if is_url(pool.keys) else Path(pool.keys)
        for source in pool.source:
            for path in expand_source(source):
                yield from _files(path)


def _files(path: Location) -> Iterator[Location]:
    if isinstance(path, Url) or path.is_file():
        yield path
        return
    for folder, subfolders, names in os.walk(path):
        subfolders.sort()
        yield from (Path(folder, name) for name in sorted(names))
