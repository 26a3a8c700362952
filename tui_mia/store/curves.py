"""ROC curves and histograms of stored scores, made by DuckDB: only a few hundred numbers leave it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tui_mia.store.connect import WAIT_SECONDS, reading

FEWEST_FALSE_POSITIVES: Final = 10
FPR_POINTS: Final = (0.1, 0.01, 0.001)
# Of each group, at either end: what is left out of the middle of a histogram.
TAIL: Final = 0.005
GROUPS: Final[tuple[str, ...]] = ("members", "non-members", "candidates", "known non-members")

_HIGHEST: Final = ", ".join(
    f"max(high) FILTER (false_positives <= round({point} * nonmembers, 6))" for point in FPR_POINTS
)

# The counts at a score are those of all samples with that score or a higher one, as a threshold takes all
# samples of a tie or none. A step is a false positive count that a threshold can have, with the lowest and
# the highest true positive count there: between the two the curve goes straight up, from one step to the
# next it is a straight line. Of a curve with too many steps, those at the ends of equal intervals of log FPR
# are kept. NaN is no score.
_CURVE: Final = f"""
    WITH thresholds AS (
        SELECT sum(member::DOUBLE) OVER downwards AS true_positives,
               sum((NOT member)::DOUBLE) OVER downwards AS false_positives
        FROM (SELECT number, score FROM scores
              WHERE run_id = $run_id AND attack = $attack AND NOT isnan(score))
        JOIN (SELECT number, member FROM samples
              WHERE run_id = $run_id AND pool = 'candidates' AND member IS NOT NULL) USING (number)
        WINDOW downwards AS (ORDER BY score DESC)
    ),
    steps AS MATERIALIZED (
        SELECT false_positives, min(true_positives) AS low, max(true_positives) AS high
        FROM thresholds GROUP BY false_positives
    ),
    areas AS (
        SELECT (false_positives - lag(false_positives, 1, 0) OVER rightwards)
               * (low + lag(high, 1, 0) OVER rightwards) AS twice_the_area
        FROM steps WINDOW rightwards AS (ORDER BY false_positives)
    ),
    totals AS MATERIALIZED (
        SELECT count(*) AS steps, max(high) AS members, max(false_positives) AS nonmembers FROM steps
    ),
    figures AS (
        SELECT (SELECT sum(twice_the_area) FROM areas) AS twice_the_area, {_HIGHEST} FROM steps, totals
    ),
    intervals AS (
        SELECT false_positives, low, high, CASE
            WHEN false_positives = 0 OR steps <= $steps THEN false_positives
            ELSE 1 + floor(($steps - 2) * ln(false_positives) / ln(nonmembers)) END AS interval
        FROM steps, totals
    ),
    kept AS (
        SELECT max(false_positives) AS false_positives,
               arg_max(low, false_positives) AS low, arg_max(high, false_positives) AS high
        FROM intervals GROUP BY interval
    )
    SELECT false_positives, low, high, members, nonmembers, figures.*
    FROM kept, totals, figures ORDER BY false_positives"""

_AUC_INTERVAL: Final = """
    SELECT low, high FROM metrics
    WHERE run_id = ? AND attack = ? AND metric = 'auc' AND isfinite(low) AND isfinite(high)"""

_GROUPED: Final = f"""
    WITH grouped AS (
        SELECT known, score
        FROM (SELECT number, score FROM scores
              WHERE run_id = $run_id AND attack = $attack AND score IS NOT NULL)
        JOIN (SELECT number, CASE WHEN pool = 'nonmembers' THEN {GROUPS.index("known non-members")}
                                  WHEN member THEN {GROUPS.index("members")}
                                  WHEN NOT member THEN {GROUPS.index("non-members")}
                                  ELSE {GROUPS.index("candidates")} END::TINYINT AS known
              FROM samples
              WHERE run_id = $run_id AND pool IN ('candidates', 'nonmembers')) USING (number)
    )"""
# Quantiles of each group: a small one is not to be left out as the tail of a large one.
_RANGE: Final = f"""
    {_GROUPED}
    SELECT min(lowest), max(highest), min(ends[1]), max(ends[2]) FROM (
        SELECT min(score) AS lowest, max(score) AS highest,
               quantile_disc(score, [{TAIL}, {1 - TAIL}]) AS ends
        FROM grouped WHERE isfinite(score) GROUP BY known
    )"""
_BINS: Final = f"""
    {_GROUPED}
    SELECT known, bin, count(*) FROM (
        SELECT known, CASE WHEN score BETWEEN $low AND $high
                           THEN least(floor((score - $low) / $width), $bins - 1)::INTEGER END AS bin
        FROM grouped
    ) GROUP BY known, bin"""


@dataclass(frozen=True, slots=True, order=True)
class ScoredRun:
    """A run and an attack that it has scores of."""

    run_id: str
    attack: str


@dataclass(frozen=True, slots=True, eq=False)
class RocCurve:
    """The ROC of an attack over the labelled candidates of a run.

    `fpr` and `tpr` are its points from (0, 0) to (1, 1), float64 of one length.
    `auc` and `tpr_at_fpr` are those of the whole curve, not of the points that
    were kept; where fewer than ten false positives are expected a rate is below
    the resolution of the set and has None. `members` and `nonmembers` are counts.
    `auc_interval` has the ends of the 95 % interval that is stored with the run.
    """

    run_id: str
    attack: str
    fpr: NDArray[np.float64]
    tpr: NDArray[np.float64]
    members: int
    nonmembers: int
    auc: float
    tpr_at_fpr: Mapping[float, float | None]
    auc_interval: tuple[float, float] | None = None

    @property
    def resolution(self) -> float:
        """The FPR at which ten false positives are expected: what the curve does below it is chance."""
        return min(1.0, FEWEST_FALSE_POSITIVES / self.nonmembers)


@dataclass(frozen=True, slots=True, eq=False)
class ScoreHistogram:
    """How the scores of an attack are spread, by what is known of the samples.

    `counts` has [bins] int64 for each of `GROUPS` with a score in the run; `edges` are the
    [bins + 1] scores between the bins, of which the last belongs to the last bin. `totals` are
    all scores of each group, also those that are beyond the edges or not finite. `middle` is from
    where to where the scores reach without the thin tails of each group.
    """

    run_id: str
    attack: str
    edges: NDArray[np.float64]
    counts: Mapping[str, NDArray[np.int64]]
    totals: Mapping[str, int]
    middle: tuple[float, float]

    @property
    def outside(self) -> int:
        """How many scores are beyond the edges or not finite."""
        return sum(self.totals.values()) - sum(int(counts.sum()) for counts in self.counts.values())


def scored_runs(database: Path, wait_seconds: float = WAIT_SECONDS) -> list[ScoredRun]:
    """Every attack of every run that has scores, the newest run first, its attacks in alphabetical order."""
    with reading(database, wait_seconds) as connection:
        rows = connection.execute(
            "SELECT run_id, attack FROM (SELECT DISTINCT run_id, attack FROM scores WHERE attack IS NOT NULL)"
            " JOIN runs USING (run_id) ORDER BY created_at DESC NULLS LAST, run_id DESC, attack"
        ).fetchall()
    return [ScoredRun(*row) for row in rows]


def roc_curve(
    database: Path, run_id: str, attack: str, points: int = 400, wait_seconds: float = WAIT_SECONDS
) -> RocCurve | None:
    """The ROC in at most `points` points of it, closer together at low FPR; None unless both labels occur.

    The two ends are among the points. Ties count half in the AUC.
    """
    if points < 8:
        raise ValueError(f"a curve needs at least 8 points, not {points}")
    # A step is two points at most, and the origin is one more.
    parameters = {"run_id": run_id, "attack": attack, "steps": (points - 1) // 2}
    with reading(database, wait_seconds) as connection:
        rows = connection.execute(_CURVE, parameters).fetchall()
        ends = connection.execute(_AUC_INTERVAL, [run_id, attack]).fetchone()
    if not rows:
        return None
    _, _, _, members, nonmembers, twice_the_area, *highest = rows[0]
    if not members or not nonmembers:
        return None
    fpr, tpr = _corners([row[:3] for row in rows])
    return RocCurve(
        run_id=run_id,
        attack=attack,
        fpr=fpr / nonmembers,
        tpr=tpr / members,
        members=int(members),
        nonmembers=int(nonmembers),
        auc=float(twice_the_area / (2 * members * nonmembers)),
        tpr_at_fpr={
            point: (true_positives or 0) / members if _is_resolved(point, nonmembers) else None
            for point, true_positives in zip(FPR_POINTS, highest, strict=True)
        },
        auc_interval=None if ends is None else (float(ends[0]), float(ends[1])),
    )


def score_histogram(
    database: Path,
    run_id: str,
    attack: str,
    bins: int = 40,
    low: float | None = None,
    high: float | None = None,
    wait_seconds: float = WAIT_SECONDS,
) -> ScoreHistogram | None:
    """Count the scores of candidates and known non-members in equal bins; None where there is no score.

    The bins reach from the lowest score to the highest, or from `low` to `high`: two runs on one axis.
    """
    which = {"run_id": run_id, "attack": attack}
    with reading(database, wait_seconds) as connection:
        lowest, highest, *ends = connection.execute(_RANGE, which).fetchall()[0]
        low, high = lowest if low is None else low, highest if high is None else high
        if low is None or high is None or lowest is None:
            return None
        low, high = _with_width(low, high)
        # Divided before they are subtracted: the difference of two large scores may be too large.
        width = high / bins - low / bins
        parameters = {**which, "low": low, "high": high, "width": width, "bins": bins}
        rows = connection.execute(_BINS, parameters).fetchall()
    known = {GROUPS[group] for group, _, _ in rows}
    counts = {group: np.zeros(bins, np.int64) for group in GROUPS if group in known}
    totals = dict.fromkeys(counts, 0)
    for group, index, count in rows:
        totals[GROUPS[group]] += count
        if index is not None:
            counts[GROUPS[group]][index] = count
    # From both ends, for so may the sum of many widths.
    half = (bins + 1) // 2
    edges = np.concatenate([low + width * np.arange(half), high - width * np.arange(bins - half, -1, -1)])
    return ScoreHistogram(
        run_id=run_id, attack=attack, edges=edges, counts=counts, totals=totals, middle=_with_width(*ends)
    )


def _corners(
    steps: Sequence[tuple[float, float, float]],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The false and true positive counts at the corners of the curve, each of them once."""
    corners = [(0.0, 0.0)]
    for false_positives, low, high in steps:
        if false_positives > 0:
            corners.append((false_positives, low))
        if high > corners[-1][1] or false_positives == 0:
            corners.append((false_positives, high))
    fpr, tpr = np.array(corners, np.float64).T
    return fpr, tpr


def _is_resolved(point: float, nonmembers: int) -> bool:
    # Counts, not rates: 0.1 * 300 is not exactly 30.
    return bool(round(point * nonmembers, 6) >= FEWEST_FALSE_POSITIVES)


def _with_width(low: float, high: float) -> tuple[float, float]:
    """The two, or limits around them where they are too close together to be told apart in bins."""
    if high - low > 1e-9 * max(abs(low), abs(high)):
        return low, high
    half = max(0.5, 1e-3 * max(abs(low), abs(high)))
    return max(low - half, -sys.float_info.max), min(high + half, sys.float_info.max)
