"""A plot on the screen, whose lines are told apart by letters as well as by colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.reactive import reactive
from textual_plot import HiResMode, PlotWidget
from textual_plot.axis_formatter import NumericAxisFormatter

from tui_mia.tui.panes.plots.drawing import LETTERS, Panel, dots, log_ticks, marks


class LinearAxis(NumericAxisFormatter):
    """An axis with round numbers, of which none is -0."""

    def get_labels_for_ticks(self, ticks: Sequence[float]) -> list[str]:
        labels = super().get_labels_for_ticks(ticks)
        return [label if float(label) else label.lstrip("-") for label in labels]


class LogAxis(NumericAxisFormatter):
    """An axis along which positions are logarithms to base 10, and labels what they are logarithms of."""

    def get_ticks(self, min_: float, max_: float, max_ticks: int = 8) -> list[float]:
        return log_ticks(min_, max_)

    def get_labels_for_ticks(self, ticks: Sequence[float]) -> list[str]:
        return [f"{10**tick:g}" for tick in ticks]


class Plot(PlotWidget, inherit_bindings=False):
    """A panel, drawn in dots of braille; it can be zoomed and moved along."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "plot--reference",
        *(f"plot--line-{number}" for number in range(1, len(LETTERS) + 1)),
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("plus,equals_sign", "zoom_in", "Zoom in", show=False, id="plots.zoom-in"),
        Binding("minus", "zoom_out", "Zoom out", show=False, id="plots.zoom-out"),
        Binding("h,left", "pan_left", "Move left", show=False, id="plots.left"),
        Binding("l,right", "pan_right", "Move right", show=False, id="plots.right"),
        Binding("k,up", "pan_up", "Move up", show=False, id="plots.up"),
        Binding("j,down", "pan_down", "Move down", show=False, id="plots.down"),
        Binding("r,0", "reset_scales", "See all of it again", show=False, id="plots.reset"),
    ]

    margin_top = reactive(0)
    margin_bottom = reactive(1)
    margin_left = reactive(8)

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.panel: Panel | None = None

    def on_mount(self) -> None:
        super().on_mount()
        self._draw()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._draw()

    def show(self, panel: Panel | None) -> None:
        """Draw a panel in the place of what is there; None for nothing."""
        self.panel = panel
        self.set_x_formatter(LogAxis() if panel and panel.is_log_x else LinearAxis())
        self.set_y_formatter(LogAxis() if panel and panel.is_log_y else LinearAxis())
        if panel is not None:
            self.border_title = Content(panel.title)
            self.set_xlimits(*panel.x_range)
            self.set_ylimits(*panel.y_range)
        self._draw()

    @on(PlotWidget.ScaleChanged)
    def _letters_for_this_part(self, event: PlotWidget.ScaleChanged) -> None:
        event.stop()
        self._draw((event.x_min, event.x_max))

    def _draw(self, x_range: tuple[float, float] | None = None) -> None:
        if not self.is_mounted:
            return
        self.clear()
        panel = self.panel
        if panel is None:
            return
        x_range = x_range or panel.x_range
        if panel.reference is not None:
            style = self._style("plot--reference")
            self.scatter(*dots(panel.reference, x_range), marker="·", marker_style=style)
        styles = [self._style(f"plot--line-{1 + n % len(LETTERS)}") for n in range(len(panel.lines))]
        for line, style in zip(panel.lines, styles, strict=True):
            self.plot(line.x, line.y, line_style=style, hires_mode=HiResMode.BRAILLE)
        # Letters last, so that no line hides them.
        for number, (line, style) in enumerate(zip(panel.lines, styles, strict=True)):
            at = marks(panel, number, x_range)
            self.scatter(*at, marker=line.letter, marker_style=f"bold {style}")

    def _style(self, component: str) -> str:
        return str(self.get_component_rich_style(component))
