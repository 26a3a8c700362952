"""The lines of the Checks pane: attacks with their verdicts, then checks in groups, the worst first."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from rich.cells import cell_len, set_cell_size

from tui_mia.clean import printable
from tui_mia.display.check_groups import CheckGroup, check_groups, is_amiss
from tui_mia.display.words import short_verdict
from tui_mia.store import AttackFigures, CheckRow, Figure, RunSummary

_NAME: Final = 16
_OUTCOME: Final = 14
_CHECK: Final = 26
_VALUE: Final = 6
_INTERVAL: Final = 11
_BEFORE_BAR: Final = _OUTCOME + 1 + _CHECK + 1 + _VALUE + 1 + _INTERVAL + 1
_ATTACK_BEFORE_BAR: Final = 72
_WIDEST_BAR: Final = 41
_NARROWEST_BAR: Final = 11
# Of these the value is an AUC, which has a place between 0 and 1.
_OF_AUC: Final = ("blind_", "reference", "negative_control", "power")
# (figure, its name in full)
_OF_AN_ATTACK: Final = (
    ("auc", "AUC of members against non-members"),
    ("group_auc", "AUC of candidates against known non-members"),
    ("auc_adjusted", "adjusted for what the blind baselines see"),
    ("auc_above_blind", "minus the best blind baseline, paired"),
    ("auc_above_reference", "minus the same attack on the reference, paired"),
    ("auc_without_duplicates", "AUC without near duplicates"),
)


@dataclass(frozen=True)
class Heading:
    """The line above a group of checks."""

    group: CheckGroup


@dataclass(frozen=True)
class AttackHeading:
    """The line above the attacks."""


@dataclass(frozen=True)
class CheckLine:
    """A check, and the question of its group."""

    check: CheckRow
    question: str


@dataclass(frozen=True)
class AttackLine:
    """An attack with its figures and verdict."""

    attack: str
    figures: AttackFigures


Line: TypeAlias = Heading | AttackHeading | CheckLine | AttackLine


def lines_of(summary: RunSummary) -> list[Line]:
    """All lines of a run, in the order in which they are shown."""
    return list(_lines(summary))


def _lines(summary: RunSummary) -> Iterator[Line]:
    if summary.attacks:
        yield AttackHeading()
    for attack, figures in summary.attacks.items():
        yield AttackLine(attack, figures)
    for group in check_groups(summary.checks):
        yield Heading(group)
        for check in group.checks:
            yield CheckLine(check, group.question)


def is_heading(line: Line) -> bool:
    return isinstance(line, Heading | AttackHeading)


def line_text(line: Line, width: int) -> str:
    """A line in at most `width` cells, safe to show."""
    match line:
        case AttackHeading():
            titles = ("AUC", "95 %", "adjusted", "> blind", "> ref.")
            return _attack_row("Attacks", titles, "verdict", scale(_odd(width - _ATTACK_BEFORE_BAR)), width)
        case AttackLine():
            return _attack_text(line, width)
        case Heading():
            name = _fitted(line.group.title, _OUTCOME + 1 + _CHECK)
            of_auc = line.group.checks[0].check.startswith(_OF_AUC)
            drawn = scale(_odd(width - _BEFORE_BAR)) if of_auc else ""
            return _fitted(f"{name} {'value':>{_VALUE}} {'95 %':<{_INTERVAL}} {drawn}", width).rstrip()
        case CheckLine():
            return _check_text(line.check, width)


def detail_text(line: Line) -> str:
    """All that is known of what a line stands for, a sentence or a figure a line."""
    match line:
        case AttackLine():
            verdict = line.figures.verdict
            outcome = verdict.outcome if verdict else "no verdict: it did not run, or nothing is compared"
            found = [f"{line.attack}: {outcome}", *(verdict.reasons if verdict else [])]
            for name, words in _OF_AN_ATTACK:
                if (figure := line.figures.figures.get(name)) is not None and figure.value is not None:
                    signed = name.startswith("auc_above")
                    found.append(f"{_figure(figure, signed=signed)}  {words}")
            return "\n".join(printable(text) for text in found)
        case CheckLine():
            check = line.check
            of = f" ({check.attack})" if check.attack else ""
            return "\n".join(
                printable(text)
                for text in (f"{check.check}{of}: {check.outcome}", check.words, f"Asks: {line.question}")
            )
        case _:
            return ""


def as_csv(summary: RunSummary) -> str:
    """The checks as CSV, as they are in the table `checks`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CheckRow.__slots__)
    for check in summary.checks:
        writer.writerow("" if value is None else value for value in check.document().values())
    return text.getvalue()


def title(summary: RunSummary) -> str:
    """Which run it is, its verdict, and how many checks found something."""
    amiss = sum(map(is_amiss, summary.checks))
    verdict = summary.verdict.outcome if summary.verdict else "no verdict"
    return printable(
        f"run {summary.run.run_id}: {verdict}; {len(summary.checks)} checks, {amiss or 'none'} amiss"
    )


