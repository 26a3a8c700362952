"""Runs attacks over folds: nothing is scored by what was fitted to it.

The known non-members are cut into five folds by the hash of their images, so
that the captions of one image stay together. An attack is fitted once a fold,
without that fold. A known non-member is scored by the fit that left it out, a
candidate by the mean over all fits; `placing` compares the two within each fold.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from tui_mia.attacks.attack import Attack, AttackError, Fitted, FittedTogether, Floats, Known
from tui_mia.attacks.placing import Numbers, Placing, RawScores, calibrated, finish
from tui_mia.embedded import Block, Pool, Subset
from tui_mia.scored import CALIBRATED, AttackScores

FOLDS = 5
BLOCK = 4096


@dataclass(frozen=True)
class AttackPools:
    """The pools of an audit after encoding; None where one was not given."""

    candidates: Pool
    nonmembers: Pool | None
    general: Pool | None
    bank: Pool | None


@dataclass(frozen=True)
class Reference:
    """The same samples in the same order, as a model sees them that never saw the candidates."""

    pools: AttackPools
    logit_scale: float


@dataclass(frozen=True)
class Outcome:
    """The scores of each attack that ran, and the reason for each that was skipped or failed.

    `reference` has the scores that the attacks that ran on the target give the
    reference model, and `reference_failed` why one of them gives it none; both
    are empty where there is no reference.
    """

    scores: list[AttackScores] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    reference: list[AttackScores] = field(default_factory=list)
    reference_failed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Fits:
    """One attack, fitted: for each group of candidates, one fit a fold."""

    attack: str
    groups: list[list[Fitted]]


@dataclass(frozen=True)
class _Model:
    """What the attacks say of one model; `calibratable` are the raw scores that a calibrated attack needs."""

    scores: list[AttackScores]
    skipped: dict[str, str]
    failed: dict[str, str]
    calibratable: dict[str, RawScores]


def run_attacks(
    attacks: Sequence[Attack],
    pools: AttackPools,
    logit_scale: float,
    seed: int,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    reference: Reference | None = None,
) -> Outcome:
    """Fit every attack that these pools allow, then score all of them in one pass over the samples.

    With a `reference` the attacks that ran on the target run on it as well,
    fitted to what the reference sees, and the calibrated attacks join the
    scores: the target's score minus the reference's, fold by fold and both in
    deviations. An attack that can't be fitted costs the others nothing: it is
    named in `Outcome.failed` with what to change.
    """
    if reference is None:
        target = _run(attacks, pools, logit_scale, seed, on_progress, ())
        return Outcome(target.scores, target.skipped, target.failed)
    target = _run(
        attacks, pools, logit_scale, seed, lambda done, total: on_progress(done, 2 * total), CALIBRATED
    )
    ran = {scores.attack for scores in target.scores}
    beside = _run(
        [attack for attack in attacks if attack.name in ran],
        reference.pools,
        reference.logit_scale,
        seed,
        lambda done, total: on_progress(total + done, 2 * total),
        target.calibratable,
    )
    folds = None if pools.nonmembers is None else folds_of(pools.nonmembers)
    both = [
        finish(calibrated(raw, beside.calibratable[name], CALIBRATED[name], folds), folds)
        for name, raw in target.calibratable.items()
        if name in beside.calibratable
    ]
    scores = [*target.scores, *both]
    return Outcome(scores, target.skipped, target.failed, beside.scores, beside.skipped | beside.failed)


def _run(
    attacks: Sequence[Attack],
    pools: AttackPools,
    logit_scale: float,
    seed: int,
    on_progress: Callable[[int, int], None],
    calibratable: Collection[str],
) -> _Model:
    """Carry out the attacks on one model; the raw scores of those that are `calibratable` are kept too."""
    known = Known(pools.nonmembers, pools.general, pools.bank, logit_scale, seed)
    outcome = _Model([], {}, {}, {})
    fitted: list[_Fits] = []
    # Half of the progress is fitting, half is the pass over the samples.
    known_count = 0 if pools.nonmembers is None else len(pools.nonmembers)
    half = max(1, known_count + len(pools.candidates))
    for number, attack in enumerate(attacks):
        lacking = _lacking(attack, pools)
        if lacking is not None:
            outcome.skipped[attack.name] = lacking
            continue

        def on_fit(share: float, number: int = number) -> None:
            on_progress(int(half * (number + share) / len(attacks)), 2 * half)

        try:
            fitted.append(_fit(attack, pools, known, on_fit))
        except AttackError as error:
            outcome.failed[attack.name] = str(error)

    nonmembers = _score_nonmembers(fitted, pools.nonmembers, lambda rows: on_progress(half + rows, 2 * half))
    folds = None if pools.nonmembers is None else folds_of(pools.nonmembers)
    places = [
        _Place.of(fits, len(pools.candidates), of_attack, folds, fits.attack in calibratable)
        for fits, of_attack in zip(fitted, nonmembers, strict=True)
    ]
    _score_candidates(places, pools.candidates, lambda rows: on_progress(half + known_count + rows, 2 * half))
    for place in places:
        fits = place.fits
        broken = place.broken + np.count_nonzero(~np.isfinite(place.nonmembers).all(axis=0))
        if broken:
            outcome.failed[fits.attack] = (
                f"{fits.attack}: the scores of {broken} samples are not finite numbers"
            )
            continue
        facts = _mean_facts([fit for group in fits.groups for fit in group])
        outcome.scores.append(place.placing.finish(facts))
        if place.raw is not None:
            group_of = _groups_of(pools.candidates, fits)
            outcome.calibratable[fits.attack] = RawScores(
                fits.attack, group_of, place.raw, place.nonmembers, facts
            )
    return outcome


@dataclass
class _Place:
    """An attack at work on the candidates: where each comes to stand, and its raw scores [F, n] if wanted.

    `nonmembers` [G, m] are scored before; `broken` is how many candidates had a score that is no number.
    """

    fits: _Fits
    nonmembers: Floats
    placing: Placing
    raw: Floats | None
    broken: int = 0

    @classmethod
    def of(cls, fits: _Fits, candidates: int, nonmembers: Floats, folds: Numbers | None, raw: bool) -> _Place:
        count = len(fits.groups[0])
        placing = Placing(fits.attack, count, candidates, nonmembers, folds)
        return cls(fits, nonmembers, placing, np.empty((count, candidates)) if raw else None)

    def add(self, rows: slice, group_of: Numbers, block: Block) -> None:
        scores = np.empty((len(self.fits.groups[0]), len(block)))
        for group, fits_of_group in enumerate(self.fits.groups):
            inside = group_of == group
            of_group = block if inside.all() else block[inside]
            for fold, fit in enumerate(fits_of_group):
                scores[fold, inside] = fit.score(of_group)
        self.broken += int(np.count_nonzero(~np.isfinite(scores).all(axis=0)))
        self.placing.add(rows, group_of, scores)
        if self.raw is not None:
            self.raw[:, rows] = scores


def folds_of(pool: Pool) -> Numbers:
    """The fold of each sample, 0 to 4: [n], by its image alone."""
    return (pool.image_keys % np.uint64(FOLDS)).astype(np.int8)


def _lacking(attack: Attack, pools: AttackPools) -> str | None:
    """Why these pools don't allow an attack at all, and what to add; None where they do."""
    if pools.nonmembers is not None:
        return None
    if "nonmembers" in attack.needs:
        return "needs known non-members; add [pools.nonmembers]"
    if "general" in attack.needs and pools.general is None:
        # Fitted to the halves of the candidates, its scores could only be compared through known non-members.
        return "needs a general pool or known non-members; add [pools.general]"
    return None


