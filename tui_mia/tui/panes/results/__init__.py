"""The Results pane: the samples of a run, a page at a time."""

from tui_mia.tui.panes.results.pane import ResultsPane

__all__ = ["ResultsPane"]
