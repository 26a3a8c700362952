"""The samples of a run: sorted, filtered, marked, exported, and what is said where there are none."""

from __future__ import annotations

import asyncio
import csv
import json
import shutil
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from subprocess import PIPE, Popen
from sys import executable
from typing import Any, TypeAlias

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static

from tui_mia.landing import land
from tui_mia.runs import Finished, RunDirectory
from tui_mia.runs.tables import TABLES
from tui_mia.store import RunRow, SampleFilter, SampleOrder, StoredRun, delete_run, ingest, order_samples
from tui_mia.tui.app import TuiMia
from tui_mia.tui.dialogs import AskPath, Choose
from tui_mia.tui.panes.results import pane as results
from tui_mia.tui.panes.results.ask_text import AskText
from tui_mia.tui.panes.results.filter_samples import FilterSamples
from tui_mia.tui.panes.results.one_of import OneOf
from tui_mia.tui.panes.results.sample_browser import SampleBrowser
from tui_mia.tui.panes.results.sample_table import SampleTable

WaitUntil: TypeAlias = Callable[..., Awaitable[None]]
ScreenText: TypeAlias = Callable[[Pilot[int]], str]

POOLS = {"candidates": 300, "nonmembers": 150, "general": 50}
ATTACKS = ("aea", "csa", "wsa", "wsa_rich")


def write_run(database: Path, run_id: str, captions: dict[int, str] | None = None, day: int = 1) -> None:
    """A run of 500 samples: the scores of `wsa_rich` grow with the number, the others fall."""
    captions = captions or {}
    samples: list[dict[str, Any]] = []
    scores: list[dict[str, Any]] = []
    number = 0
    for pool, size in POOLS.items():
        for _ in range(size):
            identity = {"sample_id": f"{number:032x}", "number": number}
            caption = captions.get(number, f"caption {number} of {'a dog' if number % 7 == 0 else 'a cat'}")
            member = number % 2 == 0 if pool == "candidates" and number < 200 else None
            samples.append(
                {**identity, "pool": pool, "key": f"k{number:04}", "caption": caption, "member": member}
            )
            if pool != "general":
                for place, attack in enumerate(ATTACKS):
                    score = number / 1000 if attack == "wsa_rich" else place - number / 1000
                    p_value = (500 - number) / 501 if pool == "candidates" else None
                    # Many share a q-value, unlike their p-values.
                    q_value = (500 - number) // 100 / 10 if pool == "candidates" else None
                    values = {"score": score, "p_value": p_value, "q_value": q_value}
                    scores.append({**identity, "attack": attack, **values})
            number += 1
    folder = database.parent / f"tables-{day}"
    folder.mkdir()
    for table, rows in {"samples": samples, "scores": scores}.items():
        pq.write_table(pa.Table.from_pylist(rows, TABLES[table]), folder / f"{table}.parquet")
    created = datetime(2026, 1, day, tzinfo=UTC)
    ingest(
        database, RunRow(run_id=run_id, status="done", architecture="ViT-B-32", created_at=created), folder
    )


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    database = tmp_path_factory.mktemp("results") / "audits.duckdb"
    write_run(database, "run-a")
    return database


@pytest.fixture
def database(made_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(made_once, tmp_path / "audits.duckdb"))


