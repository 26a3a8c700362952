"""A report as Markdown, to read in a terminal or to paste into an issue; without pictures.

What is from outside (captions, keys, names, errors) stands in code, where no
markup, link or mention is obeyed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from tui_mia.clean import printable
from tui_mia.display.check_groups import check_groups
from tui_mia.report import facts
from tui_mia.report.contents import ExposedSample, Report
from tui_mia.report.figure_tables import FigureTable, figure_tables
from tui_mia.report.limits import limits
from tui_mia.report.meaning import headline

LONGEST_CAPTION: Final = 300
# An underscore within a word is none.
_MARKUP: Final = re.compile(r"([\\`*\[\]<>#|~!&$]|(?<!\w)_|_(?!\w))")


def markdown_report(report: Report) -> str:
    """The document; lines are as long as their sentences."""
    return "\n".join(_lines(report)) + "\n"


def plain(text: str) -> str:
    """Text on one line, of which nothing is taken for markup."""
    return _MARKUP.sub(r"\\\1", printable(" ".join(text.split())))


def code(text: str, longest: int = LONGEST_CAPTION) -> str:
    """Text from outside as code, on one line; its backticks can't end it."""
    shown = printable(" ".join(text.split()))
    shown = shown if len(shown) <= longest else f"{shown[:longest]} …"
    if not shown:
        return "(empty)"
    fence = _fence(shown, 1)
    # A space keeps a backtick at the end apart from the fence; Markdown takes it off again.
    space = " " if shown[0] == "`" or shown[-1] == "`" else ""
    return f"{fence}{space}{shown}{space}{fence}"


def _lines(report: Report) -> Iterator[str]:
    said = headline(report)
    yield from (f"# {plain(facts.title(report))}", "", plain(facts.subtitle(report)), "")
    yield from (f"## Verdict: {plain(said.outcome)}", "")
    yield from _list(said.reasons)
    for name, words in (("It means", said.means), ("It does not mean", said.not_means)):
        if words:
            yield from (f"**{name}:** {plain(words)}", "")
    if report.summary.run.error:
        yield from ("What went wrong:", "", *_block(report.summary.run.error), "")
    yield from _figures(report)
    yield from _checks(report)
    if found := limits(report):
        yield from ("## What to bear in mind", "")
        yield from _list(found)
    if report.exposed:
        yield from ("## Most exposed samples", "", plain(facts.exposed_words(report)), "")
        yield from (f"{place}. {_sample(sample)}" for place, sample in enumerate(report.exposed, 1))
        yield ""
    yield from _audited(report)
    yield from ("## Doing it again", "")
    yield from (f"- {what}: {code(command)}" for command, what in facts.commands(report))


def _figures(report: Report) -> Iterator[str]:
    summary = report.summary
    if not summary.attacks:
        return
    yield from ("## Figures", "", "Higher scores mean more likely a member, for every attack.", "")
    tables = figure_tables(report)
    for table in tables:
        yield from _table(table)
    if not tables:
        names = ", ".join(map(plain, summary.attacks))
        yield from (f"There is nothing to compare the scores with. Scored by: {names}.", "")
    if summary.run.skipped:
        yield from ("Attacks that did not run:", "")
        yield from (f"- {plain(attack)}: {code(why)}" for attack, why in summary.run.skipped.items())
        yield ""


def _table(table: FigureTable) -> Iterator[str]:
    yield from (f"### {plain(table.title)}", "")
    rows = [
        [attack, *(f"{cell.figure} ({cell.interval})" if cell.interval else cell.figure for cell in cells)]
        for attack, cells in table.rows.items()
    ]
    yield from _columns(["attack", *table.columns], [[plain(cell) for cell in row] for row in rows])
    yield ""
    yield from _list(table.notes)


def _columns(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table whose columns stand one below another in a terminal too."""
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    for row in (titles, ["-" * width for width in widths], *rows):
        yield "| " + " | ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) + " |"


def _checks(report: Report) -> Iterator[str]:
    groups = check_groups(report.summary.checks)
    if groups:
        yield from ("## What the checks found", "")
    for group in groups:
        yield from (f"### {plain(group.title)}: {plain(group.question)}", "")
        for check in group.checks:
            attack = f"{check.attack}: " if check.attack else ""
            yield f"- **{plain(check.outcome)}**: {plain(attack + check.words)}"
        yield ""


def _sample(sample: ExposedSample) -> str:
    said = ", ".join([*facts.sample_words(sample), f"key {code(sample.key, 120)}"])
    return said if sample.caption is None else f"{said}: {code(sample.caption)}"


def _audited(report: Report) -> Iterator[str]:
    yield from ("## What was audited", "")
    for pool in report.pools:
        content = f"; SHA-256 of the content {code(pool.fingerprint)}" if pool.fingerprint else ""
        yield (
            f"- {plain(pool.pool)}: {pool.samples:,} samples, {pool.rejects:,} rejected,"
            f" from {code(pool.source)}{content}"
        )
    yield ""
    listed, others = facts.rejected(report)
    if listed:
        yield from ("### What was rejected, and why", "")
        yield from (f"- {count} of {plain(pool)}: {code(reason)}" for count, pool, reason in listed)
        if others:
            yield f"- {others:,} for other reasons; the table rejects has each"
        yield ""
    for title, said in (
        ("Model", facts.model_facts(report)),
        ("Fits", facts.fit_facts(report)),
        ("Run", facts.run_facts(report)),
    ):
        if said:
            yield from (f"### {title}", "")
            yield from (f"- {plain(name)}: {code(value, 1000)}" for name, value in said)
            yield ""
    if report.summary.run.spec:
        yield from ("### Spec", "", *_block(report.summary.run.spec, "toml"), "")


def _block(text: str, language: str = "") -> Iterator[str]:
    """Text from outside with its lines; no fence within it ends it."""
    fence = _fence(text, 3)
    yield fence + language
    yield from (printable(line.rstrip("\r")) for line in text.strip("\n").split("\n"))
    yield fence


def _fence(text: str, shortest: int) -> str:
    """Backticks, one more than stand together anywhere in the text."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    return "`" * max(shortest, longest + 1)


def _list(sentences: Sequence[str]) -> Iterator[str]:
    yield from (f"- {plain(sentence)}" for sentence in sentences)
    if sentences:
        yield ""
