"""The Sample pane: one sample in full, its picture, its caption and how every attack scored it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from tui_mia.spec import AuditSpec
from tui_mia.store import Interrupted, SampleDetail, SampleOrder, SampleSource, StoreError
from tui_mia.tui.background import in_background
from tui_mia.tui.dialogs import AskPath, shown
from tui_mia.tui.pane import Pane
from tui_mia.tui.panes.sample.sample_reader import LastFew, NoPicture, SampleReader, stored_spec
from tui_mia.tui.panes.sample.sample_texts import file_name, heading, metadata_lines, origin, readable
from tui_mia.tui.panes.sample.score_table import ScoreTable
from tui_mia.tui.panes.sample.view_chart import ViewChart
from tui_mia.tui.widgets.picture import Drawing, Picture

NOTHING_CHOSEN: Final = "No sample is chosen. Choose one in Results (key 3) with enter."

_SECONDS_BEFORE_SAYING_SO: Final = 0.3


@dataclass(frozen=True)
class Browsing:
    """What previous and next go by, and where its samples are read."""

    order: SampleOrder
    reader: SampleReader

    def number(self, position: int) -> int:
        """The number of the sample at a place of the order."""
        return int(self.order.numbers[position])


class SampleText(VerticalScroll, inherit_bindings=False):
    """Text that scrolls and leaves the keys to the sides to the pane."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "scroll_up", "Scroll the text up", show=False, id="sample.scroll-up"),
        Binding("down", "scroll_down", "Scroll the text down", show=False, id="sample.scroll-down"),
        Binding("pageup,ctrl+u", "page_up", "A page up", show=False, id="sample.page-up"),
        Binding("pagedown,ctrl+d,space", "page_down", "A page down", show=False, id="sample.page-down"),
    ]


