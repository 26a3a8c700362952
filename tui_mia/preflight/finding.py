"""What a check comes to: one thing in words, and how bad it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Level: TypeAlias = Literal["ok", "warning", "problem"]
Section: TypeAlias = Literal[
    "candidates",
    "nonmembers",
    "general",
    "bank",
    "attacks",
    "model",
    "reference",
    "memory",
    "time",
    "disk",
    "power",
    "evidence",
]


@dataclass(frozen=True)
class Finding:
    """One thing that was found; with a `problem` the audit could not run, or not to its end."""

    section: Section
    level: Level
    words: str
