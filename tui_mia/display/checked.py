"""What a check found, for a reader: a line or a few for each finding, and last what follows."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from tui_mia.clean import printable
from tui_mia.preflight import Finding, Preflight

LEVEL_STYLES = {"warning": "bold yellow", "problem": "bold red"}
SECTION_WIDTH = 11
NARROWEST = 20


def print_check(check: Preflight) -> None:
    """The findings by section, and last whether the audit could run."""
    console = Console(highlight=False)
    width = max(console.width - SECTION_WIDTH, NARROWEST)
    section = ""
    for finding in check.findings:
        label = "" if finding.section == section else finding.section
        section = finding.section
        for line in _words(finding).wrap(console, width):
            line.rstrip()
            console.print(Text(f"{label:<{SECTION_WIDTH}}") + line, soft_wrap=True)
            label = ""
    if not check.complete:
        console.print(
            f"At most {check.entries_a_source:,} entries of each source were read. Counts are estimated from"
            " them, and what is in two pools is known of them only."
        )
    console.print(_conclusion(check))


def _words(finding: Finding) -> Text:
    words = Text(printable(finding.words))
    if finding.level == "ok":
        return words
    return Text.assemble((f"{finding.level}: ", LEVEL_STYLES[finding.level]), words)


def _conclusion(check: Preflight) -> Text:
    counted = []
    for level in ("problem", "warning"):
        number = sum(finding.level == level for finding in check.findings)
        if number:
            counted.append(f"{number} {level}{'' if number == 1 else 's'}")
    says = "This audit can run" if check.can_run else "This audit can't run"
    return Text.assemble((says, "bold"), f" ({', '.join(counted)})." if counted else ".")
