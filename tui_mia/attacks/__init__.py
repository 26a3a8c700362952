"""Attacks: embeddings and similarities come in, one score a sample goes out, higher for members.

Arrays only: no file, no model, no screen and no label of a candidate enters this room.
"""

from tui_mia.attacks.attack import Attack, AttackError, Fitted, Known, Need
from tui_mia.attacks.control import control_rows, negative_control
from tui_mia.attacks.registry import make_attacks, make_stability_attacks
from tui_mia.attacks.scoring import AttackPools, Outcome, Reference, run_attacks

__all__ = [
    "Attack",
    "AttackError",
    "AttackPools",
    "Fitted",
    "Known",
    "Need",
    "Outcome",
    "Reference",
    "control_rows",
    "make_attacks",
    "make_stability_attacks",
    "negative_control",
    "run_attacks",
]
