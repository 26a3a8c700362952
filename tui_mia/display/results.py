"""Results for a reader: a run at a glance, a list of runs, the rows of a query."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tui_mia.clean import printable
from tui_mia.store import LOW_P_VALUES, AttackFigures, RunOverview, RunRow, RunSummary

# Narrower than this a column of a table is not read but spelt.
NARROWEST_COLUMN = 9
FALSE_POSITIVE_RATES = {"0.1": "TPR@10%", "0.01": "TPR@1%", "0.001": "TPR@0.1%"}


def print_summary(summary: RunSummary) -> None:
    """One run: what was audited, the figures of each attack, what was left out, and where the scores are."""
    console = Console(highlight=False)
    run = summary.run
    samples = ", ".join(f"{count:,} {pool}" for pool, count in summary.samples.items()) or "no samples"
    seconds = f" in {sum(run.seconds.values()):.0f} s" if run.seconds else ""
    _line(console, "run", f"{run.run_id}: {run.status}{seconds}")
    _line(console, "model", f"{_short_model(run)}, {run.precision}, on {run.device or 'no device'}")
    _line(console, "pools", f"{samples}; {summary.rejects:,} rejected")
    for reason in summary.reject_reasons[:3]:
        _line(console, "", f"{reason.count:,} of {reason.pool}: {reason.reason}")
    if summary.attacks:
        found = summary.attacks.values()
        if any(figures.auc is not None for figures in found):
            console.print(_figure_table(summary.attacks))
            if any(None in figures.tpr_at_fpr.values() for figures in found):
                _line(console, "-", "too few labelled candidates: fewer than 10 false positives expected")
        elif any(figures.compared for figures in found):
            console.print(_p_value_table(summary.attacks))
            _line(console, "p", "candidates without labels: how many score as high as few non-members do")
        else:
            _line(console, "attacks", ", ".join(summary.attacks))
            _line(console, "", "no labels and no known non-members: there is nothing to compare scores with")
        for facts, attacks in _facts(summary.attacks).items():
            _line(console, "fit", f"{', '.join(attacks)}: {facts}")
    for attack, why in run.skipped.items():
        _line(console, "skipped", f"{attack}: {why}")
    if summary.attacks:
        _line(console, "note", "raw figures can't tell membership from pools that differ")
        _line(console, "scores", f"{_from_here(summary.database)}, view sample_scores")


def print_error(summary: RunSummary) -> None:
    """Why a run failed, if it did."""
    console = Console(highlight=False)
    for line in (summary.run.error or "").splitlines():
        _line(console, "error", line)


def print_runs(runs: Sequence[RunOverview]) -> None:
    """A line a run, newest first."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in ("run", "status", "model", "pairs", "highest AUC"):
        table.add_column(column, overflow="fold", no_wrap=column == "run")
    for overview in runs:
        run = overview.run
        pairs = f"{sum(overview.samples.values()):,}"
        cells = (run.run_id, run.status, _short_model(run), pairs, _highest(overview.auc))
        table.add_row(*(_text(cell) for cell in cells))
    Console(highlight=False).print(table)


def print_rows(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """The rows of a query to look at: a table, or a line a value where a table would not fit.

    Numbers have six digits here, where CSV and JSON have them all.
    """
    console = Console(highlight=False)
    if len(columns) * NARROWEST_COLUMN > console.width:
        _print_records(console, columns, rows)
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(_text(column), overflow="fold")
    for row in rows:
        table.add_row(*(_text(_cell(value)) for value in row))
    console.print(table)


def _print_records(console: Console, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    width = max(map(len, columns)) + 2
    for row in rows:
        for column, value in zip(columns, row, strict=True):
            console.print(_text(f"{column:<{width}}{_cell(value)}"), soft_wrap=True)
        console.print()


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _short_model(run: RunRow) -> str:
    """The model's name; of a folder or file the end of its path, which tells models apart."""
    names = [name for name in (run.architecture, run.pretrained) if name]
    return " ".join("/".join(name.split("/")[-2:]) for name in names)


def _highest(auc: dict[str, float]) -> str:
    if not auc:
        return "-"
    best = max(auc, key=lambda attack: auc[attack])
    return f"{auc[best]:.3f} {best} of {len(auc)}"


def _figure_table(attacks: dict[str, AttackFigures]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("attack", no_wrap=True)
    for column in ("AUC", "bal. acc.", *FALSE_POSITIVE_RATES.values()):
        table.add_column(column, justify="right")
    for attack, figures in attacks.items():
        rates = (figures.tpr_at_fpr[rate] for rate in FALSE_POSITIVE_RATES)
        numbers = (_figure(value) for value in (figures.auc, figures.balanced_accuracy, *rates))
        table.add_row(_text(attack), *numbers)
    return table


def _p_value_table(attacks: dict[str, AttackFigures]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("attack", no_wrap=True)
    for level in LOW_P_VALUES:
        table.add_column(f"p <= {level}", justify="right")
    compared = max(figures.compared for figures in attacks.values())
    table.add_row("expected of non-members", *(f"{float(level) * compared:,.0f}" for level in LOW_P_VALUES))
    for attack, figures in attacks.items():
        counts = (f"{figures.low_p_values[level]:,}" if figures.compared else "-" for level in LOW_P_VALUES)
        table.add_row(_text(attack), *counts)
    return table


def _facts(attacks: dict[str, AttackFigures]) -> dict[str, list[str]]:
    """What attacks report of their fit, each wording once with the attacks that share it."""
    shared: dict[str, list[str]] = {}
    for attack, figures in attacks.items():
        if figures.facts:
            words = ", ".join(
                f"{name.replace('_', '-')} {value:,.4g}" for name, value in figures.facts.items()
            )
            shared.setdefault(words, []).append(attack)
    return shared


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _text(value: str) -> Text:
    return Text(printable(value))


def _line(console: Console, label: str, text: str) -> None:
    console.print(_text(f"{label:<8}{text}"), soft_wrap=True)


def _from_here(path: Path) -> Path:
    """A path as one would type it in the current folder."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
