"""Files that appear whole or not at all, readable by their owner only."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tui_mia.runs.files import private_folder
from tui_mia.store.errors import ExportError

UNFINISHED: Final = ".tui-mia-"


@contextmanager
def appearing(output: Path, *, overwrite: bool) -> Iterator[Path]:
    """A file to write in the block, alone in a private folder; when the block has ended well it is `output`.

    Raises `ExportError` where `output` can't be written, or exists and `overwrite` is not asked for.
    """
    if output.is_dir():
        raise ExportError(f"{output} is a folder: name a file in it.")
    if output.exists() and not overwrite:
        raise ExportError(f"{output} exists already: choose another name, or write over it with --force.")
    try:
        with private_folder(output.parent, UNFINISHED) as private:
            unfinished = private.resolve() / "export"
            yield unfinished
            unfinished.chmod(0o600)
            os.replace(unfinished, output)
    except OSError as error:
        raise ExportError(f"can't write {output}: {error.strerror}.") from error
