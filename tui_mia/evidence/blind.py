"""Blind baselines: can the two sides be told apart without the model?

Published member and non-member collections differ so much that classifiers
which never saw the model beat the attacks on it (Das et al. 2024). Five such
classifiers are tried here. Every score is out-of-fold: whatever is fitted
(n-gram weights, scales, bins, the strength of regularisation, the mixture of
all) is fitted without the fold that it scores, and near-duplicates stay in one
fold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from tui_mia.evidence.blind_features import (
    Features,
    Transform,
    caption_form,
    caption_ngrams,
    scale,
    scale_and_bin,
    scale_and_square,
    weigh_ngrams,
)
from tui_mia.evidence.logistic import logistic_path
from tui_mia.evidence.looks import Appearances, Looks

FAMILIES = ("caption_ngrams", "caption_form", "image_form", "image_statistics")
BLIND = (*FAMILIES, "all")
FEWEST_A_SIDE = 5
FOLDS, INNER_FOLDS = 5, 3
# Classifiers of different folds share most of what they were fitted to, so that their AUCs go astray
# together: without any difference a pooled AUC varies by this much more than DeLong's variance says
# (Nadeau and Bengio 2003, 1 + folds * test / train; 200 simulated sets bear it out).
VARIANCE_FACTOR = 1 + FOLDS / (FOLDS - 1)
FITTED_ON_AT_MOST = 50_000
# Of these and of the fold that is held out.
DRAWN_AT_MOST = FITTED_ON_AT_MOST * FOLDS // (FOLDS - 1)
# The strength of regularisation is chosen on no more than these.
CHOSEN_ON_AT_MOST = 4_000
SCORED_AT_ONCE = 20_000
DEALT_AT_ONCE = 100_000
# About the milliseconds that the parts take, for progress: of a sample, and of a family's choice and fit in
# a fold, the first by as many as the choice is made on and the second a sample.
_HASHED, _SCORED = 0.006, 0.17
_CHOICE = {"caption_ngrams": 1200, "caption_form": 150, "image_form": 500, "image_statistics": 500}
_FIT = {"caption_ngrams": 0.08, "caption_form": 0.01, "image_form": 0.02, "image_statistics": 0.01}

_Floats: TypeAlias = NDArray[np.float64]
_Rows: TypeAlias = NDArray[np.int64]
_Bools: TypeAlias = NDArray[np.bool_]
_Score: TypeAlias = Callable[[Features], _Floats]


@dataclass(frozen=True)
class _Family:
    """`read` gives features that depend on nothing else; each of `prepared` learns a transform of them.

    A classifier is chosen among the transforms and, from weak to strong fits,
    the `strengths` (C of the logistic regression).
    """

    read: Callable[[Appearances], Features]
    prepared: tuple[Callable[[Features], Transform], ...]
    strengths: tuple[float, ...]


def blind_scores(
    positive: NDArray[np.bool_],
    looks: Looks,
    groups: NDArray[np.int64],
    seed: int,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, NDArray[np.float64]]:
    """Out-of-fold scores [n], higher for what looks positive, of each of `BLIND`.

    Class-balanced logistic regressions in five folds that hold both sides in
    equal parts, their settings chosen by three inner folds; "all" weighs the
    other four by their inner out-of-fold scores. Scores are ranks within a
    fold, 0 to 1: raw ones of different folds differ by what the folds were
    not fitted to, which biases a pooled AUC below 0.5. The order of the rows
    changes nothing. All are scored, a block at a time; of more than
    `DRAWN_AT_MOST` so many are drawn by a hash of what is seen, and fitted to.

    Args:
        positive: [n], the side of each sample.
        looks: of the n samples.
        groups: [n] ids of near-duplicates; a group is never cut by a fold.
        seed: of the hash that deals groups to folds.
        on_progress: hears how much of the work is done, of how much.

    Returns:
        Nothing where either side has fewer than five samples or groups.
    """
    work = _Work(len(positive), on_progress)
    keys = _content_keys(looks, seed, work)
    order = np.lexsort((positive, keys))
    # Threads that wait for each other over small matrices made it twenty times slower.
    with threadpool_limits(1):
        scores = _in_canonical_order(positive[order], looks, order, groups[order], work)
    for values in scores.values():
        values[order] = values.copy()
    return scores


def drawn(positives: int, negatives: int) -> int:
    """How many samples of two sides the classifiers of all folds are fitted to."""
    return len(_some_of_each(np.arange(positives + negatives) < positives, DRAWN_AT_MOST))


class _Work:
    """How much of the work is done, in about the milliseconds that it takes."""

    def __init__(self, samples: int, on_progress: Callable[[int, int], None]) -> None:
        fitted = min(samples, DRAWN_AT_MOST)
        chosen = min(fitted / CHOSEN_ON_AT_MOST, 1)
        self._a_fold = {name: _CHOICE[name] * chosen + _FIT[name] * fitted for name in FAMILIES}
        self._total = samples * (_HASHED + _SCORED) + FOLDS * sum(self._a_fold.values())
        self._done = 0.0
        self._on_progress = on_progress

    def hashed(self, samples: int) -> None:
        self._tell(samples * _HASHED)

    def fitted(self, family: str) -> None:
        self._tell(self._a_fold[family])

    def scored(self, samples: int) -> None:
        self._tell(samples * _SCORED)

    def _tell(self, done: float) -> None:
        self._done += done
        self._on_progress(round(self._done), max(round(self._total), 1))


def _in_canonical_order(
    positive: _Bools, looks: Looks, order: _Rows, groups: _Rows, work: _Work
) -> dict[str, _Floats]:
    for side in (positive, ~positive):
        if len(np.unique(groups[side])) < FEWEST_A_SIDE:
            return {}
    fold = _deal(positive, groups, FOLDS)
    fitted = _some_of_each(positive, DRAWN_AT_MOST)
    weights_of: dict[int, list[_Floats]] = {held: [] for held in range(FOLDS)}
    models: dict[str, list[_Score]] = {}
    seen = looks.take(order[fitted])
    for name in FAMILIES:
        family = _FAMILY_OF[name]
        features = family.read(seen)
        models[name] = []
        for held in range(FOLDS):
            rows = np.flatnonzero(fold[fitted] != held)
            at = fitted[rows]
            score, inner = _nested_fit(family, features[rows], positive[at], groups[at])
            models[name].append(score)
            weights_of[held].append(inner)
            work.fitted(name)
    del seen, features
    logits = _logits(models, looks, order, fold, work)
    for held in range(FOLDS):
        rows, there = fitted[fold[fitted] != held], np.flatnonzero(fold == held)
        weights = _mixture(positive[rows], np.stack(weights_of[held], axis=1))
        parts = np.stack([_standardised(logits[name][there]) for name in FAMILIES], axis=1)
        logits["all"][there] = parts @ weights
        for values in logits.values():
            values[there] = (rankdata(_coarse(values[there])) - 0.5) / len(there)
    return logits


def _logits(
    models: Mapping[str, Sequence[_Score]], looks: Looks, order: _Rows, fold: _Rows, work: _Work
) -> dict[str, _Floats]:
    """Each of [n] samples by the model of its fold, for each family; with room for the mixture."""
    logits = {name: np.zeros(len(order)) for name in BLIND}
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    for rows in looks.blocks(SCORED_AT_ONCE):
        # In canonical order, so that sums of few samples are rounded as if all were one block.
        block = np.sort(place[rows])
        seen = looks.take(order[block])
        for name, of_folds in models.items():
            features = _FAMILY_OF[name].read(seen)
            for held, model in enumerate(of_folds):
                there = np.flatnonzero(fold[block] == held)
                if len(there):
                    logits[name][block[there]] = model(features[there])
        work.scored(len(rows))
    return logits


def _nested_fit(
    family: _Family, features: Features, positive: _Bools, groups: _Rows
) -> tuple[_Score, _Floats]:
    """The classifier of [n] samples by the best of the family's settings, and their inner out-of-fold scores.

    Those are standardised within an inner fold, and NaN for samples that the choice was not made on.
    """
    chosen_on = _some_of_each(positive, CHOSEN_ON_AT_MOST)
    fold = _deal(positive[chosen_on], groups[chosen_on], INNER_FOLDS)
    settings = [(which, c) for which in range(len(family.prepared)) for c in family.strengths]
    inner = np.zeros((len(settings), len(chosen_on)))
    wins, pairs = np.zeros(len(settings)), 0
    for held in range(INNER_FOLDS):
        rows, there = chosen_on[fold != held], np.flatnonzero(fold == held)
        here = positive[chosen_on[there]]
        pairs += (both := int(here.sum() * (~here).sum()))
        for which, prepare in enumerate(family.prepared):
            transform = prepare(features[rows])
            train, test = transform(features[rows]), transform(features[chosen_on[there]])
            fits = _fits(family, train, positive[rows], family.strengths)
            for place, score in enumerate(fits, start=which * len(family.strengths)):
                values = _standardised(score(test))
                inner[place, there] = values
                wins[place] += both * _auc(here, values) if both else 0
    # Of settings that are as good as the best the first is taken, which fits least.
    best = int(np.argmax(wins >= wins.max() - 0.002 * pairs))
    which, c = settings[best]
    transform = family.prepared[which](features)
    (score,) = _fits(family, transform(features), positive, [c])
    all_inner = np.full(len(positive), np.nan)
    all_inner[chosen_on] = inner[best]
    return lambda samples: score(transform(samples)), all_inner


def _fits(
    family: _Family, features: Features, positive: _Bools, strengths: Sequence[float]
) -> Iterator[_Score]:
    """A classifier a strength. Where a side is missing all scores are 0."""
    if not 0 < positive.sum() < len(positive) or not features.shape[1]:
        for _ in strengths:
            yield lambda samples: np.zeros(samples.shape[0])
    elif issparse(features):
        for strength in strengths:
            model = LogisticRegression(solver="liblinear", class_weight="balanced", C=strength, tol=1e-3)
            yield model.fit(features, positive).decision_function
    else:
        for weights, intercept in logistic_path(features, positive, strengths):
            yield _linear(weights, intercept)


def _linear(weights: _Floats, intercept: float) -> _Score:
    return lambda samples: samples @ weights + intercept


def _mixture(positive: _Bools, inner: _Floats) -> _Floats:
    """Weights [families] by a logistic regression of the inner scores [n, families], none below 0."""
    known = np.isfinite(inner).all(axis=1)
    ((fitted, _),) = logistic_path(inner[known], positive[known], [0.1])
    weights: _Floats = np.maximum(fitted, 0)
    return weights if weights.any() else np.ones_like(weights)


def _auc(positive: _Bools, scores: _Floats) -> float:
    ranks, ones = rankdata(scores), int(positive.sum())
    return float((ranks[positive].mean() - (ones + 1) / 2) / (len(scores) - ones))


def _standardised(scores: _Floats) -> _Floats:
    deviation = scores.std()
    return (scores - scores.mean()) / deviation if deviation > 1e-9 else np.zeros_like(scores)


def _coarse(scores: _Floats) -> _Floats:
    """To nine digits of the largest: equal samples tie, whichever way their sums were rounded."""
    largest = np.abs(scores).max(initial=0)
    return np.round(scores / largest, 9) if largest > 0 else scores


def _content_keys(looks: Looks, seed: int, work: _Work) -> NDArray[np.uint64]:
    """A hash of what is seen of each sample: the same whatever the order of the samples."""
    salt = seed.to_bytes(16, "little", signed=True)
    keys = np.empty(len(looks), np.uint64)
    for rows in looks.blocks(SCORED_AT_ONCE):
        seen = looks.take(rows)
        pictures = np.concatenate([seen.form, seen.statistics], axis=1, dtype=np.float32)
        digests = (
            blake2b(
                row.tobytes() + caption.encode("utf-8", "surrogatepass"), digest_size=8, salt=salt
            ).digest()
            for row, caption in zip(pictures, seen.captions, strict=True)
        )
        keys[rows] = np.frombuffer(b"".join(digests), np.uint64)
        work.hashed(len(rows))
    return keys


def _deal(positive: _Bools, groups: _Rows, folds: int) -> _Rows:
    """The fold of each of [n] samples: groups whole, largest first, each to where its side is scarcest."""
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    group = np.argsort(np.argsort(first))[group]
    ones, zeros = np.bincount(group, positive), np.bincount(group, ~positive)
    dealt = np.zeros(len(first), np.int64)
    ones_in, zeros_in = [0.0] * folds, [0.0] * folds
    all_ones, all_zeros = ones.sum(), zeros.sum()
    order = np.argsort(-(ones + zeros), kind="stable")
    # Python's numbers are fast one by one and take many times the memory.
    for start in range(0, len(order), DEALT_AT_ONCE):
        places = order[start : start + DEALT_AT_ONCE]
        folds_of: list[int] = []
        for a, b in zip(ones[places].tolist(), zeros[places].tolist(), strict=True):
            costs = [a * x / all_ones + b * y / all_zeros for x, y in zip(ones_in, zeros_in, strict=True)]
            fold = costs.index(min(costs))
            ones_in[fold] += a
            zeros_in[fold] += b
            folds_of.append(fold)
        dealt[places] = folds_of
    return dealt[group]


def _some_of_each(positive: _Bools, most: int) -> _Rows:
    """Up to `most` rows, in order: the first of each side, half of them the rarer one's if it has as many."""
    sides = [np.flatnonzero(positive), np.flatnonzero(~positive)]
    rare = min(len(side) for side in sides)
    shares = [max(most // 2, most - rare) if len(side) > rare else most // 2 for side in sides]
    return np.sort(np.concatenate([side[:share] for side, share in zip(sides, shares, strict=True)]))


_DENSE = (0.001, 0.01, 0.1, 1.0)
_FAMILY_OF = {
    "caption_ngrams": _Family(lambda seen: caption_ngrams(seen.captions), (weigh_ngrams,), (0.1, 1.0, 10.0)),
    "caption_form": _Family(lambda seen: caption_form(seen.captions), (scale, scale_and_bin), _DENSE),
    "image_form": _Family(lambda seen: seen.form.astype(np.float64), (scale, scale_and_bin), _DENSE),
    "image_statistics": _Family(
        lambda seen: seen.statistics.astype(np.float64),
        (scale, scale_and_square),
        _DENSE,
    ),
}