class Shown:
    """The pane as a person sees it."""

    def __init__(self, pilot: Pilot[int], wait_until: WaitUntil, screen_text: ScreenText) -> None:
        self.pilot, self._wait_until, self._screen_text = pilot, wait_until, screen_text

    @property
    def app(self) -> TuiMia:
        assert isinstance(self.pilot.app, TuiMia)
        return self.pilot.app

    @property
    def browser(self) -> SampleBrowser:
        return self.app.screen_stack[0].query_one(SampleBrowser)

    @property
    def table(self) -> SampleTable:
        return self.app.screen_stack[0].query_one(SampleTable)

    def screen(self) -> str:
        return self._screen_text(self.pilot)

    def title(self) -> str:
        return str(self.app.screen_stack[0].query_one("#results-title", Static).content)

    def place(self) -> str:
        return str(self.app.screen_stack[0].query_one("#results-place", Static).content)

    def numbers(self, count: int = 3) -> list[int]:
        order: SampleOrder = self.table.order
        return [int(number) for number in order.numbers[:count]]

    def said(self) -> list[str]:
        return [line.message for line in self.app.journal]

    async def until(self, condition: Callable[[], object]) -> None:
        await self._wait_until(self.pilot, condition)

    async def settled(self) -> None:
        """Until the order is whole and what is seen of it is at hand."""
        await self.until(
            lambda: self.browser.arranged.is_set() and not self.table.missing() and not self.browser.is_busy
        )

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def type(self, text: str) -> None:
        field = self.app.screen.focused
        assert isinstance(field, Input)
        field.value = text
        await self.pilot.pause()


Show: TypeAlias = Callable[..., Any]


@pytest.fixture
def show(
    make_app: Callable[..., TuiMia], bring: Any, wait_until: WaitUntil, screen_text: ScreenText
) -> Callable[..., Any]:
    """Open the app on a database, with its Results in front."""

    @asynccontextmanager
    async def show(database: Path, size: tuple[int, int] = (80, 24), settle: bool = True) -> Any:
        app = make_app(database)
        async with app.run_test(size=size) as pilot:
            await bring(pilot, "results")
            shown = Shown(pilot, wait_until, screen_text)
            if settle:
                await shown.until(lambda: shown.browser.run is not None)
                await shown.settled()
            yield shown

    return show


async def test_the_newest_run_is_shown_with_what_looks_most_like_a_member_first(
    show: Show, database: Path
) -> None:
    write_run(database, "run-b", day=2)
    async with show(database) as shown:
        assert shown.title() == "run run-b, 500 samples, by wsa_rich ▼"
        assert shown.numbers() == [449, 448, 447]
        lines = shown.screen().splitlines()
        assert lines[2].split() == ["#", "M", "pool", "wsa_rich▼", "p-value", "q-value", "caption"]
        assert lines[3].split() == [
            "449",
            "-",
            "nonm",
            "0.4490",
            "-",
            "-",
            "caption",
            "449",
            "of",
            "a",
            "cat",
        ]
        assert shown.place().startswith("1 of 500   #449   non-members   key k0449")
        assert max(len(line) for line in lines) <= 80


async def test_a_wide_screen_has_all_attacks(show: Show, database: Path) -> None:
    async with show(database, size=(160, 50)) as shown:
        header = shown.screen().splitlines()[2].split()
        assert header == ["#", "M", "pool", "aea", "csa", "wsa", "wsa_rich▼", "p-value", "q-value", "caption"]
        await shown.pilot.resize_terminal(80, 24)
        await shown.until(lambda: "wsa " not in shown.screen())
        assert "aea" not in shown.screen().splitlines()[2]


async def test_keys_move_and_rows_are_read_where_one_looks(show: Show, database: Path) -> None:
    async with show(database) as shown:
        await shown.press("j", "down", "k")
        assert shown.table.cursor == 1
        await shown.press("G")
        await shown.settled()
        assert shown.table.cursor == 499
        assert "caption 499 of" in shown.screen()
        assert "…" not in shown.screen().splitlines()[-3]
        await shown.press("ctrl+u")
        assert 470 < shown.table.cursor < 490
        await shown.press("g", "pagedown")
        assert 10 < shown.table.cursor < 25
        await shown.press("l")
        assert "of a cat" in shown.screen()
        assert "caption 4" not in "\n".join(shown.screen().splitlines()[3:20])
        await shown.press("h", "h")
        assert "caption 4" in shown.screen()


async def test_the_same_column_chosen_again_turns_the_order_round(show: Show, database: Path) -> None:
    async with show(database) as shown:
        await shown.press("s")
        await shown.until(lambda: isinstance(shown.app.screen, Choose))
        assert "▼ wsa_rich; again turns it round" in shown.screen()
        await shown.press("enter")
        await shown.settled()
        assert shown.title().endswith("by wsa_rich ▲")
        assert shown.numbers() == [0, 1, 2]
        await shown.press("S")
        await shown.settled()
        assert shown.numbers() == [449, 448, 447]


