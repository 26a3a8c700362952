"""One sample in full: what is shown of it, and how to get from one to the next."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import duckdb
import numpy as np
import pytest
from textual.pilot import Pilot
from textual.widgets import ContentSwitcher, Input, Static

from tests.conftest import FinishedRun
from tui_mia.store import (
    LiveRun,
    SampleFilter,
    SampleOrder,
    SampleSort,
    SampleSource,
    StoredRun,
    order_samples,
    read_sample,
)
from tui_mia.tui.app import TuiMia
from tui_mia.tui.dialogs import AskPath
from tui_mia.tui.panes.sample import sample_reader
from tui_mia.tui.panes.sample.pane import NOTHING_CHOSEN, SamplePane
from tui_mia.tui.widgets.half_cells import UPPER_HALF
from tui_mia.tui.widgets.picture import Picture

SIZES = [(80, 24), (160, 50)]

WaitUntil: TypeAlias = Callable[..., Awaitable[None]]
ScreenText: TypeAlias = Callable[[Pilot[int]], str]


@pytest.fixture
def stored(finished_run: FinishedRun, tmp_path: Path) -> StoredRun:
    """The finished run in a database of the test's own."""
    database = tmp_path / "audits.duckdb"
    shutil.copy(finished_run.database, database)
    return StoredRun(database, finished_run.run_id)


@pytest.fixture
def best_first(stored: StoredRun) -> SampleOrder:
    """The candidates from the highest score on."""
    return order_samples(stored, SampleSort("score", True, "csa"), SampleFilter(pool="candidates"))


def change(stored: StoredRun, number: int, **values: object) -> None:
    """Give a sample other values than the run did."""
    with duckdb.connect(str(stored.database)) as connection:
        for column, value in values.items():
            connection.execute(
                f"UPDATE samples SET {column} = ? WHERE run_id = ? AND number = ?",
                [value, stored.run_id, number],
            )


class Shown:
    """The pane with a sample in it, as a person sees it."""

    def __init__(self, pilot: Pilot[int], wait_until: WaitUntil, screen_text: ScreenText) -> None:
        self.pilot, self._wait_until, self._screen_text = pilot, wait_until, screen_text

    @property
    def app(self) -> TuiMia:
        assert isinstance(self.pilot.app, TuiMia)
        return self.pilot.app

    @property
    def pane(self) -> SamplePane:
        return self.app.query_one(SamplePane)

    @property
    def picture(self) -> Picture:
        return self.app.query_one(Picture)

    def text(self) -> str:
        return self._screen_text(self.pilot)

    def words(self) -> str:
        """What is on the screen, without regard to where lines end."""
        return " ".join(self.text().replace(UPPER_HALF, " ").split())

    def right_part(self) -> str:
        """What is on the right of the picture, without any space."""
        left = self.app.query_one("#sample-right").region.x
        strips = self.app.screen._compositor.render_strips()
        return "".join("".join(strip.crop(left).text.split()) for strip in strips)

    async def until(self, condition: Callable[[], object]) -> None:
        await self._wait_until(self.pilot, condition)

    async def settled(self, position: int, count: int) -> None:
        """Wait for a sample with all that belongs to it."""
        place = f"\n {position + 1:,} of {count:,} "
        await self.until(lambda: self.pane._image is not None and place in self.text() and self._drawn())

    def _drawn(self) -> bool:
        """Whether the picture, if there is one, is drawn for the room that it has."""
        drawing = self.picture._drawing
        return drawing is None or drawing.size == self.picture._room()[0]

    def number(self) -> int:
        assert self.pane._detail is not None
        return self.pane._detail.row.number


OpenSample: TypeAlias = Callable[[Pilot[int], SampleOrder, int, SampleSource], Awaitable[Shown]]


@pytest.fixture
def open_sample(wait_until: WaitUntil, screen_text: ScreenText) -> OpenSample:
    async def open_it(pilot: Pilot[int], order: SampleOrder, position: int, source: SampleSource) -> Shown:
        shown = Shown(pilot, wait_until, screen_text)
        await wait_until(pilot, shown.app.board_ready.is_set)
        shown.app.show_sample(source.run_id, order, position, source)
        await wait_until(pilot, lambda: shown.app.query(SamplePane))
        await shown.settled(position, len(order))
        return shown

    return open_it


