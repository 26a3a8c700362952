"""Whether the audit gives the same answer when it is asked again in another way."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from tui_mia.evidence.checks import Check, CheckOutcome
from tui_mia.scored import AttackScores

# Of the spread of similarities over samples: more could change a rank that matters.
LARGEST_CHANGE = 0.02
SMALLEST_CORRELATION = 0.8


def order_stability(stored: NDArray[np.float32], again: NDArray[np.float32]) -> Check:
    """Similarities [k, 1 + K] as stored, and of the same samples encoded again in another order and batch."""
    change = float(np.abs(stored - again).max(initial=0.0))
    spread = float(stored[:, 0].std()) if len(stored) else 0.0
    share = change / spread if spread else 0.0
    stable = share <= LARGEST_CHANGE or not spread
    says = "the same scores" if stable else "scores depend on what shares a batch"
    words = (
        f"{len(stored):,} candidates encoded again in another order and batch: similarities change by at most"
        f" {change:.1e}, {share:.2%} of their spread; {says}."
    )
    return Check(
        "stability_order", None, share, None, None, len(stored), "ok" if stable else "unstable", words
    )


def seed_stability(scores: AttackScores, again: AttackScores) -> Check:
    """An attack's candidates as they were scored, and with another seed and fewer classifiers."""
    found = float(spearmanr(scores.candidates, again.candidates).statistic)
    # A constant score has no ranks to correlate.
    correlation = found if np.isfinite(found) else 0.0
    stable = correlation >= SMALLEST_CORRELATION
    says = "about the same order" if stable else "another order: do not rely on single samples"
    words = f"With one classifier a fold and another seed, ranks correlate by {correlation:.3f}: {says}."
    outcome: CheckOutcome = "ok" if stable else "unstable"
    return Check(
        "stability_seed", scores.attack, correlation, None, None, len(scores.candidates), outcome, words
    )
