"""Figures of one attack, read from the empirical ROC of all labelled candidates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score, roc_curve

FPR_POINTS = (0.1, 0.01, 0.001)
FEWEST_FALSE_POSITIVES = 10


@dataclass(frozen=True)
class Figures:
    """How well a score tells members from non-members.

    `tpr_at_fpr` maps each false positive rate to the true positive rate there,
    or to None where fewer than ten false positives are expected: below the
    resolution of the set. `members` and `nonmembers` are counts.
    """

    auc: float
    balanced_accuracy: float
    tpr_at_fpr: Mapping[float, float | None]
    members: int
    nonmembers: int


def figures(member: NDArray[np.bool_], scores: NDArray[np.float64]) -> Figures | None:
    """The figures of [n] scores with [n] labels; None unless both labels occur.

    Ties count half in the AUC, and a threshold takes all samples of a tie or
    none, so that the order of the samples changes nothing.
    """
    members, nonmembers = int(member.sum()), int((~member).sum())
    if not members or not nonmembers:
        return None
    fpr, tpr, _ = roc_curve(member, scores, drop_intermediate=False)
    return Figures(
        auc=float(roc_auc_score(member, scores)),
        balanced_accuracy=float(np.max((tpr + 1 - fpr) / 2)),
        tpr_at_fpr={point: _tpr_at(point, fpr, tpr, nonmembers) for point in FPR_POINTS},
        members=members,
        nonmembers=nonmembers,
    )


def _tpr_at(
    point: float, fpr: NDArray[np.float64], tpr: NDArray[np.float64], nonmembers: int
) -> float | None:
    """The highest true positive rate whose false positive rate is no more than `point`."""
    # Counts, not rates: 0.1 * 300 is not exactly 30.
    if round(point * nonmembers, 6) < FEWEST_FALSE_POSITIVES:
        return None
    return float(tpr[np.round(fpr * nonmembers) <= round(point * nonmembers, 6)].max())
