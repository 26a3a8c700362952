"""The form of a caption: how it is written, not what it says."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_URL = re.compile(r"https?:|www\.|\.(?:com|org|net|jpe?g|png)\b", re.IGNORECASE)
_YEAR = re.compile(r"\b(?:19|20)\d\d\b")
_FUNCTION_WORDS = frozenset("a an and are at by for from in is it of on or that the this to with".split())
_MARKS = ".,:;!?'\"()[]-_/|#&"


def caption_form(captions: Sequence[str]) -> NDArray[np.float64]:
    """Length, case, digits, punctuation and the like of n captions: [n, F], finite."""
    if not captions:
        return np.empty((0, len(_form(""))))
    return np.array([_form(caption) for caption in captions])


def _form(caption: str) -> list[float]:
    words = caption.split()
    characters, count = max(len(caption), 1), max(len(words), 1)
    lower = [word.lower() for word in words]
    first, last = caption[:1], caption[-1:]
    return [
        np.log1p(len(caption)),
        np.log1p(len(words)),
        len(caption) / count,
        max(map(len, words), default=0),
        len(set(lower)) / count,
        sum(word in _FUNCTION_WORDS for word in lower) / count,
        sum(word[:1].isupper() for word in words) / count,
        sum(map(str.isupper, caption)) / characters,
        sum(map(str.isdigit, caption)) / characters,
        sum(character > "\x7f" for character in caption) / characters,
        caption.count("\n"),
        first.isupper(),
        first.isdigit(),
        last.isalnum(),
        bool(_URL.search(caption)),
        bool(_YEAR.search(caption)),
        *(caption.count(mark) for mark in _MARKS),
        *(last == mark for mark in ".!?"),
    ]
