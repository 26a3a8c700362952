"""Where the code of each pane is: it is loaded when the pane is first wanted."""

from __future__ import annotations

import importlib

from tui_mia.tui.pane import Pane, PaneName

PANE_CLASSES: dict[PaneName, str] = {
    "audit": "AuditPane",
    "runs": "RunsPane",
    "results": "ResultsPane",
    "sample": "SamplePane",
    "plots": "PlotsPane",
    "sql": "SqlPane",
    "log": "LogPane",
    "checks": "ChecksPane",
}


def pane_class(name: PaneName) -> type[Pane]:
    """The class of a pane; what it imports is loaded at the first call."""
    found: type[Pane] = getattr(importlib.import_module(f"tui_mia.tui.panes.{name}"), PANE_CLASSES[name])
    return found
