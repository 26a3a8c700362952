"""The Plots pane: ROC curves and score histograms of any attacks of any runs."""

from tui_mia.tui.panes.plots.pane import PlotsPane

__all__ = ["PlotsPane"]
