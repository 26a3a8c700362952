"""The files that a spec names: paths and URLs, globs and brace ranges."""

from __future__ import annotations

import glob
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from braceexpand import braceexpand

from tui_mia.storage import Location, StorageError, Url, expand_url, is_url

MOST_NAMES: Final = 100_000
_LONGEST_NUMBER: Final = 18
_DEEPEST_BRACES: Final = 20
_LETTERS_A_RANGE: Final = 58
_NUMBERS: Final = re.compile(r"\{(-?\d+)\.\.(-?\d+)")
_LETTERS: Final = re.compile(r"\{[A-Za-z]\.\.[A-Za-z]")


def expand_source(source: str) -> list[Location]:
    """The files, folders or objects that a path, URL, glob or brace range names, sorted; may be empty.

    Objects need not be there, unless a glob names them: then their store is asked.

    Raises:
        StorageError: for globs of URLs that name nothing or can't be listed.
    """
    if is_url(source):
        return [url for pattern in patterns(source) for url in expand_url(pattern)]
    return [Path(match) for pattern in patterns(source) for match in sorted(matches(pattern))]


def patterns(source: str) -> list[str]:
    """The names and globs that a source stands for; with too many names it is taken for a file name.

    Raises:
        StorageError: for a URL with too many names.
    """
    if not is_url(source) and _exists(source):
        return [source]
    if _names(source) > MOST_NAMES:
        if is_url(source):
            raise StorageError(
                source, f"stands for more than {MOST_NAMES:,} names; name fewer, or use a glob"
            )
        return [source]
    try:
        return list(braceexpand(source))
    except ValueError:  # unbalanced braces are a plain file name
        return [source]


def _names(source: str) -> float:
    """At least as many names as the braces in a source stand for; one too many must not fill the memory."""
    ends = _NUMBERS.findall(source)
    if any(len(end) > _LONGEST_NUMBER for pair in ends for end in pair):
        return math.inf
    names: int = math.prod(abs(int(last) - int(first)) + 1 for first, last in ends)
    names *= _LETTERS_A_RANGE ** len(_LETTERS.findall(source))
    open_braces: list[int] = []
    for character in source:
        if character == "{":
            open_braces.append(1)
        elif character == "," and open_braces:
            open_braces[-1] += 1
        elif character == "}" and open_braces:
            names *= open_braces.pop()
        if names > MOST_NAMES or len(open_braces) > _DEEPEST_BRACES:
            return math.inf
    return names


def matches(pattern: str) -> list[str]:
    """What there is under a path or glob; a file whose name looks like a glob is itself."""
    if _exists(pattern):
        return [pattern]
    if "\0" in pattern:
        return []
    above, anywhere, below = _parts(pattern)
    return list(dict.fromkeys(_found_below(above, below))) if anywhere else glob.glob(pattern)


def _parts(pattern: str) -> tuple[str, bool, str]:
    """What stands before and behind the first `**` of a pattern, and whether there is one."""
    parts = pattern.split("/")
    if "**" not in parts:
        return pattern, False, ""
    at = parts.index("**")
    behind = at
    while parts[behind : behind + 1] == ["**"]:
        behind += 1
    return "/".join(parts[:at]) or ("/" if at else "."), True, "/".join(parts[behind:])


def _found_below(above: str, below: str) -> Iterator[str]:
    """What a pattern names in any folder below those that `above` does.

    Each folder is looked into once, whatever links there are to it: `glob` would go
    round in those that lead back.
    """
    seen: set[tuple[int, int]] = set()
    for top in sorted(matches(above)):
        for place, folders, files in os.walk(top, followlinks=True):
            status = os.stat(place)
            if (status.st_dev, status.st_ino) in seen:
                folders.clear()
                continue
            seen.add((status.st_dev, status.st_ino))
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            if below:
                yield from matches(os.path.join(glob.escape(place), below))
            else:
                yield place
                yield from (os.path.join(place, name) for name in files if not name.startswith("."))


def _exists(path: str) -> bool:
    """Whether there is something of that very name; a name with NUL in it is nobody's."""
    return "\0" not in path and os.path.lexists(path)


def has_own_weights(architecture: str) -> bool:
    """Whether an architecture is a folder (`local-dir:`) or a place on a hub, which has its own weights."""
    return ":" in architecture


def checkpoint_path(pretrained: str | None) -> Location | None:
    """The file or object that `pretrained` names, or None where it is a tag."""
    if pretrained is None:
        return None
    if is_url(pretrained):
        return Url(pretrained)
    looks_like_a_file = "/" in pretrained or pretrained.endswith((".pt", ".pth", ".bin", ".safetensors"))
    return Path(pretrained) if looks_like_a_file else None
