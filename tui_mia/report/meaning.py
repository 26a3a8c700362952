"""What a verdict means, and what it does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from tui_mia.store import RunSummary


@dataclass(frozen=True, slots=True)
class Headline:
    """The verdict of a run as a reader meets it; `tone` picks a sign and a colour, the words say it all.

    `means` and `not_means` are sentences, empty where there is no verdict.
    """

    outcome: str
    tone: Literal["leak", "clear", "open"]
    reasons: list[str]
    means: str = ""
    not_means: str = ""


_MEANINGS: Final[dict[str, tuple[Literal["leak", "clear", "open"], str, str]]] = {
    "leak": (
        "leak",
        "As a set, pairs that were in the training data score differently from pairs that were not, and nothing"
        " that was checked explains it otherwise.",
        "It is a finding against the alternatives that were checked, not a proof. It says nothing certain about"
        " any single pair.",
    ),
    "no evidence": (
        "clear",
        "If the model treats pairs from its training data differently, then by less than the smallest effect"
        " that this audit was asked to find.",
        "It does not mean that the pairs were not trained on. Another attack, or more pairs, may find what these"
        " did not.",
    ),
    "inconclusive: distribution shift": (
        "open",
        "The two sides score differently, but they also differ in more than membership, and that may be all there"
        " is to it.",
        "It means neither that there is a leak nor that there is none. Pools that differ in nothing but"
        " membership, or a [reference] model, can settle it.",
    ),
    "inconclusive: underpowered": (
        "open",
        "There are too few samples to tell chance from an effect that would matter.",
        "It does not mean that nothing is there. More pairs can settle it.",
    ),
    "inconclusive: no comparison set": (
        "open",
        "The candidates have scores, but there is nothing to compare them with: neither labels nor pairs known"
        " not to be in the training data.",
        "High scores by themselves say nothing about membership. Known non-members in [pools.nonmembers], of the"
        " same kind as the candidates, can settle it.",
    ),
}
_UNKNOWN: Final = ("open", "docs/verdict.md of the version that made this run says what it means.", "")


def headline(summary: RunSummary) -> Headline:
    """The verdict of a run, or why it has none."""
    verdict, status = summary.verdict, summary.run.status
    if verdict is not None:
        tone, means, not_means = _MEANINGS.get(verdict.outcome, _UNKNOWN)
        unfinished = (
            []
            if status == "done"
            else [f"The run {_ended(status)}: what follows is of its attacks that ran."]
        )
        return Headline(verdict.outcome, tone, [*verdict.reasons, *unfinished], means, not_means)  # type: ignore[arg-type]
    if status != "done":
        return Headline(
            "no verdict", "open", [f"The run {_ended(status)} before there was anything to judge."]
        )
    why = (
        "This run has scores but was never judged."
        if summary.attacks
        else "No attack ran, so there is nothing to judge."
    )
    return Headline("no verdict", "open", [why])


def _ended(status: str) -> str:
    return "was cancelled" if status == "cancelled" else "failed"
