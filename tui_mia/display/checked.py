"""What a check found, for a reader: one line or a few for each finding, and what follows at the end."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tui_mia.clean import printable
from tui_mia.preflight import Finding, Preflight

LEVEL_STYLES = {"warning": "bold yellow", "problem": "bold red"}


def print_check(check: Preflight) -> None:
    """The findings by section, and last whether the audit could run."""
    console = Console(highlight=False)
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    section = ""
    for finding in check.findings:
        table.add_row("" if finding.section == section else finding.section, _words(finding))
        section = finding.section
    console.print(table)
    if not check.complete:
        console.print(
            Text(
                f"At most {check.entries_a_source:,} entries of each source were read; counts are estimated from"
                " them, and pairs that are in two pools are known only among them."
            )
        )
    console.print(_conclusion(check))


def _words(finding: Finding) -> Text:
    words = Text(printable(finding.words))
    if finding.level == "ok":
        return words
    return Text.assemble((f"{finding.level}: ", LEVEL_STYLES[finding.level]), words)


def _conclusion(check: Preflight) -> Text:
    problems = sum(finding.level == "problem" for finding in check.findings)
    warnings = sum(finding.level == "warning" for finding in check.findings)
    counted = [
        f"{number} {name}{'' if number == 1 else 's'}"
        for number, name in ((problems, "problem"), (warnings, "warning"))
        if number
    ]
    beside = f" ({', '.join(counted)})" if counted else ""
    return Text.assemble(
        ("This audit can run" if check.can_run else "This audit can't run", "bold"), f"{beside}."
    )