def _fit(attack: Attack, pools: AttackPools, known: Known, on_fit: Callable[[float], None]) -> _Fits:
    """Fit once a fold; without a general pool, once a fold and half of the candidates, to the other half.

    `on_fit` hears which share of this is done.
    """
    if "general" not in attack.needs or pools.general is not None:
        generals: list[Pool | None] = [pools.general]
    else:
        halves = _halves_of(pools.candidates)
        generals = [_where(pools.candidates, halves != half) for half in (0, 1)]
    groups: list[list[Fitted]] = []
    for group, general in enumerate(generals):
        folds = [
            replace(known, nonmembers=nonmembers, general=general)
            for nonmembers in _complements(known.nonmembers)
        ]
        if isinstance(attack, FittedTogether):
            groups.append(attack.fit_folds(folds))
            on_fit((group + 1) / len(generals))
            continue
        groups.append([])
        for done, fold in enumerate(folds, start=1):
            groups[group].append(attack.fit(fold))
            on_fit((group + done / FOLDS) / len(generals))
    return _Fits(attack.name, groups)


def _complements(nonmembers: Pool | None) -> Sequence[Pool | None]:
    """The known non-members without each fold in turn; nothing, once, where there are none."""
    if nonmembers is None:
        return [None]
    folds = folds_of(nonmembers)
    return [_where(nonmembers, folds != fold) for fold in range(FOLDS)]


