"""The figures of the attacks as tables of words, the same for every format."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from tui_mia.report.contents import Report
from tui_mia.store import AttackFigures, Figure

_RATES = {"0.1": "10 %", "0.01": "1 %", "0.001": "0.1 %"}
NONE = "-"


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure and its interval in words; `interval` is empty where there is none."""

    figure: str
    interval: str = ""


@dataclass(frozen=True, slots=True)
class FigureTable:
    """A row of cells for each attack, under `columns`; `notes` say how to read it."""

    title: str
    columns: list[str]
    rows: dict[str, list[Cell]]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Column:
    title: str
    cell: Callable[[AttackFigures], Cell]


def figure_tables(report: Report) -> list[FigureTable]:
    """The tables that a run has figures for."""
    attacks = report.summary.attacks
    if report.is_labelled:
        tables = [_labelled(attacks), _low_rates(attacks), _thresholds(attacks)]
    elif report.is_group:
        tables = [_group(attacks), _low_p_values(attacks)]
    elif report.has_p_values:
        tables = [_low_p_values(attacks)]
    else:
        tables = []
    return [table for table in tables if table is not None]


def number(value: float | None) -> str:
    """A score or a p-value in three digits."""
    return NONE if value is None else f"{value:.3g}"


def _labelled(attacks: dict[str, AttackFigures]) -> FigureTable:
    return _table(
        "Members against non-members",
        attacks,
        [
            _figure("AUC", "auc"),
            *_comparisons(attacks),
            _Column("balanced accuracy", lambda figures: Cell(_plain(figures.balanced_accuracy))),
            _Column("verdict", _verdict),
        ],
        [
            "AUC: the chance that a random member scores above a random non-member; 0.5 is a coin.",
            *_comparison_notes(attacks),
        ],
    )


def _group(attacks: dict[str, AttackFigures]) -> FigureTable:
    return _table(
        "Candidates against known non-members",
        attacks,
        [
            _figure("AUC", "group_auc"),
            *_comparisons(attacks),
            _Column("p of the group", lambda figures: Cell(number(_value(figures, "group_p_value")))),
            _Column("share of members, at least", _member_share),
            _Column("survive FDR 5 %", lambda figures: _count(figures, "survivors_fdr_0.05")),
            _Column("survive FDR 10 %", lambda figures: _count(figures, "survivors_fdr_0.1")),
            _Column("verdict", _verdict),
        ],
        [
            "AUC: the chance that a random candidate scores above a random known non-member; 0.5 is a coin.",
            "The share is a lower 95 % bound: at least as much of the candidates stands out. Survivors are"
            " candidates that stand out by themselves, after the correction for their number"
            " (Benjamini-Hochberg).",
            *_comparison_notes(attacks),
        ],
    )


def _low_rates(attacks: dict[str, AttackFigures]) -> FigureTable:
    return _table(
        "At low false positive rates",
        attacks,
        [_figure(f"TPR at {words} FPR", f"tpr_at_fpr_{rate}") for rate, words in _RATES.items()],
        [
            "TPR at FPR: the share of members above a threshold that this share of the non-members passes."
            " A dash: fewer than ten false positives are expected there, so the set is too small to say."
        ],
    )


def _thresholds(attacks: dict[str, AttackFigures]) -> FigureTable | None:
    columns = [
        _figure(f"{side.upper()} at p ≤ {rate}", f"{side}_at_p_{rate}")
        for rate in _RATES
        for side in ("tpr", "fpr")
        if _any_has(attacks, f"{side}_at_p_{rate}")
    ]
    if not columns:
        return None
    return _table(
        "At thresholds that the known non-members set",
        attacks,
        columns,
        [
            "What one gets who has no labels: candidates with a p-value this low are called. The FPR is the"
            " share of labelled non-members called so; far above p, the known non-members are of another"
            " kind."
        ],
    )


def _low_p_values(attacks: dict[str, AttackFigures]) -> FigureTable | None:
    compared = max((figures.compared for figures in attacks.values()), default=0)
    if not compared:
        return None
    levels = next(iter(attacks.values())).low_p_values
    expected = ", ".join(f"{float(level) * compared:,.0f} with p ≤ {level}" for level in levels)
    return _table(
        "Candidates with low p-values",
        attacks,
        [_Column(f"p ≤ {level}", _low(level)) for level in levels],
        [f"If all {compared:,} candidates were like the known non-members, one would expect {expected}."],
    )


def _comparisons(attacks: dict[str, AttackFigures]) -> Iterator[_Column]:
    """What an AUC is held against, as far as any attack has it."""
    for title, name, signed in (
        ("adjusted AUC", "auc_adjusted", False),
        ("above the best blind baseline", "auc_above_blind", True),
        ("above the reference", "auc_above_reference", True),
        ("without duplicates", "auc_without_duplicates", False),
    ):
        if _any_has(attacks, name):
            yield _figure(title, name, signed)


def _comparison_notes(attacks: dict[str, AttackFigures]) -> Iterator[str]:
    yield "With each figure its 95 % interval."
    if _any_has(attacks, "auc_adjusted"):
        yield "Adjusted: only samples that the blind baselines take for alike are compared."
    if _any_has(attacks, "auc_above_blind"):
        yield "Above the best blind baseline: minus the AUC of a classifier that never saw the model, paired."
    if _any_has(attacks, "auc_above_reference"):
        yield "Above the reference: the AUC minus that of the same attack on the reference model, paired."


def _table(
    title: str, attacks: dict[str, AttackFigures], columns: Sequence[_Column], notes: Sequence[str]
) -> FigureTable:
    rows = {attack: [column.cell(figures) for column in columns] for attack, figures in attacks.items()}
    return FigureTable(title, [column.title for column in columns], rows, [*notes])


def _figure(title: str, name: str, signed: bool = False) -> _Column:
    return _Column(title, lambda figures: _cell(figures.figures.get(name), signed))


def _cell(figure: Figure | None, signed: bool) -> Cell:
    if figure is None or figure.value is None:
        return Cell(NONE)
    if figure.low is None or figure.high is None:
        return Cell(_plain(figure.value, signed))
    return Cell(
        _plain(figure.value, signed), f"{_plain(figure.low, signed)} to {_plain(figure.high, signed)}"
    )


def _plain(value: float | None, signed: bool = False) -> str:
    if value is None:
        return NONE
    return f"{value:+.3f}" if signed else f"{value:.3f}"


def _member_share(figures: AttackFigures) -> Cell:
    share = figures.figures.get("member_share")
    return Cell(NONE if share is None or share.low is None else f"{share.low:.1%}")


def _count(figures: AttackFigures, name: str) -> Cell:
    value = _value(figures, name)
    return Cell(NONE if value is None else f"{value:,.0f}")


def _low(level: str) -> Callable[[AttackFigures], Cell]:
    return lambda figures: Cell(f"{figures.low_p_values.get(level, 0):,}" if figures.compared else NONE)


def _verdict(figures: AttackFigures) -> Cell:
    return Cell(figures.verdict.outcome if figures.verdict else NONE)


def _value(figures: AttackFigures, name: str) -> float | None:
    found = figures.figures.get(name)
    return found.value if found is not None else None


def _any_has(attacks: dict[str, AttackFigures], name: str) -> bool:
    return any(_value(figures, name) is not None for figures in attacks.values())
