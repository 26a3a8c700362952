"""What every pane is: a part of the screen with a name, a help text and keys of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias, cast, get_args

from textual.containers import Vertical
from textual.widget import Widget

if TYPE_CHECKING:
    from tui_mia.tui.app import TuiMia

PaneName: TypeAlias = Literal["audit", "runs", "results", "sample", "plots", "sql", "log", "checks"]
PANES: tuple[PaneName, ...] = get_args(PaneName)
TITLES: dict[PaneName, str] = {
    "audit": "Audit",
    "runs": "Runs",
    "results": "Results",
    "sample": "Sample",
    "plots": "Plots",
    "sql": "SQL",
    "log": "Log",
    "checks": "Checks",
}


class Pane(Vertical):
    """A pane is made when it is first shown and stays, so that nothing typed or chosen in it is lost."""

    HELP: ClassVar[str] = ""
    """What the pane is for, as Markdown; F1 shows it above the pane's keys."""

    @property
    def tui(self) -> TuiMia:
        """The app, as what it is."""
        return cast("TuiMia", self.app)

    def say_failed(self, error: Exception) -> None:
        """Tell of something that went wrong beside what the user asked for."""
        self.tui.say(f"{type(error).__name__}: {error}", "error", toast=True)

    async def on_show_pane(self) -> None:
        """Called each time the pane comes to the front; what takes long belongs in a worker."""

    def first_focus(self) -> Widget | None:
        """What has the focus when the pane comes to the front: single keys work there."""
        return next((widget for widget in self.query("*") if widget.focusable), None)