class SamplePane(Pane):
    """Shows the sample that Results opened; previous and next follow the order there."""

    HELP = """\
One sample in full: its picture, its whole caption, and for every attack the score, its **rank** in the
sample's pool (1 is the highest), the share of the pool that scored lower, and the p- and q-value where
there are known non-members to compare with. The bars are the **similarity** of picture and caption: of
the picture as it is, then of each augmented view.

Previous and next go by the order and the filter of Results. The picture is read from the file that the
run read; where that is gone or holds another picture by now, the pane says so.
"""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n,j,l,right", "step(1)", "Next", id="sample.next"),
        Binding("p,k,h,left", "step(-1)", "Previous", id="sample.previous"),
        Binding("g,home", "go(0)", "First of the order", show=False, id="sample.first"),
        Binding("G,end", "go(-1)", "Last of the order", show=False, id="sample.last"),
        Binding("v", "more", "Views", tooltip="Views, metadata and source, or back", id="sample.more"),
        Binding("y", "copy_caption", "Copy the caption", show=False, id="sample.copy-caption"),
        Binding("Y", "copy_id", "Copy the sample's id", show=False, id="sample.copy-id"),
        Binding(
            "w",
            "write_picture",
            "Write picture",
            tooltip="Write the picture to a file",
            id="sample.write-picture",
        ),
        Binding("escape,enter", "back", "Results", tooltip="Back to Results", id="sample.back"),
    ]

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._browsing: Browsing | None = None
        self._detail: SampleDetail | None = None
        self._image: bytes | NoPicture | None = None
        self._drawings: LastFew[Drawing] = LastFew()
        self._wanted = self._shown = -1
        self._direction = 1
        self._following: Browsing | None = None

    def compose(self) -> ComposeResult:
        yield Static(NOTHING_CHOSEN, id="sample-nothing", markup=False)
        yield Static(id="sample-heading", markup=False)
        with Horizontal(id="sample-body"):
            with Vertical(id="sample-left"):
                yield Picture(id="sample-picture")
                yield Static(id="sample-origin", markup=False)
            with Vertical(id="sample-right"):
                with SampleText(id="sample-caption"):
                    yield Static(id="sample-caption-text", markup=False)
                yield ScoreTable(id="sample-scores")
                with SampleText(id="sample-more"):
                    yield Static("Similarity of each view", classes="sample-title", markup=False)
                    yield ViewChart(id="sample-chart")
                    yield Static("Metadata", classes="sample-title -after", markup=False)
                    yield Static(id="sample-metadata", markup=False)
                    yield Static("Source", classes="sample-title -after", markup=False)
                    yield Static(id="sample-source", markup=False)

    def on_mount(self) -> None:
        self._show_parts()

    def on_unmount(self) -> None:
        if self._browsing is not None:
            self._browsing.reader.close()

    def on_resize(self) -> None:
        self.refresh_bindings()

    def first_focus(self) -> Widget:
        return self.query_one("#sample-caption")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "more":
            return self._detail is not None and not self.screen.has_class("-wide")
        if action in ("step", "go", "copy_caption", "copy_id", "write_picture"):
            return self._detail is not None
        return True

    async def show(self, run_id: str, order: SampleOrder, position: int, source: SampleSource) -> None:
        """Show the sample at a position of an order; what was shown before is forgotten."""
        if self._browsing is not None:
            self._browsing.reader.close()
        self._browsing = Browsing(order, SampleReader(source, self._spec_of(run_id)))
        self._drawings = LastFew()
        self._detail = self._image = None
        self._shown, self._direction = -1, 1
        self._show_parts()
        self._go(position)
        self.first_focus().focus()

    # Keys

    def action_step(self, step: int) -> None:
        self._direction = step
        self._go(self._wanted + step)

    def action_go(self, position: int) -> None:
        if self._browsing is not None:
            self._direction = 1 if position == 0 else -1
            self._go(position if position >= 0 else len(self._browsing.order) + position)

    def action_more(self) -> None:
        self.toggle_class("-more")
        self.query_one("#sample-more" if self.has_class("-more") else "#sample-caption").focus()

    async def action_copy_caption(self) -> None:
        if self._detail is not None:
            await self.tui.copy(self._detail.row.caption, "the caption")

    async def action_copy_id(self) -> None:
        if self._detail is not None:
            await self.tui.copy(self._detail.row.sample_id, "the sample's id")

    def action_back(self) -> None:
        self.tui.open_pane("results")

    def action_write_picture(self) -> None:
        if self._detail is None:
            return
        if not isinstance(self._image, bytes):
            reason = self._image.reason if self._image is not None else "it is still being read"
            self.tui.say(f"the picture is not at hand: {reason}", "warning", toast=True)
            return
        proposed = file_name(self._detail.row.key, self._image)
        write = partial(self._write_picture, self._image)
        self.app.push_screen(AskPath("Write the picture, as it was found, to:", proposed), write)

    def _write_picture(self, image: bytes, path: Path | None) -> None:
        if path is not None:
            in_background(self, partial(self._written, image, path))

    async def _written(self, image: bytes, path: Path) -> None:
        try:
            await asyncio.to_thread(_write_new, path, image)
        except OSError as error:
            self.tui.say(f"{path}: can't be written: {error.strerror}", "error", toast=True)
        else:
            self.tui.say(f"wrote {path}", toast=True)

    # From one sample to the next

    def _go(self, position: int) -> None:
        """Make for a position; what can be shown at once is, the rest follows."""
        browsing = self._browsing
        if browsing is None or not len(browsing.order):
            return
        self._wanted = min(max(position, 0), len(browsing.order) - 1)
        detail = browsing.reader.known_detail(browsing.number(self._wanted))
        if detail is not None:
            self._put(browsing, self._wanted, detail)
            return
        self._show_heading()
        if self._following is not browsing:
            self._following = browsing
            in_background(self, partial(self._follow, browsing))

    async def _follow(self, browsing: Browsing) -> None:
        """Read and show what is wanted until that is shown; what was passed over meanwhile is never read."""
        try:
            while browsing is self._browsing and self._shown != self._wanted:
                position = self._wanted
                detail = await browsing.reader.detail(browsing.number(position))
                # What is wanted by now may have been at hand, and be shown already.
                if browsing is self._browsing and self._shown != self._wanted:
                    self._put(browsing, position, detail)
        except Interrupted:
            pass  # by our own hand: there is something else to show, or nothing any more
        except StoreError as error:
            if browsing is self._browsing:
                self._show_problem(str(error))
        finally:
            if self._following is browsing:
                self._following = None

    def _put(self, browsing: Browsing, position: int, detail: SampleDetail) -> None:
        """Show a sample, all of it at once; its picture follows if it isn't at hand."""
        if position == self._shown and self._detail is detail:
            self._show_heading()
            return
        self._shown, self._detail, self._image = position, detail, None
        with self.app.batch_update():
            self._show_parts()
            self._show_heading()
            self._show_texts(detail)
            drawing = self._drawings.get(detail.row.number)
            picture = self.query_one(Picture)
            if drawing is not None:
                self._image = drawing.image_bytes
                picture.put(drawing)
            else:
                picture.say("")
        in_background(self, partial(self._load_pictures, browsing, position, detail), in_place_of="picture")

    async def _load_pictures(self, browsing: Browsing, position: int, detail: SampleDetail) -> None:
        """The picture of a sample and then its neighbours, who are likely to be wanted next."""
        if self._image is None:
            waiting = self.set_timer(_SECONDS_BEFORE_SAYING_SO, self._say_that_it_takes_time)
            try:
                image = await browsing.reader.picture(detail)
                drawing = await self._drawing(detail, image)
            finally:
                waiting.stop()
            if self._detail is not detail:
                return
            self._image = image
            if drawing is not None:
                self.query_one(Picture).put(drawing)
            elif isinstance(image, NoPicture):
                self.query_one(Picture).say(f"picture not at hand: {image.reason}")
        for neighbour in (position + self._direction, position - self._direction):
            if 0 <= neighbour < len(browsing.order):
                try:
                    detail = await browsing.reader.detail(browsing.number(neighbour))
                except StoreError:
                    return  # whoever goes there is told
                await self._drawing(detail, await browsing.reader.picture(detail))

    async def _drawing(self, detail: SampleDetail, image: bytes | NoPicture) -> Drawing | None:
        """A picture made ready to be shown, which is remembered."""
        if isinstance(image, NoPicture):
            return None
        drawing = self._drawings.get(detail.row.number)
        if drawing is None:
            drawing = await self.query_one(Picture).prepare(image)
            self._drawings.put(detail.row.number, drawing)
        return drawing

    def _spec_of(self, run_id: str) -> Callable[[], AuditSpec | None]:
        """What finds the spec of a run, in a thread if it must ask the database."""
        run = self.tui.board.run(run_id) if self.tui.board_ready.is_set() else None
        spec = run.spec if run is not None else None
        return (lambda: spec) if spec is not None else partial(stored_spec, self.tui.database, run_id)

    # What is on the screen

    def _show_parts(self) -> None:
        chosen = self._detail is not None
        self.query_one("#sample-nothing").display = not chosen
        self.query_one("#sample-heading").display = chosen
        self.query_one("#sample-body").display = chosen
        self.refresh_bindings()

    def _show_problem(self, problem: str) -> None:
        self.tui.say(problem, "error", toast=self._detail is not None)
        if self._detail is None:
            self.query_one("#sample-nothing", Static).update(Content(shown(problem)))
        # So that the same key tries again.
        self._wanted = self._shown
        if self._detail is not None:
            self._show_heading()

    def _show_heading(self) -> None:
        if self._detail is not None and self._browsing is not None:
            self.query_one("#sample-heading", Static).update(
                Content(heading(self._detail, self._shown, self._wanted, len(self._browsing.order)))
            )

    def _show_texts(self, detail: SampleDetail) -> None:
        self.query_one("#sample-caption-text", Static).update(Content(readable(detail.row.caption)))
        self.query_one("#sample-origin", Static).update(Content(origin(detail)))
        self.query_one(ScoreTable).show(detail.scores, detail.row.pool)
        self.query_one(ViewChart).show(detail.similarities)
        self.query_one("#sample-metadata", Static).update(Content(metadata_lines(detail.metadata)))
        self.query_one("#sample-source", Static).update(Content(readable(detail.source)))
        for text in self.query(SampleText):
            text.scroll_home(animate=False)

    def _say_that_it_takes_time(self) -> None:
        self.query_one(Picture).say("looking for the picture …")


def _write_new(path: Path, content: bytes) -> None:
    """Write a file that must not be there yet, readable by its owner only."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
