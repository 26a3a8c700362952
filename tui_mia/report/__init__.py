"""A report on a run: what the store says of it comes in, one document goes out.

The document is HTML that needs nothing but itself, Markdown, or JSON. Captions,
keys, names and pictures in it are from outside: text is escaped, pictures are
decoded and encoded anew. What may not enter: the model, the engine, a network.
"""

from tui_mia.report.contents import Include, Report
from tui_mia.report.gather import gather
from tui_mia.report.write import Format, format_of, rendered, write_report

__all__ = [
    "Format",
    "Include",
    "Report",
    "format_of",
    "gather",
    "rendered",
    "write_report",
]