@pytest.mark.parametrize("size", SIZES)
async def test_without_a_sample_it_says_where_to_choose_one(
    make_app: Callable[..., TuiMia],
    bring: Callable[..., Awaitable[object]],
    screen_text: ScreenText,
    size: tuple[int, int],
) -> None:
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await bring(pilot, "sample")
        assert NOTHING_CHOSEN in screen_text(pilot)
        await pilot.press("n", "p", "g", "G", "v", "y", "Y", "w")
        assert NOTHING_CHOSEN in screen_text(pilot)


@pytest.mark.parametrize("size", SIZES)
async def test_all_about_a_sample_is_on_the_screen(
    make_app: Callable[..., TuiMia],
    open_sample: OpenSample,
    stored: StoredRun,
    best_first: SampleOrder,
    world: Path,
    size: tuple[int, int],
) -> None:
    detail = read_sample(stored, int(best_first.numbers[0]))
    app = make_app(stored.database)
    async with app.run_test(size=size) as pilot:
        shown = await open_sample(pilot, best_first, 0, stored)
        words = shown.words()
        assert detail.row.caption in words
        assert f"1 of {len(best_first)}" in words
        assert f"key {detail.row.key}" in words
        assert {True: "member", False: "non-member"}[bool(detail.row.member)] in words
        assert len(detail.scores) > 4
        for score in detail.scores:
            assert f"{score.attack} {score.score:.4g}" in words
        assert f"among {len(best_first)} candidates" in words
        assert shown.text().count(UPPER_HALF) > 300
        if size[0] < 120:
            await pilot.press("v")
            await shown.until(lambda: "Similarity" in shown.text())
        words = shown.words()
        for view, cosine in enumerate(detail.similarities):
            assert f"{f'view {view}' if view else 'plain'} █" in words
            assert f"{cosine:.4f}" in words
        for name, value in json.loads(detail.metadata or "{}").items():
            assert f"{name}:" in words
            assert "".join(str(value).split()) in shown.right_part()
        assert str(world / "candidates.tar") in shown.right_part()


async def test_views_and_metadata_are_a_key_away_and_back(
    make_app: Callable[..., TuiMia], open_sample: OpenSample, stored: StoredRun, best_first: SampleOrder
) -> None:
    app = make_app(stored.database)
    async with app.run_test(size=(80, 24)) as pilot:
        shown = await open_sample(pilot, best_first, 0, stored)
        assert "Similarity" not in shown.text()
        await pilot.press("v")
        await shown.until(lambda: "Similarity" in shown.text() and "attack " not in shown.text())
        await pilot.press("v")
        await shown.until(lambda: "Similarity" not in shown.text() and "attack " in shown.text())


async def test_previous_and_next_go_by_the_order_and_stop_at_its_ends(
    make_app: Callable[..., TuiMia], open_sample: OpenSample, stored: StoredRun, best_first: SampleOrder
) -> None:
    numbers, count = [int(number) for number in best_first.numbers], len(best_first)
    app = make_app(stored.database)
    async with app.run_test() as pilot:
        shown = await open_sample(pilot, best_first, 2, stored)
        assert shown.number() == numbers[2]
        for key, position in (
            ("n", 3),
            ("right", 4),
            ("j", 5),
            ("l", 6),
            ("p", 5),
            ("left", 4),
            ("k", 3),
            ("h", 2),
            ("G", count - 1),
            ("n", count - 1),
            ("g", 0),
            ("p", 0),
            ("end", count - 1),
            ("home", 0),
        ):
            await pilot.press(key)
            await shown.settled(position, count)
            assert shown.number() == numbers[position]
            caption = read_sample(stored, numbers[position]).row.caption
            assert "".join(caption.split()) in shown.right_part()


async def test_the_picture_is_always_that_of_the_text(
    make_app: Callable[..., TuiMia], open_sample: OpenSample, stored: StoredRun, best_first: SampleOrder
) -> None:
    app = make_app(stored.database)
    async with app.run_test() as pilot:
        shown = await open_sample(pilot, best_first, 0, stored)
        mismatches = []

        def compare(*_: object) -> None:
            drawing, detail = shown.picture._drawing, shown.pane._detail
            if drawing is not None and detail is not None:
                digest = hashlib.sha256(drawing.image_bytes).hexdigest()[:16]
                if digest != detail.row.sample_id[:16]:
                    mismatches.append(detail.row.number)

        app.screen.screen_layout_refresh_signal.subscribe(shown.pane, compare)
        seen = set()
        for turns in (0, 3, 30, 1000):  # from a key that is held down to one pressed now and then
            for step in (1, 1, 1, 1, -1, -1, 1, 7, 1, -1, 20, -1, -1):
                shown.pane.action_step(step)
                for _ in range(turns):
                    compare()
                    await asyncio.sleep(0)
                compare()
                seen.add(shown.number())
            await pilot.pause()
            compare()
        await shown.until(lambda: isinstance(shown.pane._image, bytes))
        compare()
        assert len(seen) > 3
        assert not mismatches


