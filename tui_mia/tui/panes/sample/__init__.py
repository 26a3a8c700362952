"""The Sample pane: one sample in full."""

from tui_mia.tui.panes.sample.pane import SamplePane

__all__ = ["SamplePane"]