async def test_any_column_can_be_sorted_by(show: Show, database: Path) -> None:
    expected = {
        "p-value of aea": [299, 298, 297],
        "q-value of aea": [201, 202, 203],
        "caption": [0, 1, 10],
        "csa": [0, 1, 2],
        "member": [0, 2, 4],
        "number": [0, 1, 2],
    }
    async with show(database) as shown:
        seen = {}
        for _ in range(17):
            await shown.press("greater_than_sign")
            await shown.settled()
            seen[shown.title().split("by ")[1][:-2]] = shown.numbers()
        assert {name: seen[name] for name in expected} == expected
        assert len(seen) == 17
        before = shown.title()
        await shown.press("less_than_sign", "greater_than_sign")
        await shown.settled()
        assert shown.title() == before


async def test_a_click_on_a_header_sorts_and_two_on_a_row_open_it(show: Show, database: Path) -> None:
    async with show(database) as shown:
        header = shown.screen().splitlines()[2]
        await shown.pilot.click(SampleTable, offset=(header.index("caption") + 1, 0))
        await shown.until(lambda: "by caption ▲" in shown.title())
        await shown.settled()
        await shown.pilot.click(SampleTable, offset=(header.index("q-value") + 1, 0))
        await shown.until(lambda: "by q-value of wsa_rich ▲" in shown.title())
        await shown.settled()
        assert shown.numbers() == [201, 202, 203]
        await shown.pilot.click(SampleTable, offset=(20, 5))
        assert shown.table.cursor == 4
        opened: list[Any] = []
        shown.app.show_sample = lambda *what: opened.append(what)
        await shown.pilot.click(SampleTable, offset=(20, 3), times=2)
        await shown.until(lambda: opened)
        assert shown.table.cursor == 2


async def test_a_filter_takes_everything_together_and_can_be_taken_away(show: Show, database: Path) -> None:
    async with show(database) as shown:
        await shown.press("slash")
        await shown.until(lambda: isinstance(shown.app.screen, FilterSamples))
        await shown.type("DOG")
        await shown.press("down", "right", "down", "space", "down", "down")
        await shown.type("0.05")
        await shown.press("down")
        await shown.type("0.15")
        await shown.press("enter")
        await shown.until(lambda: "filter" in shown.title())
        await shown.settled()
        assert shown.title() == (
            "run run-a, 7 of 500 samples, by wsa_rich ▼\n"
            'filter: text "DOG", candidates, members, 0.05 ≤ wsa_rich ≤ 0.15'
        )
        assert shown.numbers(10) == [140, 126, 112, 98, 84, 70, 56]
        await shown.press("slash")
        await shown.until(lambda: isinstance(shown.app.screen, FilterSamples))
        assert [field.value for field in shown.app.screen.query(Input)] == ["DOG", "0.05", "0.15"]
        assert [field.value for field in shown.app.screen.query(OneOf)] == ["candidates", "yes", "wsa_rich"]
        await shown.press("escape", "x")
        await shown.settled()
        assert shown.title() == "run run-a, 500 samples, by wsa_rich ▼"


async def test_one_key_leaves_only_candidates_of_what_is_shown_and_brings_the_others_back(
    show: Show, database: Path
) -> None:
    async with show(database) as shown:
        await shown.press("c")
        await shown.until(lambda: "filter: candidates" in shown.title())
        await shown.settled()
        assert shown.title() == "run run-a, 300 of 500 samples, by wsa_rich ▼\nfilter: candidates"
        assert shown.numbers() == [299, 298, 297]
        shown.browser.filter_by(SampleFilter("dog", "nonmembers"))
        await shown.press("c")
        await shown.until(lambda: 'filter: text "dog", candidates' in shown.title())
        await shown.press("c")
        await shown.until(lambda: shown.title().endswith('filter: text "dog"'))
        await shown.settled()
        assert shown.numbers() == [448, 441, 434]