async def test_a_key_that_is_held_down_skips_what_it_passes_over(
    make_app: Callable[..., TuiMia],
    open_sample: OpenSample,
    stored: StoredRun,
    best_first: SampleOrder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[int] = []
    go_on = threading.Event()

    def slowly(source: Any, number: int, handle: Any) -> Any:
        read.append(number)
        assert go_on.wait(20)
        return read_sample(source, number, handle)

    app = make_app(stored.database)
    async with app.run_test() as pilot:
        go_on.set()
        shown = await open_sample(pilot, best_first, 0, stored)
        monkeypatch.setattr(sample_reader, "read_sample", slowly)
        go_on.clear()
        shown.pane.action_go(20)
        await shown.until(lambda: read)
        for _ in range(20):
            shown.pane.action_step(1)
        await shown.until(lambda: f"1 → 41 of {len(best_first)}" in shown.text())
        go_on.set()
        await shown.settled(40, len(best_first))
        await shown.until(lambda: shown.pane._following is None)
        # The one it was reading, the one that is wanted, and the neighbours of both.
        assert set(read) <= {int(best_first.numbers[position]) for position in (19, 20, 21, 39, 40, 41)}


async def test_neighbours_are_at_hand_before_they_are_asked_for(
    make_app: Callable[..., TuiMia],
    open_sample: OpenSample,
    stored: StoredRun,
    best_first: SampleOrder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = make_app(stored.database)
    async with app.run_test() as pilot:
        shown = await open_sample(pilot, best_first, 5, stored)
        for position in (4, 6):
            number = int(best_first.numbers[position])
            await shown.until(partial(shown.pane._drawings.get, number))
        monkeypatch.setattr(sample_reader, "read_sample", None)
        monkeypatch.setattr(sample_reader, "find_image", None)
        shown.pane.action_step(1)
        assert shown.number() == int(best_first.numbers[6])
        assert isinstance(shown.pane._image, bytes)


@pytest.mark.parametrize("size", SIZES)
async def test_hostile_text_is_shown_and_not_obeyed(
    make_app: Callable[..., TuiMia],
    open_sample: OpenSample,
    stored: StoredRun,
    best_first: SampleOrder,
    size: tuple[int, int],
) -> None:
    hostile = "[/x] [bold red]\x1b]2;PWNED-TITLE\x07 \x1b[2J\x9b31m 界界 \u202ereversed"
    metadata = json.dumps({f"[/a]\x1b]2;PWNED-TITLE{hostile}": [hostile]})
    change(stored, int(best_first.numbers[0]), caption=f"{hostile}\nsecond line", metadata=metadata)
    app = make_app(stored.database)
    async with app.run_test(size=size) as pilot:
        shown = await open_sample(pilot, best_first, 0, stored)
        seen = shown.text()
        if size[0] < 120:
            await pilot.press("v")
            await shown.until(lambda: "Metadata" in shown.text())
            seen += shown.text()
        assert seen.replace("\n", "").isprintable()
        assert "[/x] [bold red]" in seen
        assert "\\x1b]2;PWNED-TITLE\\x07" in seen
        assert "界界" in seen
        assert "[/a]" in seen


@pytest.mark.parametrize("size", SIZES)
async def test_a_long_caption_is_there_to_its_end(
    make_app: Callable[..., TuiMia],
    open_sample: OpenSample,
    stored: StoredRun,
    best_first: SampleOrder,
    size: tuple[int, int],
) -> None:
    change(stored, int(best_first.numbers[0]), caption="界 word " * 700 + "LAST-WORD")
    app = make_app(stored.database)
    async with app.run_test(size=size) as pilot:
        shown = await open_sample(pilot, best_first, 0, stored)
        assert "csa" in shown.text()
        assert "LAST-WORD" not in shown.text()
        for _ in range(40):
            await pilot.press("pagedown")
        await shown.until(lambda: "LAST-WORD" in shown.text())
        await pilot.press("n")
        await shown.settled(1, len(best_first))
        await pilot.press("p")
        await shown.settled(0, len(best_first))
        assert "LAST-WORD" not in shown.text()


async def test_a_caption_of_megabytes_is_cut_on_the_screen_and_copied_whole(
    make_app: Callable[..., TuiMia], open_sample: OpenSample, stored: StoredRun, best_first: SampleOrder
) -> None:
    caption = "word " * 1_000_000
    change(stored, int(best_first.numbers[0]), caption=caption, metadata="x" * 1_000_000)
    app = make_app(stored.database)
    async with app.run_test() as pilot:
        shown = await open_sample(pilot, best_first, 0, stored)
        content = str(shown.app.query_one("#sample-caption-text", Static).content)
        assert content.endswith("… and 4,980,000 more characters")
        await pilot.press("y")
        await shown.until(lambda: app.clipboard == caption)


@pytest.mark.parametrize("size", SIZES)
async def test_a_picture_that_is_gone_is_said_and_the_rest_is_shown(
    make_app: Callable[..., TuiMia],
    open_sample: OpenSample,
    stored: StoredRun,
    best_first: SampleOrder,
    tmp_path: Path,
    size: tuple[int, int],
) -> None:
    change(stored, int(best_first.numbers[0]), source=str(tmp_path / "moved.tar"))
    app = make_app(stored.database)
    async with app.run_test(size=size) as pilot:
        shown = await open_sample(pilot, best_first, 0, stored)
        assert "picture not at hand: " in shown.words()
        assert "is gone; put it back where it was" in shown.words()
        assert "csa" in shown.text()
        assert UPPER_HALF not in shown.text()
        await pilot.press("w")
        await shown.until(lambda: any("not at hand" in line.message for line in app.journal))
        await pilot.press("n")
        await shown.settled(1, len(best_first))
        assert UPPER_HALF in shown.text()


async def test_another_picture_under_the_same_key_is_not_shown(
    make_app: Callable[..., TuiMia], open_sample: OpenSample, stored: StoredRun, best_first: SampleOrder
) -> None:
    first, second = (read_sample(stored, int(number)).row for number in best_first.numbers[:2])
    change(stored, first.number, key=second.key)
    app = make_app(stored.database)
    async with app.run_test() as pilot:
        shown = await open_sample(pilot, best_first, 0, stored)
        assert "has changed since the run" in shown.words()


async def test_a_sample_that_is_gone_is_a_message_and_the_next_one_is_shown(
    make_app: Callable[..., TuiMia],
    wait_until: WaitUntil,
    screen_text: ScreenText,
    stored: StoredRun,
) -> None:
    order = SampleOrder(np.array([999_999, 0], np.uint32))
    app = make_app(stored.database)
    async with app.run_test() as pilot:
        shown = Shown(pilot, wait_until, screen_text)
        await shown.until(app.board_ready.is_set)
        app.show_sample(stored.run_id, order, 0, stored)
        await shown.until(lambda: "has no sample #999999" in shown.words())
        shown.pane.action_go(1)
        await shown.settled(1, 2)
        await pilot.press("p")
        await shown.until(lambda: sum("999999" in line.message for line in app.journal) == 2)
        assert "2 of 2 " in shown.text()


async def test_a_database_that_vanishes_is_a_message(
    make_app: Callable[..., TuiMia], open_sample: OpenSample, stored: StoredRun, best_first: SampleOrder
) -> None:
    app = make_app(stored.database)
    async with app.run_test() as pilot:
        shown = await open_sample(pilot, best_first, 0, stored)
        stored.database.unlink()
        await pilot.press("G")
        await shown.until(lambda: any("there is no database" in line.message for line in app.journal))
        assert app.is_running


async def test_a_run_that_results_has_left_is_a_message(
    make_app: Callable[..., TuiMia], stored: StoredRun, finished_run: FinishedRun, open_sample: OpenSample
) -> None:
    live = LiveRun(finished_run.directory)
    live.refresh(seconds=60)
    app = make_app(stored.database)
    async with app.run_test(size=(80, 24)) as pilot:
        shown = await open_sample(pilot, order_samples(live), 0, live)
        live.close()
        await pilot.press("G")
        await shown.until(
            lambda: any("open the sample again from Results" in line.message for line in app.journal)
        )
        assert not any("Connection" in line.message for line in app.journal)


async def test_a_run_whose_spec_can_not_be_read_shows_its_pictures_all_the_same(
    make_app: Callable[..., TuiMia], open_sample: OpenSample, stored: StoredRun, best_first: SampleOrder
) -> None:
    with duckdb.connect(str(stored.database)) as connection:
        connection.execute("UPDATE runs SET spec = 'of another time'")
    app = make_app(stored.database)
    async with app.run_test() as pilot:
        shown = await open_sample(pilot, best_first, 0, stored)
        assert UPPER_HALF in shown.text()


async def test_the_picture_is_written_as_it_was_found_and_never_over_a_file(
    make_app: Callable[..., TuiMia],
    open_sample: OpenSample,
    stored: StoredRun,
    best_first: SampleOrder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    app = make_app(stored.database)
    async with app.run_test() as pilot:
        shown = await open_sample(pilot, best_first, 0, stored)
        image = shown.pane._image
        assert isinstance(image, bytes)
        await pilot.press("w")
        await shown.until(lambda: isinstance(app.screen, AskPath))
        proposed = app.screen.query_one(Input).value
        assert read_sample(stored, shown.number()).row.key in proposed
        await pilot.press("enter")
        await shown.until((tmp_path / proposed).exists)
        await shown.until(lambda: any(f"wrote {proposed}" in line.message for line in app.journal))
        assert (tmp_path / proposed).read_bytes() == image
        assert (tmp_path / proposed).stat().st_mode & 0o777 == 0o600
        (tmp_path / proposed).write_text("mine")
        await shown.pane._written(image, tmp_path / proposed)
        assert "can't be written: File exists" in app.journal[-1].message
    assert (tmp_path / proposed).read_text() == "mine"


async def test_the_caption_and_the_id_are_copied(
    make_app: Callable[..., TuiMia], open_sample: OpenSample, stored: StoredRun, best_first: SampleOrder
) -> None:
    row = read_sample(stored, int(best_first.numbers[0])).row
    app = make_app(stored.database)
    async with app.run_test() as pilot:
        shown = await open_sample(pilot, best_first, 0, stored)
        await pilot.press("y")
        await shown.until(lambda: app.clipboard == row.caption)
        await pilot.press("Y")
        await shown.until(lambda: app.clipboard == row.sample_id)


@pytest.mark.parametrize("key", ["escape", "enter"])
async def test_it_goes_back_to_results(
    make_app: Callable[..., TuiMia],
    open_sample: OpenSample,
    stored: StoredRun,
    best_first: SampleOrder,
    key: str,
) -> None:
    app = make_app(stored.database)
    async with app.run_test() as pilot:
        shown = await open_sample(pilot, best_first, 0, stored)
        await pilot.press(key)
        await shown.until(lambda: app.query_one("#panes", ContentSwitcher).current == "results")


async def test_another_order_takes_the_place_of_the_one_before(
    make_app: Callable[..., TuiMia], open_sample: OpenSample, stored: StoredRun, best_first: SampleOrder
) -> None:
    app = make_app(stored.database)
    async with app.run_test() as pilot:
        await open_sample(pilot, best_first, 3, stored)
        known = order_samples(stored, SampleSort(), SampleFilter(pool="nonmembers"))
        shown = await open_sample(pilot, known, 1, stored)
        assert "known non-member" in shown.text()
        assert shown.number() == int(known.numbers[1])
        general = order_samples(stored, SampleSort(), SampleFilter(pool="general"))
        shown = await open_sample(pilot, general, 0, stored)
        assert "No attack scored the general pool." in shown.words()
        assert "membership unknown" in shown.text()


async def test_it_shows_more_when_the_terminal_grows(
    make_app: Callable[..., TuiMia], open_sample: OpenSample, stored: StoredRun, best_first: SampleOrder
) -> None:
    app = make_app(stored.database)
    async with app.run_test(size=(80, 24)) as pilot:
        shown = await open_sample(pilot, best_first, 0, stored)
        small = shown.text().count(UPPER_HALF)
        await pilot.resize_terminal(160, 50)
        await shown.until(lambda: "Similarity" in shown.text())
        await shown.until(lambda: shown.text().count(UPPER_HALF) > 2 * small)
        await pilot.resize_terminal(80, 24)
        await shown.until(lambda: "Similarity" not in shown.text())
        await shown.until(lambda: shown.text().count(UPPER_HALF) == small)
