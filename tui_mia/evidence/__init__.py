"""Evidence: scores and labels come in, figures that say what the scores are worth go out.

Arrays only: no file, no model and no screen enters this room.
"""

from tui_mia.evidence.audited import Audited, Comparison, SideScores, compare
from tui_mia.evidence.blind import blind_scores, drawn
from tui_mia.evidence.checks import Check
from tui_mia.evidence.discovery import q_values
from tui_mia.evidence.duplicates import near_duplicates
from tui_mia.evidence.judge import Judgement, Metric, judge
from tui_mia.evidence.looks import Appearances
from tui_mia.evidence.roc import FPR_POINTS, Figures, figures
from tui_mia.evidence.stability import order_stability, seed_stability
from tui_mia.evidence.verdict import Verdict

__all__ = [
    "FPR_POINTS",
    "Appearances",
    "Audited",
    "Check",
    "Comparison",
    "Figures",
    "Judgement",
    "Metric",
    "SideScores",
    "Verdict",
    "blind_scores",
    "compare",
    "drawn",
    "figures",
    "judge",
    "near_duplicates",
    "order_stability",
    "q_values",
    "seed_stability",
]