def _score_nonmembers(
    fitted: Sequence[_Fits], pool: Pool | None, on_rows: Callable[[int], None]
) -> list[Floats]:
    """For each attack [groups, m]: every known non-member by the fits that left its fold out."""
    if pool is None:
        return [np.empty((len(fits.groups), 0)) for fits in fitted]
    scores = [np.empty((len(fits.groups), len(pool))) for fits in fitted]
    folds = folds_of(pool)
    for rows, block in _blocks(pool, fitted):
        for fold in range(FOLDS):
            inside = folds[rows] == fold
            of_fold = block[inside]
            for fits, out in zip(fitted, scores, strict=True):
                for group, fits_of_group in enumerate(fits.groups):
                    out[group, rows][inside] = fits_of_group[fold].score(of_fold)
        on_rows(rows.stop)
    return scores


def _score_candidates(places: Sequence[_Place], pool: Pool, on_rows: Callable[[int], None]) -> None:
    """Every candidate by every fit of its group."""
    groups = {len(place.fits.groups): _groups_of(pool, place.fits) for place in places}
    for rows, block in _blocks(pool, [place.fits for place in places]):
        for place in places:
            place.add(rows, groups[len(place.fits.groups)][rows], block)
        on_rows(rows.stop)


def _mean_facts(fits: Sequence[Fitted]) -> dict[str, float]:
    """The mean of each fact over the fits that give it."""
    names = dict.fromkeys(name for fit in fits for name in fit.facts)
    return {name: float(np.mean([fit.facts[name] for fit in fits if name in fit.facts])) for name in names}


def _groups_of(pool: Pool, fits: _Fits) -> Numbers:
    return _halves_of(pool) if len(fits.groups) == 2 else np.zeros(len(pool), dtype=np.int8)


def _halves_of(pool: Pool) -> Numbers:
    # Other bits than the folds', so that the two are independent.
    return ((pool.image_keys >> np.uint64(32)) % np.uint64(2)).astype(np.int8)


def _blocks(pool: Pool, fitted: Sequence[_Fits]) -> Iterator[tuple[slice, Block]]:
    """Rows of a pool and what they are, with embeddings if any of the attacks looks at them."""
    every = [fit for fits in fitted for group in fits.groups for fit in group]
    with_embeddings = not all(fit.similarities_only for fit in every)
    similarities = None if with_embeddings else pool.similarities
    for start in range(0, len(pool), BLOCK):
        rows = slice(start, min(start + BLOCK, len(pool)))
        if similarities is None:
            yield rows, pool.take(np.arange(rows.start, rows.stop))
        else:
            none = np.empty((rows.stop - rows.start, 0), dtype=np.float32)
            yield rows, Block(similarities[rows], none, none)


def _where(pool: Pool, mask: NDArray[np.bool_]) -> Subset:
    return Subset(pool, np.flatnonzero(mask))
