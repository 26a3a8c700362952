"""Whether the candidates as a group are more member-like than the known non-members."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import betainc, betaincinv

from tui_mia.evidence.auc import Estimate, Placements, auc_estimate
from tui_mia.evidence.spread import Clusters, effective_size

Floats = NDArray[np.float64]

SHARE_LEVELS = (0.01, 0.03, 0.1, 0.2, 0.3, 0.5)
FALSE_DISCOVERY_RATES = (0.05, 0.1)
# Points at which the unknown false positive rate is averaged over.
QUANTILES = (np.arange(500) + 0.5) / 500


@dataclass(frozen=True)
class GroupEvidence:
    """What can be said of a set of candidates without labels.

    `auc`: the chance that a candidate is more member-like than a known
    non-member; `p_value` one-sided that it is not above one half.
    `member_share_low`: at least this share of the candidates are members, at 95 %.
    `survivors`: how many candidates are called at each false discovery rate.
    """

    auc: Estimate
    p_value: float
    member_share_low: float
    survivors: Mapping[float, int]


def group_evidence(
    found: Placements,
    p_values: Floats,
    q_values: Floats,
    n_nonmembers: int,
    clusters: Clusters | None = None,
    variance_factor: float = 1.0,
) -> GroupEvidence:
    """Candidates (the positives of `found`) against known non-members (its negatives).

    `p_values` and `q_values` are those of the candidates, [n]; `clusters` the
    near-duplicate groups of candidates and known non-members; `variance_factor`
    is that of `auc_estimate`.
    """
    auc = auc_estimate(found, clusters, variance_factor=variance_factor)
    independent = (
        (float(len(p_values)), float(n_nonmembers))
        if clusters is None
        else (effective_size(clusters[0]), effective_size(clusters[1]))
    )
    return GroupEvidence(
        auc=auc,
        p_value=auc.p_above(0.5),
        member_share_low=member_share_low(p_values, *(size / variance_factor for size in independent)),
        survivors={rate: int((q_values <= rate).sum()) for rate in FALSE_DISCOVERY_RATES},
    )


def member_share_low(p_values: Floats, candidates: float, nonmembers: float, level: float = 0.95) -> float:
    """The largest of the lower bounds of the share of members that some p-value levels give.

    `candidates` and `nonmembers` are how many independent ones there are. At
    each level of a fixed grid more candidates are called than a share of
    members could explain if all members were called and non-members as often as
    the level says, itself uncertain because known non-members are few. The
    bounds hold together (Bonferroni over the grid).
    """
    levels = [point for point in SHARE_LEVELS if np.floor(point * (nonmembers + 1) + 1e-9) >= 1]
    if not levels or not len(p_values):
        return 0.0
    tail = (1 - level) / len(levels)
    return max(_share_low(p_values, point, candidates, nonmembers, tail) for point in levels)


def _share_low(p_values: Floats, point: float, candidates: float, nonmembers: float, tail: float) -> float:
    called = float((p_values <= point * (1 + 1e-9)).mean()) * candidates
    if not called:
        return 0.0
    # A non-member is called if fewer than `rank` known ones are as high: how often that
    # happens is the share beyond an order statistic, a Beta variable.
    rank = np.floor(point * (nonmembers + 1) + 1e-9)
    false_rates = betaincinv(rank, nonmembers + 1 - rank, QUANTILES)

    def excess(share: float) -> float:
        rates = share + (1 - share) * false_rates
        # The binomial chance of at least `called`, for counts that need not be whole.
        return float(betainc(called, candidates - called + 1, rates).mean()) - tail

    return 0.0 if excess(0.0) >= 0 else float(brentq(excess, 0.0, 1.0))
