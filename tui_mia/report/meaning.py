"""What a verdict means, and what it does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from tui_mia.report.contents import Report

Tone: TypeAlias = Literal["leak", "clear", "open"]


@dataclass(frozen=True, slots=True)
class Headline:
    """The verdict of a run as a reader meets it; `tone` picks a sign and a colour, the words say it all.

    `means` and `not_means` go on from "It means:" and "It does not mean:"; empty without a verdict.
    """

    outcome: str
    tone: Tone
    reasons: list[str]
    means: str = ""
    not_means: str = ""


_MEANINGS: Final[dict[str, tuple[Tone, str, str]]] = {
    "leak": (
        "leak",
        "As a set, pairs that were in the training data score higher than pairs that were not, and nothing"
        " that was checked explains it otherwise.",
        "Proof. It is a finding against the alternatives that were checked, and says nothing certain of any"
        " single pair.",
    ),
    "no evidence": (
        "clear",
        "If the model treats pairs from its training data differently, then by less than the smallest"
        " effect that this audit was asked to find.",
        "That the pairs were not trained on. Another attack, or more pairs, may find what these did not.",
    ),
    "inconclusive: distribution shift": (
        "open",
        "The two sides score differently, but they also differ in more than membership, and that may be all"
        " there is to it.",
        "That there is a leak, or that there is none. Pools that differ in nothing but membership, or a"
        " [reference] model, can settle it.",
    ),
    "inconclusive: underpowered": (
        "open",
        "There are too few samples to tell chance from an effect that would matter.",
        "That nothing is there. More pairs can settle it.",
    ),
    "inconclusive: no comparison set": (
        "open",
        "The candidates have scores, but there is nothing to compare them with: neither labels nor pairs"
        " known not to be in the training data.",
        "That pairs with high scores were trained on. Known non-members in [pools.nonmembers], of the same"
        " kind as the candidates, can settle it.",
    ),
}
_LEAK_OF_A_GROUP: Final = (
    "As a group, the candidates score higher than pairs known not to be in the training data, and nothing"
    " that was checked explains it otherwise than that some of them were in it."
)
_UNKNOWN: Final[tuple[Tone, str, str]] = ("open", "", "")


def headline(report: Report) -> Headline:
    """The verdict of a run, or why it has none."""
    verdict, status = report.summary.verdict, report.summary.run.status
    if verdict is None:
        return Headline("none", "open", [_why_none(report)])
    tone, means, not_means = _MEANINGS.get(verdict.outcome, _UNKNOWN)
    if tone == "leak" and not report.is_labelled:
        means = _LEAK_OF_A_GROUP
    reasons = [*verdict.reasons]
    if status != "done":
        reasons.append(f"The run {_ended(status)}: this is of the attacks that ran.")
    return Headline(verdict.outcome, tone, reasons, means, not_means)


def _why_none(report: Report) -> str:
    status = report.summary.run.status
    if status != "done":
        return f"The run {_ended(status)} before there was anything to judge."
    if report.summary.attacks:
        return "This run has scores but was never judged."
    return "No attack ran, so there is nothing to judge."


def _ended(status: str) -> str:
    return "was cancelled" if status == "cancelled" else "failed"
