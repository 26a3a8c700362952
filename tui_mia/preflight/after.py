"""How long attacks and evidence take, from what a few pieces of them were timed at."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from tui_mia.costs import AfterCost
from tui_mia.pools import PoolName
from tui_mia.preflight.counts import PoolCount
from tui_mia.preflight.limits import (
    BANK_SIZE,
    FOLDS,
    LARGEST_CLASS,
    SCORES,
    WSA_BATCH,
    WSA_HELD_OUT,
    WSA_STEPS_AN_EPOCH,
)
from tui_mia.preflight.model import Costs
from tui_mia.spec import AuditSpec

# The published features and the rich ones.
_WSA_FORMS: Final = 2
# Epochs until the last of five seeds loses its patience. Assumed from two audits: 12 with 128 features (the
# sample world), 6 with 1,024 (weights of chance); the more features, the sooner they are learnt by heart.
_EPOCHS, _AT_FEATURES, _POWER, _FEWEST_EPOCHS = 12, 128, -1 / 3, 4
# One seed alone stops earlier than the last of five.
_OF_ONE: Final = 0.75
# What of a step grows with its batch; the rest is the optimiser's, of the weights.
_GROWS: Final = 0.2
# Seconds of the blind baselines on so many samples, on the machine where they were timed: a constant of many
# small fits, and each sample; past `_CHOSEN_ON` the settings are chosen on no more of them.
_BLIND_CONSTANT, _BLIND_A_SAMPLE, _BLIND_BEYOND, _CHOSEN_ON = 0.45, 1.15e-3, 0.4e-3, 5000
# Tables, figures and rows of the database, there: a sample, with each score and view.
_A_SAMPLE, _A_SCORE, _A_VIEW = 10e-6, 10e-6, 2e-6
# That machine took so long for the imports, by which this one is compared.
_IMPORTS: Final = 5.2


def estimate_after(
    spec: AuditSpec, counts: Mapping[PoolName, PoolCount], compared: int, costs: Costs
) -> float | None:
    """Seconds of attacks, checks and judging; None where nothing was timed.

    `compared` is how many samples the two sides of the verdict have. Attacks that
    other packages add are not in it.
    """
    cost = costs.after
    if cost is None:
        return None
    models = 1 if spec.reference is None else 2
    samples = sum(count.kept for count in counts.values())
    scores = models * sum(SCORES.get(name, 1) for name in spec.attacks.requested())
    tables = _A_SAMPLE + _A_SCORE * scores + _A_VIEW * (1 + spec.views) * models
    return (
        _blind(cost, compared)
        + _wsa(spec, counts, costs, models)
        + _bank(spec, counts, cost, models)
        + samples * tables * (costs.start_seconds / _IMPORTS)
    )


def _blind(cost: AfterCost, compared: int) -> float:
    if cost.blind_seconds is None or not compared:
        return 0.0
    return cost.blind_seconds * _blind_there(compared) / _blind_there(cost.blind_samples)


def _blind_there(samples: int) -> float:
    chosen = min(samples, _CHOSEN_ON)
    return _BLIND_CONSTANT + _BLIND_A_SAMPLE * chosen + _BLIND_BEYOND * (samples - chosen)


def _wsa(spec: AuditSpec, counts: Mapping[PoolName, PoolCount], costs: Costs, models: int) -> float:
    """The fits of the audit, of the negative control on half of the non-members, and of another seed."""
    known, candidates, cost = _kept(counts, "nonmembers"), _kept(counts, "candidates"), costs.after
    if (
        not known
        or cost is None
        or cost.step_seconds is None
        or cost.light_step_seconds is None
        or spec.attacks.wsa is None
    ):
        return 0.0
    general = _kept(counts, "general") or candidates // 2
    fits = FOLDS * _WSA_FORMS * (1 if "general" in counts else 2)
    whole = _steps(spec, known, general)
    control = _steps(spec, known // 2, _kept(counts, "general") or candidates)
    several, one = _epochs(costs)
    audit = models * fits * several * _stepping(whole, cost.step_seconds)
    again = fits * one * _stepping(whole, cost.light_step_seconds)
    of_control = models * FOLDS * _WSA_FORMS * one * _stepping(control, cost.light_step_seconds)
    # Each candidate is scored by a fit a fold, each known non-member by one.
    rows = _WSA_FORMS * (FOLDS * candidates + known)
    scoring = rows * (cost.wsa_row_seconds or 0.0) * (models + 1 / spec.attacks.wsa.seeds)
    return audit + again + of_control + scoring


def _epochs(costs: Costs) -> tuple[float, float]:
    """How many epochs are to be expected, of several seeds side by side and of one alone."""
    dimension = costs.models["model"].dimension if "model" in costs.models else None
    features = 2 * (dimension or _AT_FEATURES // 2)
    epochs = max(_EPOCHS * (features / _AT_FEATURES) ** _POWER, _FEWEST_EPOCHS)
    return epochs, max(_OF_ONE * epochs, _FEWEST_EPOCHS)


def _steps(spec: AuditSpec, known: int, general: int) -> tuple[int, float]:
    """Steps of an epoch, and how large a batch is, 1 being the smallest."""
    outside = known * (FOLDS - 1) // FOLDS
    assert spec.attacks.wsa is not None
    step = spec.attacks.wsa.lambda_
    # Of similarities that are spread like the non-members' so many are above; `auto` takes what is enough.
    above = general if step == "auto" else round(general * math.erfc(step / math.sqrt(2)) / 2)
    training = round((1 - WSA_HELD_OUT) * 2 * min(outside, above, LARGEST_CLASS))
    batch = max(WSA_BATCH, math.ceil(training / WSA_STEPS_AN_EPOCH))
    return math.ceil(training / batch), batch / WSA_BATCH


def _stepping(steps: tuple[int, float], seconds: float) -> float:
    number, batch = steps
    return number * seconds * (1 - _GROWS + _GROWS * batch)


def _bank(spec: AuditSpec, counts: Mapping[PoolName, PoolCount], cost: AfterCost, models: int) -> float:
    known, candidates = _kept(counts, "nonmembers"), _kept(counts, "candidates")
    if not known or cost.bank_seconds is None or spec.attacks.loss is None:
        return 0.0
    # The banks of five folds share most of their entries.
    entries = min(_kept(counts, "bank"), BANK_SIZE) or min(known, BANK_SIZE * FOLDS // (FOLDS - 1))
    control = known * min(entries, known // 2)
    return models * cost.bank_seconds * ((candidates + known) * entries + control)


def _kept(counts: Mapping[PoolName, PoolCount], name: PoolName) -> int:
    return counts[name].kept if name in counts else 0
