"""Scores: what the attacks hand to the evidence."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

# The target's score minus the reference's is an attack of its own (Watson et al. 2022), under this name.
CALIBRATED: Final = {"csa": "csa_calibrated", "loss": "loss_calibrated"}

# How the names of figures begin; another metric is a fact of an attack's fit.
FIGURE: Final = re.compile("auc|balanced_accuracy|group_|member_share|survivors_|tpr_|fpr_")
# A fact of attacks that, for want of a general pool, were fitted to halves of the candidates.
FITTED_TO_CANDIDATES: Final = "fitted_to_candidates"
# Facts of a fit to a drawn sample: how many of each side, and of how many they were drawn.
DRAWN_OF_EACH: Final = "drawn_of_each"
PSEUDO_MEMBERS: Final = "pseudo_members"
KNOWN_NONMEMBERS: Final = "known_nonmembers"


@dataclass(frozen=True)
class AttackScores:
    """What one attack says: a score and a p-value for each candidate, a score for each known non-member.

    [n] and [m] float64 in the order of the pools. Without known non-members
    there are no p-values, and whatever compares with them is None.

    A placement is the share of the other side that a sample beats, ties half,
    0 to 1: `placements` [n] of candidates among the known non-members, each
    fold by its own fit; `nonmember_placements` [m] of known non-members among
    the candidates, by the fit that left their fold out.
    """

    attack: str
    candidates: NDArray[np.float64]
    p_values: NDArray[np.float64] | None
    nonmembers: NDArray[np.float64] | None
    placements: NDArray[np.float64] | None
    nonmember_placements: NDArray[np.float64] | None
    facts: Mapping[str, float]