async def test_a_text_that_many_have_ends_with_all_of_them_and_the_cursor_where_it_went(
    show: Show, database: Path
) -> None:
    async with show(database) as shown:
        await shown.press("slash")
        await shown.until(lambda: isinstance(shown.app.screen, FilterSamples))
        await shown.type("o")
        await shown.press("enter")
        await shown.until(lambda: "filter" in shown.title())
        await shown.press("j")
        second = shown.table.current
        await shown.settled()
        everything = order_samples(StoredRun(database, "run-a"), shown.browser.sort, SampleFilter("o"))
        assert len(everything) > 200
        assert shown.table.order.numbers.tolist() == everything.numbers.tolist()
        assert shown.table.current == second == everything.numbers[1]


async def test_a_limit_that_is_no_number_is_refused(show: Show, database: Path) -> None:
    async with show(database) as shown:
        await shown.press("slash")
        await shown.until(lambda: isinstance(shown.app.screen, FilterSamples))
        await shown.press("down", "down", "down", "down")
        await shown.type("nan")
        await shown.press("enter")
        assert '"from" must be a number such as 0.25' in shown.screen()
        await shown.press("escape")
        assert "filter" not in shown.title()


async def test_a_filter_that_nothing_fits_says_so(show: Show, database: Path) -> None:
    async with show(database) as shown:
        await shown.press("slash")
        await shown.until(lambda: isinstance(shown.app.screen, FilterSamples))
        await shown.type("no such thing")
        await shown.press("enter")
        await shown.until(lambda: "No sample fits the filter." in shown.screen())
        await shown.press("j", "space", "enter", "e", "y")
        assert shown.table.current is None
        await shown.press("x")
        await shown.settled()
        assert len(shown.table.order) == 500


@pytest.mark.parametrize(
    ("typed", "number"), [("#3", 3), ("k0444", 444), (f"{77:032x}", 77), ("k9999", None)]
)
async def test_one_can_jump_to_a_sample(show: Show, database: Path, typed: str, number: int | None) -> None:
    async with show(database) as shown:
        await shown.press("colon")
        await shown.until(lambda: isinstance(shown.app.screen, AskText))
        await shown.type(typed)
        await shown.press("enter")
        if number is None:
            await shown.until(lambda: "run run-a has no sample k9999" in shown.said())
        else:
            await shown.until(lambda: shown.table.current == number)
            await shown.settled()
            assert f"#{number}" in shown.place()
            assert f"caption {number} " in shown.screen()


async def test_a_jump_out_of_the_filter_says_how_to_get_there(show: Show, database: Path) -> None:
    async with show(database) as shown:
        await shown.press("slash")
        await shown.until(lambda: isinstance(shown.app.screen, FilterSamples))
        await shown.type("dog")
        await shown.press("enter", "ctrl+g")
        await shown.until(lambda: isinstance(shown.app.screen, AskText))
        await shown.type("#1")
        await shown.press("enter")
        await shown.until(lambda: "sample #1 does not fit the filter; x shows all" in shown.said())


