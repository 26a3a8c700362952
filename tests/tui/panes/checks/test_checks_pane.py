"""The Checks pane: which run it shows, what it says where there is nothing, and its keys."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from tui_mia.runs.tables import TABLES
from tui_mia.store import RunRow, ingest
from tui_mia.tui.app import TuiMia
from tui_mia.tui.dialogs import Choose
from tui_mia.tui.panes.checks.check_list import CheckList
from tui_mia.tui.panes.checks.pane import ChecksPane

MakeApp = Callable[..., TuiMia]
Bring = Callable[..., Awaitable[Any]]
WaitUntil = Callable[..., Awaitable[None]]
ScreenText = Callable[[Pilot[int]], str]

SIZES = [(80, 24), (160, 50)]
LONG = (
    "Without the model, this tells the two sides apart: "
    + "they differ in more than membership, " * 4
    + "end."
)


def write_run(database: Path, run_id: str, day: int, verdict: str | None = "leak") -> None:
    """A run with a score, a verdict and three checks; without a verdict, one with nothing at all."""
    tables: dict[str, list[dict[str, Any]]] = {}
    if verdict is not None:
        tables = {
            "scores": [{"sample_id": "s", "number": 0, "attack": "csa", "score": 1.0}],
            "metrics": [{"attack": "csa", "metric": "auc", "value": 0.8, "low": 0.7, "high": 0.9, "n": 40}],
            "verdicts": [
                {"attack": None, "outcome": verdict, "reasons": ["csa: AUC 0.800"]},
                {"attack": "csa", "outcome": verdict, "reasons": ["AUC 0.800, above chance."]},
            ],
            "checks": [
                {"check": "power", "value": 0.55, "n": 40, "outcome": "ok", "words": "Enough."},
                {
                    "check": "blind_all",
                    "value": 0.5,
                    "low": 0.4,
                    "high": 0.6,
                    "outcome": "ok",
                    "words": "Alike.",
                },
                {
                    "check": "blind_[/x]",
                    "value": 0.9,
                    "low": 0.8,
                    "high": 1.0,
                    "outcome": "shift",
                    "words": LONG,
                },
            ],
        }
    folder = database.parent / f"tables-{run_id}"
    folder.mkdir()
    for table, rows in tables.items():
        pq.write_table(pa.Table.from_pylist(rows, TABLES[table]), folder / f"{table}.parquet")
    row = RunRow(
        run_id=run_id,
        status="failed" if verdict is None else "done",
        created_at=datetime(2026, 1, day, tzinfo=UTC),
        architecture="RN50",
    )
    ingest(database, row, folder)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "audits.duckdb"
    write_run(path, "run-new", 3)
    write_run(path, "run-old", 2, "no evidence")
    write_run(path, "run-failed", 1, None)
    return path


def title(app: TuiMia) -> str:
    return str(app.query_one("#checks-title", Static).content)


@pytest.mark.parametrize("size", SIZES)
async def test_it_opens_for_the_run_chosen_in_runs_with_what_is_amiss_first(
    make_app: MakeApp,
    database: Path,
    bring: Bring,
    wait_until: WaitUntil,
    screen_text: ScreenText,
    size: tuple[int, int],
) -> None:
    app = make_app(database)
    async with app.run_test(size=size) as pilot:
        await bring(pilot, "runs")
        await wait_until(pilot, lambda: "run-old" in screen_text(pilot))
        await pilot.press("j", "c")
        await wait_until(pilot, lambda: "checks" in app._panes and "run-old" in title(app))
        assert title(app) == "run run-old: no evidence; 3 checks, 1 amiss"
        lines = screen_text(pilot).splitlines()
        assert lines[2].split()[:3] == ["Attacks", "AUC", "95"]
        assert lines[3].startswith("> csa")
        assert lines[3].split()[2:4] == ["0.800", "0.700-0.900"]
        assert lines[5].split()[:3] == ["▲", "shift", "[/x]"]
        assert all(len(line) <= size[0] for line in lines)


async def test_the_words_of_the_chosen_line_are_whole_and_can_be_copied(
    make_app: MakeApp, database: Path, bring: Bring, wait_until: WaitUntil, screen_text: ScreenText
) -> None:
    app = make_app(database)
    async with app.run_test() as pilot:
        await bring(pilot, "checks")
        await wait_until(pilot, lambda: "run-new" in title(app))
        assert "AUC 0.800, above chance." in screen_text(pilot)
        await pilot.press("j")
        await wait_until(pilot, lambda: LONG in " ".join(screen_text(pilot).split()))
        await pilot.press("y")
        await wait_until(pilot, lambda: LONG in app.clipboard)
        await pilot.press("Y")
        await wait_until(pilot, lambda: app.clipboard.startswith("check,attack,value,low,high"))


async def test_keys_pass_over_headings_and_go_from_group_to_group(
    make_app: MakeApp, database: Path, bring: Bring, wait_until: WaitUntil
) -> None:
    app = make_app(database)
    async with app.run_test() as pilot:
        pane: ChecksPane = await bring(pilot, "checks")
        await wait_until(pilot, lambda: pane.summary)
        found = app.query_one(CheckList)
        await pilot.press("k")
        assert found._position == 1
        await pilot.press("right_square_bracket")
        assert found._position == 3
        await pilot.press("j", "j")
        assert found._position == 6
        await pilot.press("left_square_bracket")
        assert found._position == 3
        await pilot.press("G", "g")
        assert found._position == 1


async def test_another_run_can_be_chosen_and_its_results_and_plots_opened(
    make_app: MakeApp, database: Path, bring: Bring, wait_until: WaitUntil, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app(database)
    async with app.run_test() as pilot:
        await bring(pilot, "checks")
        await wait_until(pilot, lambda: "run-new" in title(app))
        await pilot.press("r")
        await wait_until(pilot, lambda: isinstance(app.screen, Choose))
        await pilot.press("j", "enter")
        await wait_until(pilot, lambda: "run-old" in title(app))
        opened: list[object] = []
        monkeypatch.setattr(app, "show_results", opened.append)
        monkeypatch.setattr(app, "show_plots", opened.append)
        await pilot.press("v", "p")
        assert opened == ["run-old", ["run-old"]]


async def test_where_there_is_nothing_it_says_why(
    make_app: MakeApp, database: Path, bring: Bring, wait_until: WaitUntil, screen_text: ScreenText
) -> None:
    app = make_app(database)
    async with app.run_test() as pilot:
        await bring(pilot, "runs")
        app.show_checks("run-failed")
        await wait_until(pilot, lambda: "Run run-failed has no checks: it is failed." in screen_text(pilot))
        await pilot.press("y", "Y", "v", "p", "j", "right_square_bracket")
        app.show_checks("run-gone")
        await wait_until(pilot, lambda: "there is no run 'run-gone'" in screen_text(pilot))


async def test_without_any_run_it_waits_for_one(
    make_app: MakeApp,
    tmp_path: Path,
    bring: Bring,
    wait_until: WaitUntil,
    screen_text: ScreenText,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tui_mia.tui.panes.checks.pane.SECONDS_BETWEEN_LOOKS", 0.05)
    app = make_app()
    async with app.run_test() as pilot:
        await bring(pilot, "checks")
        await wait_until(pilot, lambda: "There is no run with results yet" in screen_text(pilot))
        write_run(tmp_path / "audits.duckdb", "run-new", 1)
        await app.board.refresh()
        await wait_until(pilot, lambda: "run-new: leak" in title(app))
