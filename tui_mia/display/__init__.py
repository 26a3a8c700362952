"""Display: events and summaries come in, text for a terminal or a pipe goes out.

Progress goes to stderr, results to stdout. Everything that came from outside
(captions, keys, file names, error messages) is cleaned before it is shown.
"""

from tui_mia.display.checked import print_check
from tui_mia.display.examined import print_machine
from tui_mia.display.progress import Display, choose_display
from tui_mia.display.results import (
    print_error,
    print_rows,
    print_runs,
    print_summary,
    print_verification,
)

__all__ = [
    "Display",
    "choose_display",
    "print_check",
    "print_error",
    "print_machine",
    "print_rows",
    "print_runs",
    "print_summary",
    "print_verification",
]
