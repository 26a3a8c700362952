"""The Runs pane: the runs of the database, and one of them in detail."""

from tui_mia.tui.panes.runs.pane import RunsPane

__all__ = ["RunsPane"]
