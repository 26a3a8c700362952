"""The Checks pane: what the verdict of a run rests on."""

from tui_mia.tui.panes.checks.pane import ChecksPane

__all__ = ["ChecksPane"]
