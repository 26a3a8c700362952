"""Features of the blind baselines: how a caption is written, its n-grams, and scales learnt from a part."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack
from sklearn.feature_extraction.text import HashingVectorizer

# Features [n, F]: float64, an array, or a sparse one of n-grams.
Features: TypeAlias = Any
Transform: TypeAlias = Callable[[Features], Features]

LONGEST_CAPTION = 500
_BINS = 8
_URL = re.compile(r"https?:|www\.|\.(?:com|org|net|jpe?g|png)\b", re.IGNORECASE)
_YEAR = re.compile(r"\b(?:19|20)\d\d\b")
_FUNCTION_WORDS = {"a", "an", "and", "are", "at", "by", "for", "from", "in", "is", "it"}
_FUNCTION_WORDS |= {"of", "on", "or", "that", "the", "this", "to", "with"}
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


_WORDS = HashingVectorizer(n_features=2**17, ngram_range=(1, 2), norm=None, alternate_sign=False)
_CHARACTERS = HashingVectorizer(
    n_features=2**17, ngram_range=(2, 4), analyzer="char_wb", lowercase=False, norm=None, alternate_sign=False
)


def caption_ngrams(captions: Sequence[str]) -> Features:
    """Counts of word 1-2-grams and of character 2-4-grams, hashed: no vocabulary to fit."""
    # A lone surrogate can't be hashed.
    texts = [caption[:LONGEST_CAPTION].encode("utf-8", "replace").decode() for caption in captions]
    counts = hstack([_WORDS.transform(texts), _CHARACTERS.transform(texts)], format="csr")
    return csr_array(counts, dtype=np.float64)


def weigh_ngrams(counts: Features) -> Transform:
    """TF-IDF by the given samples' document frequencies; n-grams that only one of them has are left out."""
    frequency = np.bincount(counts.indices, minlength=counts.shape[1])
    columns = np.flatnonzero(frequency >= 2)
    words = int(np.searchsorted(columns, _WORDS.n_features))
    rarity = np.log((1 + counts.shape[0]) / (1 + frequency[columns])) + 1

    def transform(samples: Features) -> Features:
        kept = samples[:, columns]
        kept.data = (1 + np.log(kept.data)) * rarity[kept.indices]
        return hstack([_unit_rows(kept[:, :words]), _unit_rows(kept[:, words:])], format="csr")

    return transform


def _unit_rows(matrix: Features) -> Features:
    lengths = np.sqrt(matrix.multiply(matrix).sum(axis=1))
    matrix.data /= np.repeat(lengths, np.diff(matrix.indptr))
    return matrix


def scale(known: Features) -> Transform:
    """Standardised by the given samples, cut off at 4 deviations; what varies in none is left out."""
    mean, deviation = known.mean(axis=0), known.std(axis=0)
    varied = np.flatnonzero(deviation > 1e-6)

    def transform(samples: Features) -> Features:
        return np.clip((samples[:, varied] - mean[varied]) / deviation[varied], -4, 4)

    return transform


def scale_and_square(known: Features) -> Transform:
    """Also the squares: what lies on both sides of the others is no straight line."""
    standardise = scale(known)

    def transform(samples: Features) -> Features:
        scaled = standardise(samples)
        return np.concatenate([scaled, (scaled**2 - 1) / 2], axis=1)

    return transform


def scale_and_bin(known: Features) -> Transform:
    """Also one-hot bins between quantiles: one exact width or length may be a side's own."""
    standardise = scale(known)
    steps = np.arange(1, _BINS) / _BINS
    edges = [np.unique(np.quantile(column, steps, method="lower")) for column in known.T]
    edges = [np.sort(np.concatenate([edge, np.nextafter(edge, np.inf)])) for edge in edges]

    def transform(samples: Features) -> Features:
        parts = [standardise(samples)]
        for column, edge in zip(samples.T, edges, strict=True):
            if len(edge) > 2:
                bins = np.searchsorted(edge, column, side="right")
                parts.append((bins[:, None] == np.arange(len(edge) + 1)) / 2.0)
        return np.concatenate(parts, axis=1)

    return transform
