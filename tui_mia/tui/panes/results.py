"""Placeholder until the pane is written."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.widgets import DataTable

from tui_mia.tui.pane import Pane


class ResultsPane(Pane):
    def compose(self) -> ComposeResult:
        yield DataTable()
