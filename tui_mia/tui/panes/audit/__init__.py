"""The Audit pane: a spec as a form, checked as it is typed, with a look into its sources."""

from tui_mia.tui.panes.audit.pane import AuditPane

__all__ = ["AuditPane"]
