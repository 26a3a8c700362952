"""What to bear in mind, chosen by what the run had and what its checks found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tui_mia.display.check_groups import is_amiss
from tui_mia.report.contents import Report
from tui_mia.store import Figure

_FEWEST_FALSE_POSITIVES = 10
_LONGEST_LIST = 200


def limits(report: Report) -> list[str]:
    """Sentences, the gravest first."""
    if not report.summary.attacks:
        return []
    return [*_of_the_audit(report), *_of_shift(report), *_of_resolution(report), *_of_pools(report)]


def _of_the_audit(report: Report) -> Iterator[str]:
    summary = report.summary
    if attacks := _attacks_of(report, "negative_control", "defect"):
        yield (
            f"The negative control failed for {attacks}: these attacks found a difference between two"
            " halves of the known non-members, where there is none. Don't trust their p-values before that"
            " is explained."
        )
    unstable = [check for check in summary.checks if check.outcome == "unstable"]
    if any(check.check == "stability_order" for check in unstable):
        yield "Similarities depend on what shares a batch, so a second audit may give other scores."
    if any(check.check == "stability_seed" for check in unstable):
        yield "Another seed puts the samples in another order: don't rely on the place of a single one."
    if summary.run.skipped:
        yield f"Not all attacks ran ({_list(summary.run.skipped)}): what these would have found is not known."


def _of_shift(report: Report) -> Iterator[str]:
    if not (report.is_labelled or report.is_group):
        return
    summary = report.summary
    found = [
        "all together" if name == "all" else name
        for name, check in summary.blind.items()
        if check.outcome == "shift"
    ]
    if found:
        adjusted = any("auc_adjusted" in figures.figures for figures in summary.attacks.values())
        rest = (
            "The adjusted AUC answers this as far as these baselines see it, and no further."
            if adjusted
            else "They differ too far for the AUC to be adjusted for it."
        )
        yield f"The two sides can be told apart without the model ({_list(found)}). {rest}"
    elif not summary.blind:
        yield (
            "No blind baseline could be tried, so nothing here tells membership from a difference between the"
            " collections that the two sides come from."
        )
    if _has_reference(report):
        yield (
            "The reference model is taken at its word: if it saw the candidates, or is much weaker than the"
            " target, it hides or misses shift."
        )
    else:
        yield (
            "No reference model was given, so a difference between the two sides that only an encoder sees,"
            " and no blind baseline, is not excluded."
        )
    if attacks := _attacks_of(report, "reference", "shift"):
        yield f"The reference model, which saw no candidate, finds a difference too ({attacks})."


def _of_resolution(report: Report) -> Iterator[str]:
    if any(check.check == "power" and is_amiss(check) for check in report.summary.checks):
        yield "Too few samples for the smallest AUC worth finding: a figure near chance says little."
    if report.curves:
        nonmembers = report.curves[0].nonmembers
        floor = min(1.0, _FEWEST_FALSE_POSITIVES / nonmembers)
        yield (
            f"{nonmembers:,} labelled non-members resolve false positive rates down to {floor:.2g}. Below"
            f" that fewer than {_FEWEST_FALSE_POSITIVES} false positives are expected, and no rate is given."
        )
    compared_with = report.summary.samples.get("nonmembers", 0)
    if report.has_p_values and compared_with:
        smallest = 1 / (compared_with + 1)
        yield (
            f"{compared_with:,} known non-members can give no p-value below {smallest:.2g}, however high a"
            " score is."
        )
    if report.has_p_values and not report.is_labelled:
        yield (
            "The candidates carry no labels, so the figures compare them as a group; which of them were"
            " trained on is not known."
        )
    judged = [figures for figures in report.summary.attacks.values() if figures.verdict]
    if len(judged) > 1 and (report.is_labelled or report.is_group):
        yield (
            "The best of several attacks is the luckiest one too. The verdict is corrected for their number"
            " (Holm); the intervals of single attacks are not."
        )


def _of_pools(report: Report) -> Iterator[str]:
    sources = {pool.pool: pool.source for pool in report.pools}
    if "nonmembers" in report.summary.samples:
        where = _cut(sources.get("nonmembers", "")) or "their pool"
        alike = "" if report.is_labelled else " They must be of the same kind as the candidates."
        yield (
            f"Known non-members come from {where} and are taken at their word: if the model was trained on"
            f" them, p-values say nothing.{alike}"
        )
    else:
        yield "Without known non-members there are no p-values, and only some attacks can run."
    if report.is_labelled:
        yield "The labels of the candidates are taken at their word. They served to evaluate, never to score."
    if any(check.check.startswith("duplicates_") and check.value for check in report.summary.checks):
        yield f"There are near duplicates, see the checks. {_without_duplicates(report)}"
    if report.summary.rejects:
        yield f"{report.summary.rejects:,} pairs could not be used and have no score."


def _without_duplicates(report: Report) -> str:
    figures = report.summary.attacks[report.decided_by].figures if report.decided_by else {}
    alone: Figure | None = figures.get("auc_without_duplicates")
    counted = "Intervals count them once."
    if alone is None or alone.value is None:
        return counted
    return f"{counted} Without any of them {report.decided_by} has an AUC of {alone.value:.3f}."


def _has_reference(report: Report) -> bool:
    asked_for = report.spec is not None and report.spec.reference is not None
    return asked_for or any(check.check == "reference" for check in report.summary.checks)


def _attacks_of(report: Report, check: str, outcome: str) -> str:
    return _list(
        found.attack or "all"
        for found in report.summary.checks
        if found.check == check and found.outcome == outcome
    )


def _list(names: Iterable[str]) -> str:
    return _cut(", ".join(names))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_LIST else f"{text[:_LONGEST_LIST]} …"