def bar(value: float | None, low: float | None, high: float | None, cells: int) -> str:
    """A value between 0 and 1 and its interval, drawn in so many cells with a mark at a half."""
    if cells <= 0:
        return ""
    drawn = [" "] * cells
    drawn[cells // 2] = "┊"
    if low is not None and high is not None:
        first, last = _place(low, cells), _place(high, cells)
        drawn[first : last + 1] = "─" * (last + 1 - first)
        drawn[first], drawn[last] = "├", "┤"
    if value is not None:
        drawn[_place(value, cells)] = "●"
    return "".join(drawn)


def scale(cells: int) -> str:
    """What stands above bars."""
    if cells <= 0:
        return ""
    middle = cells // 2
    return "0".ljust(middle - 1) + "0.5".ljust(cells - middle) + "1"


def _place(value: float, cells: int) -> int:
    return round(min(1.0, max(0.0, value)) * (cells - 1))


def _odd(room: int) -> int:
    """How many cells a bar has: an odd number, so that a half is in the middle; none where it says little."""
    room = min(_WIDEST_BAR, room)
    return room - 1 + room % 2 if room >= _NARROWEST_BAR else 0


def _check_text(check: CheckRow, width: int) -> str:
    sign = "▲" if is_amiss(check) else {"ok": "✓", "note": "•"}[check.outcome]
    outcome = _fitted(f"{sign} {check.outcome}", _OUTCOME)
    is_auc = check.check.startswith(_OF_AUC)
    is_count = check.check.startswith(("duplicates_", "captions_"))
    value = "-" if check.value is None else f"{check.value:,.0f}" if is_count else f"{check.value:.3f}"
    interval = _interval(check.low, check.high)
    if is_count and check.n is not None:
        interval = f"of {check.n:,}"
    cells = _odd(width - _BEFORE_BAR) if is_auc and check.value is not None else 0
    drawn = bar(check.value, check.low, check.high, cells)
    name = _fitted(_name(check), _CHECK)
    return _fitted(f"{outcome} {name} {value:>{_VALUE}} {interval:<{_INTERVAL}} {drawn}", width).rstrip()


def _name(check: CheckRow) -> str:
    """A check as its group has it, without the words that all of the group share."""
    known = {
        "reference": check.attack,
        "negative_control": check.attack,
        "reference_failed": f"{check.attack} failed",
        "control_failed": f"{check.attack} failed",
        "stability_order": "order and batch",
        "stability_seed": f"seed, {check.attack}",
        "power": "detectable AUC",
    }.get(check.check)
    if known:
        return known
    first, _, rest = check.check.partition("_")
    words = rest.replace("_", " ").replace("nonmembers", "non-members")
    kind = {"duplicates": "image", "captions": "caption"}.get(first, "" if first == "blind" else first)
    return f"{kind} {words}".strip()


def _attack_text(line: AttackLine, width: int) -> str:
    figures = line.figures.figures
    auc = line.figures.compared_auc
    adjusted, blind, reference = (
        figures.get(f"auc_{name}") for name in ("adjusted", "above_blind", "above_reference")
    )
    cells = (
        _value(auc),
        _interval(auc.low, auc.high) if auc else "-",
        _value(adjusted),
        _value(blind, signed=True),
        _value(reference, signed=True),
    )
    verdict = short_verdict(line.figures.verdict.outcome if line.figures.verdict else None)
    drawn = bar(auc.value, auc.low, auc.high, _odd(width - _ATTACK_BEFORE_BAR)) if auc else ""
    return _attack_row(line.attack, cells, verdict, drawn, width)


def _attack_row(name: str, cells: tuple[str, ...], verdict: str, drawn: str, width: int) -> str:
    auc, interval, adjusted, blind, reference = cells
    text = (
        f"{_fitted(name, _NAME)} {auc:>5} {interval:<{_INTERVAL}} {adjusted:>8} {blind:>7}"
        f" {reference:>6} {verdict:<12} {drawn}"
    )
    return _fitted(text, width).rstrip()


def _value(figure: Figure | None, *, signed: bool = False) -> str:
    if figure is None or figure.value is None:
        return "-"
    return f"{figure.value:+.3f}" if signed else f"{figure.value:.3f}"


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{low:.3f}-{high:.3f}"


def _figure(figure: Figure, *, signed: bool) -> str:
    sign = "+" if signed else ""
    text = f"{figure.value:{sign}.3f}"
    if figure.low is not None and figure.high is not None:
        text += f" ({figure.low:{sign}.3f} to {figure.high:{sign}.3f})"
    return text


def _fitted(text: str, width: int) -> str:
    text = printable(text)
    if cell_len(text) <= width:
        return set_cell_size(text, width)
    return f"{set_cell_size(text, width - 1)}…" if width > 0 else ""
