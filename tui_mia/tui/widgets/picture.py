"""A picture in the terminal: half cells everywhere, real pixels where the terminal has them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from rich.segment import Segment
from textual.app import ComposeResult
from textual.content import Content
from textual.strip import Strip
from textual.theme import Theme
from textual.widget import Widget

from tui_mia.clean import printable
from tui_mia.settings import Settings
from tui_mia.tui.background import in_background
from tui_mia.tui.widgets.graphics import image_widget
from tui_mia.tui.widgets.half_cells import Thumbnail, Thumbnails, draw

_thumbnails = Thumbnails()


@dataclass(frozen=True)
class Drawing:
    """A picture made ready for a size and a background, or the reason why there is none."""

    image_bytes: bytes
    thumbnail: Thumbnail | str
    size: tuple[int, int]
    strips: list[Strip]


class Picture(Widget):
    """Shows one picture as large as there is room, or a line of text in its place; decodes in threads."""

    ALLOW_SELECT: ClassVar[bool] = False

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._text = ""
        self._drawing: Drawing | None = None
        self._turn = 0
        self._pixels: Widget | None = None

    def compose(self) -> ComposeResult:
        settings = getattr(self.app, "settings", Settings())
        self._off = settings.images == "off"
        self._pixels = image_widget(settings.images)
        if self._pixels is not None:
            self._pixels.styles.width = self._pixels.styles.height = "auto"
            self._pixels.display = False
            yield self._pixels

    def on_mount(self) -> None:
        self.app.theme_changed_signal.subscribe(self, self._theme_changed)

    async def show(self, image_bytes: bytes | None) -> None:
        """Show a picture, or nothing; what was shown before leaves at once."""
        self.say("")
        if image_bytes is not None:
            turn = self._turn
            drawing = await self.prepare(image_bytes)
            if turn == self._turn:
                self.put(drawing)

    def say(self, text: str) -> None:
        """Show a line in place of a picture."""
        self._turn += 1
        self._drawing = None
        self._show_text(text)

    async def prepare(self, image_bytes: bytes) -> Drawing:
        """Decode and draw a picture for the present size, without showing it."""
        size, background = self._room()
        return await asyncio.to_thread(_prepare, image_bytes, size, background, self._pixels is None)

    def put(self, drawing: Drawing) -> None:
        """Show what was prepared."""
        self._turn += 1
        self._drawing = drawing
        if isinstance(drawing.thumbnail, str):
            self._show_text(drawing.thumbnail)
        elif self._off:
            self._show_text("pictures are switched off in the settings")
        elif self._pixels is not None:
            self._show_text("")
            self._pixels.image = drawing.thumbnail.image  # type: ignore[attr-defined]
            self._pixels.display = True
        else:
            self._show_text("")
            if drawing.size != self._room()[0]:
                self._draw_again()

    @property
    def text(self) -> str:
        """The line in place of a picture; empty where there is one."""
        return self._text

    def render(self) -> Content:
        return Content(self._text)

    def render_line(self, y: int) -> Strip:
        if self._text or self._drawing is None or self._pixels is not None:
            return super().render_line(y)
        strips, width, behind = self._drawing.strips, self.content_size.width, self.rich_style
        if y >= len(strips):
            return Strip.blank(width, behind)
        margin = Segment(" " * max((width - strips[y].cell_length) // 2, 0), behind)
        return Strip([margin, *strips[y]]).adjust_cell_length(width, behind)

    def on_resize(self) -> None:
        self._draw_again()

    def _show_text(self, text: str) -> None:
        self._text = printable(text)
        if self._pixels is not None:
            self._pixels.display = False
        self.refresh()

    def _theme_changed(self, _: Theme) -> None:
        self.call_after_refresh(self._draw_again)

    def _draw_again(self) -> None:
        if self._drawing is not None and self._pixels is None:
            in_background(self, partial(self._redraw, self._drawing), in_place_of="picture")

    async def _redraw(self, before: Drawing) -> None:
        drawing = await self.prepare(before.image_bytes)
        if self._drawing is before:
            self.put(drawing)

    def _room(self) -> tuple[tuple[int, int], tuple[int, int, int]]:
        """The size in cells and what is behind the picture."""
        _, background = self.background_colors
        return (self.content_size.width, self.content_size.height), background.rgb


def _prepare(
    image_bytes: bytes, size: tuple[int, int], background: tuple[int, int, int], half_cells: bool
) -> Drawing:
    thumbnail = _thumbnails.of(image_bytes)
    strips: list[Strip] = []
    if half_cells and not isinstance(thumbnail, str):
        strips = draw(thumbnail, *size, background)
    return Drawing(image_bytes, thumbnail, size, strips)
