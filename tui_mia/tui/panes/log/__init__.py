"""The Log pane: what the app and its workers said."""

from tui_mia.tui.panes.log.pane import LogPane

__all__ = ["LogPane"]
