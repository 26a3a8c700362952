"""What is in the sources of a pool: how many pairs, the first captions, and a thumbnail."""

from __future__ import annotations

from functools import partial

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Static

from tui_mia.clean import printable
from tui_mia.pools import Pair
from tui_mia.tui.background import in_background
from tui_mia.tui.panes.audit.pool_sight import PoolSight
from tui_mia.tui.widgets.picture import Picture

_LABELS = {True: "member: ", False: "non-member: ", None: ""}


class SourcePreview(Vertical):
    """Shows a `PoolSight`; beside the form where there is room, else below it."""

    def __init__(self) -> None:
        super().__init__()
        self._image: bytes | None = None

    def compose(self) -> ComposeResult:
        yield Static("", classes="count", markup=False)
        with Horizontal(classes="first"):
            yield Static("", classes="captions", markup=False)
            yield Picture()

    def show(self, sight: PoolSight) -> None:
        """Show what is known of the pool."""
        text = headline(sight)
        self.display = bool(text)
        self.query_one(".count", Static).update(text)
        pairs = sight.preview.pairs if sight.preview else ()
        captions, lines = self.query_one(".captions", Static), Content("\n".join(map(_caption, pairs)))
        if captions.content != lines:
            captions.update(lines)
        image = pairs[0].image if pairs else None
        if image != self._image:
            self._image = image
            self.query_one(Picture).display = image is not None
            in_background(self, partial(self.query_one(Picture).show, image), in_place_of="thumbnail")


def headline(sight: PoolSight) -> str:
    """How many pairs there are, or why what is there is none."""
    if sight.problem or sight.preview is None:
        return ""  # the field says what is wrong
    if not sight.preview.pairs and sight.preview.rejects:
        number, reason = len(sight.preview.rejects), printable(sight.preview.rejects[0].reason)
        return f"! {f'none of the first {number} is' if number > 1 else 'not'} a pair: {reason}"
    if sight.count is None:
        return "counting"
    count = sight.count
    if count.done and not count.files:
        return ""  # the field says that no file is there
    roughly = "about " if count.estimated else "" if count.exact else "at most "
    counted = f"{roughly}{count.pairs:,} pair{'s' if count.pairs != 1 else ''}"
    files = f"{count.files:,} file{'s' if count.files != 1 else ''}"
    rejects = len(sight.preview.rejects)
    rejected = f"; {rejects} of the first {rejects + len(sight.preview.pairs)} rejected" if rejects else ""
    return f"{counted} in {files}{rejected}" if count.done else f"counting: {counted} so far"


def _caption(pair: Pair) -> str:
    return f"• {_LABELS[pair.member]}{printable(pair.caption)}"