async def test_marked_samples_are_exported_in_the_order_of_the_screen(
    show: Show, database: Path, tmp_path: Path
) -> None:
    async with show(database) as shown:
        await shown.press("space", "j", "space")
        assert shown.table.marked == {449, 447}
        assert shown.title().endswith(", 2 marked")
        assert "* 449" in shown.screen()
        await shown.press("S")
        await shown.settled()
        await shown.press("e")
        await shown.until(lambda: isinstance(shown.app.screen, AskPath))
        assert "2 samples that you marked" in shown.screen()
        await shown.type(str(tmp_path / "marked.csv"))
        await shown.press("enter")
        await shown.until(lambda: any("wrote 2 samples" in line for line in shown.said()))
        with (tmp_path / "marked.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["number"] for row in rows] == ["447", "449"]
        assert rows[0]["wsa_rich"] == "0.447"
        await shown.press("u")
        assert shown.table.marked == set()


async def test_without_marks_all_that_is_shown_is_exported(
    show: Show, database: Path, tmp_path: Path
) -> None:
    async with show(database) as shown:
        await shown.press("slash")
        await shown.until(lambda: isinstance(shown.app.screen, FilterSamples))
        await shown.type("dog")
        await shown.press("enter")
        await shown.until(lambda: "filter" in shown.title())
        await shown.settled()
        await shown.press("e")
        await shown.until(lambda: isinstance(shown.app.screen, AskPath))
        await shown.type(str(tmp_path / "dogs.txt"))
        await shown.press("enter")
        assert isinstance(shown.app.screen, AskPath)
        await shown.type(str(tmp_path / "dogs.json"))
        await shown.press("enter")
        await shown.until(lambda: any("wrote 72 samples" in line for line in shown.said()))
        rows = json.loads((tmp_path / "dogs.json").read_text())
        assert [row["number"] for row in rows[:2]] == [448, 441]


async def test_an_export_that_can_not_be_written_is_told(show: Show, database: Path, tmp_path: Path) -> None:
    async with show(database) as shown:
        folder = tmp_path / "gone"
        folder.mkdir()
        await shown.press("e")
        await shown.until(lambda: isinstance(shown.app.screen, AskPath))
        await shown.type(str(folder / "all.parquet"))
        folder.rmdir()
        shown.app.screen.dismiss(folder / "all.parquet")
        await shown.until(lambda: any("nothing was written: can't write" in line for line in shown.said()))


async def test_enter_opens_the_sample_with_the_order_to_go_on_by(show: Show, database: Path) -> None:
    async with show(database) as shown:
        opened: list[Any] = []
        shown.app.show_sample = lambda *what: opened.append(what)
        await shown.press("j", "enter")
        ((run_id, order, position, source),) = opened
        assert (run_id, position, source.run_id, len(order)) == ("run-a", 1, "run-a", 500)


async def test_a_caption_and_an_id_can_be_copied(
    show: Show, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied: list[tuple[str, str]] = []

    async def copy(app: TuiMia, text: str, what: str) -> None:
        copied.append((text, what))

    monkeypatch.setattr(TuiMia, "copy", copy)
    async with show(database) as shown:
        await shown.press("y", "Y")
        assert copied == [
            ("caption 449 of a cat", "the caption"),
            (f"{449:032x}", "the sample's id"),
        ]


async def test_hostile_captions_are_shown_and_not_obeyed(show: Show, tmp_path: Path, hostile: str) -> None:
    database = tmp_path / "hostile.duckdb"
    write_run(database, hostile[:20], captions={449: hostile, 448: "two\nlines", 447: "x" * 100_000})
    async with show(database) as shown:
        screen = shown.screen()
        assert "[/x] [bold]\\x1b]2;PWNED\\x07\\x1b[2J" in screen
        assert "two\\nlines" in screen
        assert "xxxx…" in screen
        assert "\x1b" not in shown.title() + shown.place() + screen
        await shown.press("r")
        await shown.until(lambda: isinstance(shown.app.screen, Choose))
        assert "\x1b" not in shown.screen()


async def test_another_run_can_be_chosen_and_keeps_the_order(show: Show, database: Path) -> None:
    write_run(database, "run-b", day=2)
    async with show(database) as shown:
        await shown.press("greater_than_sign", "r")
        await shown.until(lambda: isinstance(shown.app.screen, Choose))
        await shown.press("j", "enter")
        await shown.until(lambda: "run run-a" in shown.title())
        await shown.settled()
        assert shown.title() == "run run-a, 500 samples, by p-value of aea ▲"
        shown.app.show_results("run-b")
        await shown.until(lambda: "run run-b" in shown.title())


async def test_an_empty_folder_says_what_to_do(show: Show, tmp_path: Path) -> None:
    async with show(tmp_path / "none.duckdb", settle=False) as shown:
        await shown.until(lambda: "There is no run with samples yet." in shown.screen())
        assert "Audit (key 1)" in shown.screen()
        await shown.press("s", "slash", "colon", "e", "r", "enter", "space", "x", "y", "G", "S")
        assert shown.title() == "no run is shown"


async def test_a_run_that_is_not_there_is_named(show: Show, database: Path) -> None:
    async with show(database) as shown:
        shown.app.show_results("run-x")
        await shown.until(lambda: "The run has no samples in the database." in shown.screen())


async def test_a_run_that_was_deleted_meanwhile_is_no_crash(show: Show, database: Path) -> None:
    async with show(database) as shown:
        await asyncio.to_thread(delete_run, database, "run-a")
        await shown.press("S")
        await shown.until(lambda: "The run has no samples" in shown.screen())


HOLD_THE_FILE = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1])
print("held", flush=True)
sys.stdin.readline()
"""


@contextmanager
def held(database: Path) -> Iterator[Popen[str]]:
    """Another process has the database open for writing, until it gets a line."""
    with Popen([executable, "-c", HOLD_THE_FILE, str(database)], stdin=PIPE, stdout=PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        try:
            yield child
        finally:
            child.communicate("\n" if child.poll() is None else None)


def let_go(child: Popen[str]) -> None:
    child.communicate("\n")


async def test_a_locked_database_is_told_and_tried_again(
    show: Show, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui_mia.tui.panes.results.run_samples.WAIT_SECONDS", 0.0)
    monkeypatch.setattr("tui_mia.tui.panes.results.asking.SECONDS_BETWEEN_TRIES", 0.05)
    async with show(database) as shown:
        with held(database) as child:
            await shown.press("S")
            await shown.until(lambda: "waiting for the database" in shown.title())
            shown.app.show_results("run-a")
            await shown.until(lambda: f"held by process {child.pid}" in shown.screen())
            assert "the samples are shown as soon as it is free" in " ".join(shown.screen().split())
            await shown.press("S", "G", "s")
            await shown.press("escape")
            await asyncio.to_thread(let_go, child)
        await shown.until(lambda: "by wsa_rich" in shown.title() and not shown.browser.is_busy)
        await shown.settled()


async def test_the_first_rows_are_shown_while_the_order_is_yet_to_come(
    show: Show, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()

    def slow(*arguments: Any) -> SampleOrder:
        assert go_on.wait(20)
        return order_samples(*arguments)

    async with show(database) as shown:
        monkeypatch.setattr(ORDER_SAMPLES, slow)
        await shown.press("S")
        await shown.until(lambda: len(shown.table.order) == 200)
        assert shown.title() == "run run-a, the first 200 of 500 samples, by wsa_rich ▲, sorting …"
        await shown.press("j", "j")
        assert "caption 2 of" in shown.screen()
        go_on.set()
        await shown.until(lambda: len(shown.table.order) == 500)
        assert shown.table.current == 2


ORDER_SAMPLES = "tui_mia.tui.panes.results.sample_browser.order_samples"
ENDLESS = "SELECT count(*) FROM range(1000000000) a, range(1000000) b WHERE a.range % 7 = b.range % 3"


async def test_a_sort_that_nobody_waits_for_is_stopped(
    show: Show, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = threading.Event()

    def endless(source: Any, sort: Any, where: Any, handle: Any) -> SampleOrder:
        try:
            with source.connected(handle) as connection:
                connection.execute(ENDLESS).fetchall()
        finally:
            stopped.set()
        raise AssertionError

    async with show(database) as shown:
        monkeypatch.setattr(ORDER_SAMPLES, endless)
        await shown.press("S")
        await shown.until(lambda: len(shown.table.order) == 200)
        monkeypatch.setattr(ORDER_SAMPLES, order_samples)
        await shown.press("S")
        await shown.settled()
        assert stopped.wait(20)
        assert shown.numbers() == [449, 448, 447]


async def test_what_a_run_has_so_far_is_shown_and_later_what_the_database_has(
    show: Show, finished_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run whose parts come one by one, and that ends."""
    monkeypatch.setattr(results, "SECONDS_BETWEEN_LOOKS", 0.05)
    database = tmp_path / "audits.duckdb"
    before: RunDirectory = finished_run.directory
    directory = RunDirectory(tmp_path / "audits.duckdb.runs" / before.run_id)
    shutil.copytree(before.path, directory.path)
    parts = sorted(directory.parts.glob("*.parquet"))
    for part in parts:
        part.rename(tmp_path / part.name)
    events = directory.events()
    directory.landed_path.unlink(missing_ok=True)
    directory.events_path.unlink()
    for event in events:
        if not isinstance(event, Finished):
            directory.append(event)

    def arrive(pool: str) -> None:
        for part in parts:
            if part.name.startswith(pool):
                (tmp_path / part.name).rename(part)

    arrive("candidates")
    async with show(database) as shown:
        assert "70 samples so far, by aea_mean ▼" in shown.title()
        current = shown.table.current
        await shown.press("j", "j", "space")
        current = shown.table.current
        arrive("nonmembers")
        await shown.until(lambda: "140 samples so far" in shown.title())
        assert shown.table.current == current
        assert len(shown.table.marked) == 1
        for event in events:
            if isinstance(event, Finished):
                directory.append(event)
        await asyncio.to_thread(land, directory, database)
        await shown.app.board.refresh()
        await shown.until(lambda: "230 samples" in shown.title() and "so far" not in shown.title())
        await shown.settled()
        assert any("the marks were on other samples" in line for line in shown.said())
        assert "by wsa_rich ▼" in shown.title()


