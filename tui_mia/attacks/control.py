"""Negative control: known non-members against known non-members, through the whole of the attacks.

No attack can find members among them. Where one tells the two halves apart, the
audit itself is at fault.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tui_mia.attacks.attack import Attack
from tui_mia.attacks.scoring import AttackPools, Outcome, Reference, run_attacks
from tui_mia.embedded import Pool, Subset


def negative_control(
    attacks: Sequence[Attack],
    pools: AttackPools,
    logit_scale: float,
    seed: int,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    reference: Reference | None = None,
) -> Outcome:
    """Run the attacks with half of the known non-members in the place of the candidates, by `run_attacks`.

    `Outcome.scores` are then of the one half as candidates and of the other as
    known non-members. Without a general pool the candidates are one: none of
    them is scored here. With fewer than two known non-members of different
    halves nothing runs, and the outcome is empty.
    """
    halves = _halves(pools)
    if halves is None:
        return Outcome()
    if reference is not None:
        reference = replace(reference, pools=_control(reference.pools, halves))
    return run_attacks(attacks, _control(pools, halves), logit_scale, seed, on_progress, reference)


def control_rows(nonmembers: Pool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows of the known non-members that the control takes for candidates, and those it compares with.

    By image, with other bits of its hash than folds and halves of candidates go by.
    """
    compared = (nonmembers.image_keys >> np.uint64(16)) % np.uint64(2) == 1
    return np.flatnonzero(~compared), np.flatnonzero(compared)


def _halves(pools: AttackPools) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    if pools.nonmembers is None or not len(pools.nonmembers):
        return None
    candidates, nonmembers = control_rows(pools.nonmembers)
    return (candidates, nonmembers) if len(candidates) and len(nonmembers) else None


def _control(pools: AttackPools, halves: tuple[NDArray[np.int64], NDArray[np.int64]]) -> AttackPools:
    assert pools.nonmembers is not None
    candidates, nonmembers = (Subset(pools.nonmembers, rows) for rows in halves)
    general = pools.general if pools.general is not None else pools.candidates
    return AttackPools(candidates, nonmembers, general, pools.bank)
