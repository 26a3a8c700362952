"""Results for a reader: a run at a glance, a list of runs, the rows of a query."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tui_mia.clean import printable
from tui_mia.display.words import highest_auc, short_model
from tui_mia.store import (
    LOW_P_VALUES,
    AttackFigures,
    CheckRow,
    Figure,
    RunOverview,
    RunSummary,
    VerdictRow,
)
from tui_mia.verification import Verification

# Narrower than this a column of a table is not read but spelt.
NARROWEST_COLUMN = 9
# Beside the word, which says it all.
VERDICT_STYLES = {"leak": "bold red", "no evidence": "bold green"}
FALSE_POSITIVE_RATES = {"0.1": "TPR@10%", "0.01": "TPR@1%", "0.001": "TPR@0.1%"}


def print_summary(summary: RunSummary) -> None:
    """One run: what was audited, the figures of each attack, what was left out, and where the scores are."""
    console = Console(highlight=False)
    for part in summary_parts(summary):
        _print(console, part)
    if summary.attacks:
        _print(console, _line("scores", f"{_from_here(summary.database)}, view sample_scores"))


def print_error(summary: RunSummary) -> None:
    """Why a run failed, if it did."""
    for part in error_parts(summary.run.error):
        _print(Console(highlight=False), part)


def print_verification(found: Verification) -> None:
    """What was computed anew, and each value that is another than the stored one."""
    console = Console(highlight=False)
    for difference in found.differences:
        where = ".".join(part for part in (difference.table, difference.row, difference.column) if part)
        values = f"{difference.stored} is stored, {difference.recomputed} follows"
        _print(console, _line("differs", f"{where}: {values}"))
    count = len(found.differences) or "none"
    _print(console, _line("verify", f"{found.compared} rows computed anew, {count} with a difference"))
    if found.not_recomputed:
        _print(console, _line("", f"not from what is stored: {', '.join(found.not_recomputed)}"))


def summary_parts(summary: RunSummary) -> Iterator[Text | Table]:
    """The lines and tables that tell of a run: what was audited, and the figures of each attack."""
    run = summary.run
    yield from verdict_parts(summary.verdict)
    samples = ", ".join(f"{count:,} {pool}" for pool, count in summary.samples.items()) or "no samples"
    seconds = f" in {sum(run.seconds.values()):.0f} s" if run.seconds else ""
    yield _line("run", f"{run.run_id}: {run.status}{seconds}")
    model = short_model(run.architecture, run.pretrained)
    yield _line("model", f"{model}, {run.precision}, on {run.device or 'no device'}")
    yield _line("pools", f"{samples}; {summary.rejects:,} rejected")
    for reason in summary.reject_reasons[:3]:
        yield _line("", f"{reason.count:,} of {reason.pool}: {reason.reason}")
    yield from _attack_parts(summary.attacks)
    for attack, why in run.skipped.items():
        yield _line("skipped", f"{attack}: {why}")
    yield from check_parts(summary.checks)


def verdict_parts(verdict: VerdictRow | None) -> Iterator[Text]:
    """What follows from the figures, and why."""
    if verdict is not None:
        line = _line("verdict", verdict.outcome)
        line.stylize(VERDICT_STYLES.get(verdict.outcome, "bold"), len("verdict "))
        yield line
        for reason in verdict.reasons:
            yield _line("", reason)


def check_parts(checks: Sequence[CheckRow]) -> Iterator[Text]:
    """What the checks found that matters; and how many there were."""
    amiss = [check for check in checks if check.outcome not in ("ok", "note")]
    if checks:
        yield _line("checks", f"{len(checks)}, {len(amiss) or 'none'} with something amiss")
    for check in amiss:
        yield _line("", f"{check.attack}: {check.words}" if check.attack else check.words)


def error_parts(error: str | None) -> Iterator[Text]:
    """The lines of an error."""
    for line in (error or "").splitlines():
        yield _line("error", line)


def _attack_parts(attacks: dict[str, AttackFigures]) -> Iterator[Text | Table]:
    if not attacks:
        return
    found = attacks.values()
    if any(figures.auc is not None for figures in found):
        yield _figure_table(attacks)
        if any(None in figures.tpr_at_fpr.values() for figures in found):
            yield _line("-", "too few labelled candidates: fewer than 10 false positives expected")
    elif any(figures.compared for figures in found):
        yield _p_value_table(attacks)
        yield _line("p", "candidates without labels: how many score as high as few non-members do")
    else:
        yield _line("attacks", ", ".join(attacks))
        yield _line("", "no labels and no known non-members: there is nothing to compare scores with")
    for facts, names in _facts(attacks).items():
        yield _line("fit", f"{', '.join(names)}: {facts}")


def print_runs(runs: Sequence[RunOverview]) -> None:
    """A line a run, newest first."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in ("run", "status", "model", "pairs", "highest AUC", "verdict"):
        table.add_column(column, overflow="fold", no_wrap=column == "run")
    for overview in runs:
        run = overview.run
        model = short_model(run.architecture, run.pretrained)
        pairs = f"{sum(overview.samples.values()):,}"
        verdict = overview.outcome or "-"
        cells = (run.run_id, run.status, model, pairs, highest_auc(overview.auc), verdict)
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


def _figure_table(attacks: dict[str, AttackFigures]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("attack", no_wrap=True)
    for column in ("AUC", "95 %", *FALSE_POSITIVE_RATES.values()):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("verdict")
    for attack, figures in attacks.items():
        rates = (_figure(figures.tpr_at_fpr[rate]) for rate in FALSE_POSITIVE_RATES)
        interval, verdict = _interval(figures.compared_auc), _text(_in_short(figures.verdict))
        table.add_row(_text(attack), _figure(figures.auc), interval, *rates, verdict)
    return table


def _p_value_table(attacks: dict[str, AttackFigures]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("attack", no_wrap=True)
    for column in ("AUC", "95 %", *(f"p <= {level}" for level in LOW_P_VALUES), "verdict"):
        table.add_column(column, justify="left" if column == "verdict" else "right", no_wrap=True)
    compared = max(figures.compared for figures in attacks.values())
    expected = (f"{float(level) * compared:,.0f}" for level in LOW_P_VALUES)
    table.add_row("of non-members", "0.500", "", *expected, "")
    for attack, figures in attacks.items():
        counts = (f"{figures.low_p_values[level]:,}" if figures.compared else "-" for level in LOW_P_VALUES)
        found = figures.compared_auc
        auc = _figure(found.value if found else None)
        table.add_row(_text(attack), auc, _interval(found), *counts, _text(_in_short(figures.verdict)))
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


def _interval(figure: Figure | None) -> str:
    if figure is None or figure.low is None or figure.high is None:
        return "-"
    return f"{figure.low:.3f}-{figure.high:.3f}"


def _in_short(verdict: VerdictRow | None) -> str:
    return "-" if verdict is None else verdict.outcome.removeprefix("inconclusive: ")


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _text(value: str) -> Text:
    return Text(printable(value))


def _line(label: str, text: str) -> Text:
    return _text(f"{label:<8}{text}")


def _print(console: Console, part: Text | Table) -> None:
    console.print(part, soft_wrap=isinstance(part, Text))


def _from_here(path: Path) -> Path:
    """A path as one would type it in the current folder."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