@pytest.fixture
def cancelled(finished_run: Any, tmp_path: Path) -> RunDirectory:
    """A run that was cancelled: it is in the database without samples, which are in its directory."""
    before: RunDirectory = finished_run.directory
    directory = RunDirectory(tmp_path / "audits.duckdb.runs" / before.run_id)
    unfinished = shutil.ignore_patterns(before.events_path.name, before.landed_path.name, "tables")
    shutil.copytree(before.path, directory.path, ignore=unfinished)
    for event in before.events():
        directory.append(event if not isinstance(event, Finished) else Finished(status="cancelled"))
    land(directory, tmp_path / "audits.duckdb")
    return directory


async def test_the_samples_of_a_cancelled_run_are_read_from_its_parts(
    show: Show, cancelled: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "SECONDS_BETWEEN_LOOKS", 0.05)
    async with show(tmp_path / "audits.duckdb") as shown:
        await shown.until(lambda: "samples so far, by aea_mean" in shown.title())
        on_board = shown.app.board.run(cancelled.run_id)
        assert (on_board.in_database, on_board.status, dict(on_board.samples)) == (True, "cancelled", {})
        source = shown.browser.run.source
        shown.browser.app.screen.query_one(results.ResultsPane)._look_again()
        await shown.settled()
        assert shown.browser.run.source is source


