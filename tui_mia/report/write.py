"""A report in the format asked for, as text or as a file."""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Final

from tui_mia.report.contents import Report
from tui_mia.report.document import json_report
from tui_mia.report.html import html_report
from tui_mia.report.markdown import markdown_report
from tui_mia.store import ExportError
from tui_mia.store.files import appearing


class Format(StrEnum):
    HTML = "html"
    MD = "md"
    JSON = "json"


_SUFFIXES: Final = {".html": Format.HTML, ".htm": Format.HTML, ".md": Format.MD, ".json": Format.JSON}
_RENDERED: Final[dict[Format, Callable[[Report], str]]] = {
    Format.HTML: html_report,
    Format.MD: markdown_report,
    Format.JSON: json_report,
}


def format_of(output: Path | None) -> Format:
    """The format that a file's name asks for; HTML without a file. Raises `ExportError`."""
    if output is None:
        return Format.HTML
    found = _SUFFIXES.get(output.suffix.lower())
    if found is None:
        raise ExportError(f"{output}: name a file that ends in .html, .md or .json, or choose with --format")
    return found


def rendered(report: Report, format: Format) -> str:  # noqa: A002
    """The document as text."""
    return _RENDERED[format](report)


def write_report(
    report: Report,
    output: Path | None,
    format: Format,  # noqa: A002
    *,
    overwrite: bool = False,
) -> Path:
    """Write the document to `output`, by default a file named for the run, and return where it is.

    The file appears whole or not at all, readable by its owner only. Raises `ExportError`.
    """
    if output is None:
        output = Path(re.sub(r"[^\w.-]+", "_", report.summary.run.run_id).lstrip(".") + f".{format}")
    text = rendered(report, format)
    with appearing(output, overwrite=overwrite) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
    return output
