"""The files that a spec names: paths, globs and brace ranges."""

from __future__ import annotations

import glob
import math
import os
import re
from pathlib import Path
from typing import Final

from braceexpand import braceexpand

MOST_NAMES: Final = 100_000


def expand_source(source: str) -> list[Path]:
    """The files or folders that a path, glob or brace range names, sorted; may be empty."""
    return [Path(match) for pattern in patterns(source) for match in sorted(matches(pattern))]


def patterns(source: str) -> list[str]:
    """The paths and globs that a source stands for; with too many names it is taken for a file name."""
    if os.path.lexists(source):
        return [source]
    if _names(source) > MOST_NAMES:
        return [source]
    try:
        return list(braceexpand(source))
    except ValueError:  # unbalanced braces are a plain file name
        return [source]


def _names(source: str) -> float:
    """How many names the numeric ranges in a source stand for; one zero too many must not fill the memory."""
    ends = re.findall(r"\{(-?\d+)\.\.(-?\d+)", source)
    return math.prod(abs(float(last) - float(first)) + 1 for first, last in ends)


def matches(pattern: str) -> list[str]:
    """What there is under a path or glob; a file whose name looks like a glob is itself."""
    return [pattern] if os.path.lexists(pattern) else glob.glob(pattern, recursive=True)


def checkpoint_path(pretrained: str | None) -> Path | None:
    """The file that `pretrained` names, or None where it is a tag."""
    if pretrained is None:
        return None
    looks_like_a_file = "/" in pretrained or pretrained.endswith((".pt", ".pth", ".bin", ".safetensors"))
    return Path(pretrained) if looks_like_a_file else None