async def test_a_run_that_ended_without_samples_is_passed_over_and_said_to_have_none(
    show: Show, cancelled: RunDirectory, database: Path
) -> None:
    for part in cancelled.parts.iterdir():
        part.unlink()
    land(cancelled, database)
    async with show(database) as shown:
        assert "run run-a" in shown.title()
        shown.app.show_results(cancelled.run_id)
        await shown.until(lambda: "has no samples: it is cancelled." in " ".join(shown.screen().split()))


async def test_no_room_to_read_a_run_in_is_told(
    show: Show, cancelled: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    async with show(tmp_path / "audits.duckdb", settle=False) as shown:
        await shown.until(lambda: "no temporary file for its samples" in " ".join(shown.screen().split()))


async def test_the_help_names_the_keys(show: Show, database: Path) -> None:
    async with show(database) as shown:
        await shown.press("f1")
        await shown.until(lambda: "The samples of a run, a line for each" in shown.screen())


async def test_an_error_of_the_database_is_shown_where_the_rows_would_be(show: Show, database: Path) -> None:
    async with show(database) as shown:

        def break_it() -> None:
            with duckdb.connect(str(database)) as connection:
                connection.execute("UPDATE meta SET schema_version = 99")

        await asyncio.to_thread(break_it)
        await shown.press("S")
        await shown.until(lambda: "tables of version 99" in " ".join(shown.screen().split()))
