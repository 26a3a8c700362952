"""Attacks: embeddings and similarities come in, one score a sample goes out, higher for members.

Arrays only: no file, no model, no screen and no label of a candidate enters this room.
"""

from tui_mia.attacks.attack import Attack, AttackError, Fitted, Known, Need
from tui_mia.attacks.registry import make_attacks
from tui_mia.attacks.scoring import AttackPools, AttackScores, Outcome, run_attacks

__all__ = [
    "Attack",
    "AttackError",
    "AttackPools",
    "AttackScores",
    "Fitted",
    "Known",
    "Need",
    "Outcome",
    "make_attacks",
    "run_attacks",
]
