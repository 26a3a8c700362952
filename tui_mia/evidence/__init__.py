"""Evidence: scores and labels come in, figures that say what the scores are worth go out.

Arrays only: no file, no model and no screen enters this room.
"""

from tui_mia.evidence.discovery import q_values
from tui_mia.evidence.roc import FPR_POINTS, Figures, figures

__all__ = ["FPR_POINTS", "Figures", "figures", "q_values"]
