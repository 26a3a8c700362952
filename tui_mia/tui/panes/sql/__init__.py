"""The SQL pane: questions to the database, and their answers."""

from tui_mia.tui.panes.sql.pane import SqlPane

__all__ = ["SqlPane"]
