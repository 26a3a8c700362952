"""The attack that decided, and the candidates that stand out by it."""

from __future__ import annotations

from tui_mia.report.contents import ExposedSample, Include
from tui_mia.report.pictures import PictureFinder
from tui_mia.store import (
    RunSummary,
    SampleDetail,
    SampleFilter,
    SampleSort,
    StoredRun,
    first_samples,
    read_sample,
)

_CANDIDATES = SampleFilter(pool="candidates")


def deciding_attack(summary: RunSummary) -> str | None:
    """The attack that the verdict of the run is about; without one, that with the highest AUC."""
    attacks = summary.attacks
    if not attacks:
        return None
    if summary.verdict is not None:
        outcome, reasons = summary.verdict.outcome, summary.verdict.reasons
        # The verdict of a run says first which attack speaks loudest.
        named = reasons[0].split(":", 1)[0] if reasons else ""
        if named in attacks:
            return named
        alike = [name for name, said in attacks.items() if said.verdict and said.verdict.outcome == outcome]
    else:
        alike = []
    return max(alike or attacks, key=lambda name: _auc(summary, name))


def most_exposed(
    run: StoredRun, attack: str, has_p_values: bool, include: Include, pictures: PictureFinder | None
) -> list[ExposedSample]:
    """The candidates with the lowest p-values of an attack, of equal ones those with the highest scores."""
    if not include.samples:
        return []
    # Many share the lowest p-value: among them the highest scores are sought.
    enough = max(200, 10 * include.samples)
    rows = first_samples(run, SampleSort("score", True, attack), _CANDIDATES, enough)
    if has_p_values:
        rows += first_samples(run, SampleSort("p_value", False, attack), _CANDIDATES, enough)
    scored = {row.number: row for row in rows if attack in row.scores}
    order = sorted(
        scored.values(), key=lambda row: (row.p_values.get(attack, 2.0), -row.scores[attack], row.number)
    )
    return [
        _exposed(read_sample(run, row.number), attack, include, pictures) for row in order[: include.samples]
    ]


def _auc(summary: RunSummary, attack: str) -> float:
    found = summary.attacks[attack].compared_auc
    return found.value if found is not None and found.value is not None else -1.0


def _exposed(
    detail: SampleDetail, attack: str, include: Include, pictures: PictureFinder | None
) -> ExposedSample:
    row = detail.row
    score = next(score for score in detail.scores if score.attack == attack)
    return ExposedSample(
        number=row.number,
        key=row.key,
        caption=row.caption if include.captions else None,
        label=row.member,
        score=score.score,
        p_value=score.p_value,
        q_value=score.q_value,
        rank=score.rank,
        of=score.of,
        picture=pictures.of(detail) if pictures is not None else None,
    )
