"""The SQL pane: queries and their rows, what goes wrong, interrupts, history, exports."""

from __future__ import annotations

import csv
import json
import stat
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from textual.pilot import Pilot
from textual.widgets import Input, OptionList, Static

from tui_mia.runs.tables import TABLES
from tui_mia.store import QueryError, RunRow, ingest
from tui_mia.tui.app import TuiMia
from tui_mia.tui.dialogs import AskPath, Choose
from tui_mia.tui.panes.sql import answer
from tui_mia.tui.panes.sql.answer import MOST_ROWS, as_cell, as_text, ask, in_words
from tui_mia.tui.panes.sql.examples import EXAMPLES
from tui_mia.tui.panes.sql.pane import SqlPane, identifier
from tui_mia.tui.panes.sql.query_table import QueryTable
from tui_mia.tui.panes.sql.reader import Reader
from tui_mia.tui.panes.sql.sql_editor import SqlEditor
from tui_mia.tui.panes.sql.sql_history import QUERIES_KEPT, history_path, read_history, remember_query

MakeApp = Callable[..., TuiMia]
Bring = Callable[..., Awaitable[Any]]
WaitUntil = Callable[..., Awaitable[None]]
ScreenText = Callable[[Pilot[int]], str]

SIZES = [(80, 24), (160, 50)]
NEVER_ENDS = "SELECT count(*) FROM range(1000000000000) AS a(n), range(1000) AS b(m) WHERE n * m % 7 = 3"


@pytest.fixture
def database(tmp_path: Path, hostile: str) -> Path:
    """A database with one run of one sample, whose caption is hostile."""
    tables = tmp_path / "tables"
    tables.mkdir()
    sample = {"sample_id": "s", "number": 0}
    rows = {
        "samples": {**sample, "pool": "candidates", "key": "k", "caption": hostile},
        "scores": {**sample, "attack": "csa", "score": 0.25},
    }
    for table, row in rows.items():
        pq.write_table(pa.Table.from_pylist([row], schema=TABLES[table]), tables / f"{table}.parquet")
    ingest(tmp_path / "audits.duckdb", RunRow(run_id="run-a", status="done"), tables)
    return tmp_path / "audits.duckdb"


def status(app: TuiMia) -> str:
    return str(app.query_one("#sql-status", Static).content)


@pytest.fixture
def run_sql(wait_until: WaitUntil) -> Callable[[Pilot[int], str], Awaitable[str]]:
    """Run a query as a user would, and wait for what becomes of it."""

    async def run(pilot: Pilot[int], sql: str) -> str:
        pane = pilot.app.query_one(SqlPane)
        pane.editor.text = sql
        await pilot.press("f5")
        await wait_until(pilot, lambda: pane._handle is None and "running" not in status(pane.tui))
        return status(pane.tui)

    return run


@pytest.mark.parametrize("size", SIZES)
async def test_a_query_shows_its_rows_how_many_and_how_long_it_took(
    make_app: MakeApp,
    database: Path,
    bring: Bring,
    run_sql: Callable[..., Awaitable[str]],
    screen_text: ScreenText,
    size: tuple[int, int],
) -> None:
    app = make_app(database)
    async with app.run_test(size=size) as pilot:
        await bring(pilot, "sql")
        told = await run_sql(pilot, "SELECT run_id, status, 7 AS seven, NULL AS nothing FROM runs")
        assert told.startswith("1 row, 4 columns, 0.")
        text = screen_text(pilot)
        assert "run_id" in text
        assert "run-a" in text
        assert "NULL" in text
        assert isinstance(app.focused, QueryTable)


@pytest.mark.parametrize("key", ["f5", "ctrl+r", "ctrl+j"])
async def test_each_of_its_keys_runs_the_query_from_the_editor_and_from_the_rows(
    make_app: MakeApp, database: Path, bring: Bring, wait_until: WaitUntil, key: str
) -> None:
    app = make_app(database)
    async with app.run_test() as pilot:
        pane = await bring(pilot, "sql")
        for number, focus in enumerate([pane.editor, pane.table]):
            pane.editor.text = f"SELECT {number} AS n"
            focus.focus()
            await pilot.press(key)
            await wait_until(pilot, lambda number=number: pane.table.answer.rows == [(number,)])
            assert pane.editor.text == f"SELECT {number} AS n"


async def test_hostile_text_is_shown_and_not_obeyed(
    make_app: MakeApp,
    database: Path,
    bring: Bring,
    run_sql: Callable[..., Awaitable[str]],
    wait_until: WaitUntil,
    screen_text: ScreenText,
    hostile: str,
) -> None:
    app = make_app(database)
    async with app.run_test(size=(160, 50)) as pilot:
        await bring(pilot, "sql")
        await run_sql(pilot, 'SELECT caption, caption AS "[/x] \x1b]2;PWNED" FROM samples')
        text = screen_text(pilot)
        assert text.count("[/x] [bold]\\x1b]2;PWNED\\x07") == 2
        assert "[/x] \\x1b]2;PWNED" in text
        await pilot.press("enter")
        await wait_until(pilot, lambda: isinstance(app.screen, Reader))
        assert "[/x] [bold]\\x1b]2;PWNED" in screen_text(pilot)
        await pilot.press("y")
        await wait_until(pilot, lambda: app.clipboard == hostile)
        await pilot.press("escape")
        assert "\x1b" not in screen_text(pilot)
        assert "[/x]" in await run_sql(pilot, "SELECT error('[/x] \x1b]2;PWNED')")
        assert "\x1b" not in status(app)


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("SELEC 1", "syntax error"),
        ("FROM nothing", "nothing does not exist"),
        ("DELETE FROM runs", "a query can only read"),
        ("SELECT 1; SELECT 2", "a query is one statement"),
        ("FROM read_text('/etc/passwd')", "disabled by configuration"),
        ("SELECT error('late') FROM range(100000)", "late"),
    ],
)
async def test_what_is_wrong_with_a_query_is_told_in_the_pane(
    make_app: MakeApp,
    database: Path,
    bring: Bring,
    run_sql: Callable[..., Awaitable[str]],
    screen_text: ScreenText,
    sql: str,
    told: str,
) -> None:
    app = make_app(database)
    async with app.run_test() as pilot:
        await bring(pilot, "sql")
        assert told in await run_sql(pilot, sql)
        assert app.query_one("#sql-status").has_class("-problem")
        assert (await run_sql(pilot, "SELECT 1")).startswith("1 row, 1 column")
        assert not app.query_one("#sql-status").has_class("-problem")


async def test_without_a_query_there_is_nothing_to_run(
    make_app: MakeApp, database: Path, bring: Bring, run_sql: Callable[..., Awaitable[str]]
) -> None:
    app = make_app(database)
    async with app.run_test() as pilot:
        await bring(pilot, "sql")
        assert "there is no query" in await run_sql(pilot, "  \n")


async def test_escape_interrupts_a_query_at_once(
    make_app: MakeApp,
    database: Path,
    bring: Bring,
    run_sql: Callable[..., Awaitable[str]],
    wait_until: WaitUntil,
) -> None:
    app = make_app(database)
    async with app.run_test() as pilot:
        pane = await bring(pilot, "sql")
        pane.editor.text = NEVER_ENDS
        await pilot.press("f5")
        await wait_until(pilot, lambda: "running" in status(app))
        await pilot.press("f5")
        assert "escape interrupts it" in status(app)
        await pilot.press("escape")
        await wait_until(pilot, lambda: status(app).startswith("interrupted after"), seconds=5)
        assert (await run_sql(pilot, "SELECT 1")).startswith("1 row")


async def test_the_app_can_be_left_while_a_query_runs(
    make_app: MakeApp, database: Path, bring: Bring, wait_until: WaitUntil
) -> None:
    app = make_app(database)
    async with app.run_test() as pilot:
        pane = await bring(pilot, "sql")
        pane.editor.text = NEVER_ENDS
        await pilot.press("f5")
        await wait_until(pilot, lambda: "running" in status(app))
    # The end of the test's event loop waits for its threads: here none may be left.


async def test_of_more_rows_than_are_shown_that_is_said(
    make_app: MakeApp,
    database: Path,
    bring: Bring,
    run_sql: Callable[..., Awaitable[str]],
) -> None:
    app = make_app(database)
    async with app.run_test() as pilot:
        pane = await bring(pilot, "sql")
        told = await run_sql(pilot, f"FROM range({MOST_ROWS + 1})")
        assert told.startswith("first 10,000 rows of more than that")
        assert pane.table.row_count == MOST_ROWS
        assert (await run_sql(pilot, f"FROM range({MOST_ROWS})")).startswith("10,000 rows, 1 column")


async def test_rows_are_walked_through_with_vis_keys(
    make_app: MakeApp, database: Path, bring: Bring, run_sql: Callable[..., Awaitable[str]]
) -> None:
    app = make_app(database)
    async with app.run_test() as pilot:
        pane = await bring(pilot, "sql")
        await run_sql(pilot, "SELECT n, n * n AS m FROM range(1000) AS numbers(n)")
        await pilot.press("j", "j", "l", "k")
        assert tuple(pane.table.cursor_coordinate) == (1, 1)
        await pilot.press("G")
        assert pane.table.cursor_row == 999
        await pilot.press("g", "ctrl+d")
        assert 5 < pane.table.cursor_row < 50
        await pilot.press("ctrl+u", "h")
        assert tuple(pane.table.cursor_coordinate) == (0, 0)


async def test_the_value_or_the_row_under_the_cursor_is_copied_as_it_is(
    make_app: MakeApp,
    database: Path,
    bring: Bring,
    run_sql: Callable[..., Awaitable[str]],
    wait_until: WaitUntil,
) -> None:
    app = make_app(database)
    async with app.run_test() as pilot:
        await bring(pilot, "sql")
        await run_sql(pilot, "SELECT 0.1234567890123::DOUBLE AS a, 'x\ny' AS b, NULL AS c, true AS d")
        await pilot.press("y")
        await wait_until(pilot, lambda: app.clipboard == "0.1234567890123")
        await pilot.press("Y")
        await wait_until(pilot, lambda: app.clipboard == "0.1234567890123\tx\ny\t\ttrue")


@pytest.mark.parametrize("key", ["e", "f4", "ctrl+e"])
async def test_all_rows_of_the_last_query_go_to_a_file(
    make_app: MakeApp,
    database: Path,
    tmp_path: Path,
    bring: Bring,
    run_sql: Callable[..., Awaitable[str]],
    wait_until: WaitUntil,
    key: str,
) -> None:
    app = make_app(database)
    output = tmp_path / "out.csv"
    async with app.run_test() as pilot:
        pane = await bring(pilot, "sql")
        await pilot.press(key)
        assert "no rows to export yet" in status(app)
        await run_sql(pilot, f"FROM range({MOST_ROWS + 5})")
        pane.editor.text = "something else"
        await pilot.press(key)
        await wait_until(pilot, lambda: isinstance(app.screen, AskPath))
        app.screen.query_one(Input).value = str(output)
        await pilot.press("enter")
        await wait_until(pilot, lambda: status(app).startswith("wrote 10,005 rows"))
    assert len(list(csv.reader(output.read_text().splitlines()))) == MOST_ROWS + 6
    assert stat.S_IMODE(output.stat().st_mode) == 0o600


async def test_an_export_that_fails_says_why(
    make_app: MakeApp, database: Path, tmp_path: Path, bring: Bring, run_sql: Callable[..., Awaitable[str]]
) -> None:
    app = make_app(database)
    async with app.run_test() as pilot:
        pane = await bring(pilot, "sql")
        await run_sql(pilot, "FROM runs")
        await pane._write("FROM runs", tmp_path / "nowhere" / "out.csv", pane._begin())
        assert "No such file or directory" in status(app)


HOLD_THE_FILE = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1])
print("held", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def holder(database: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the database open for writing."""
    command = [sys.executable, "-c", HOLD_THE_FILE, str(database)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        yield child
        child.communicate("\n")


async def test_a_database_that_somebody_else_has_is_told_with_what_to_do(
    make_app: MakeApp,
    database: Path,
    holder: subprocess.Popen[str],
    bring: Bring,
    run_sql: Callable[..., Awaitable[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(answer, "WAIT_SECONDS", 0.0)
    app = make_app(database)
    async with app.run_test() as pilot:
        await bring(pilot, "sql")
        told = await run_sql(pilot, "FROM runs")
        assert f"held by process {holder.pid}" in told
        assert "try again" in told


async def test_a_database_that_is_not_there_is_told_with_what_to_do(
    make_app: MakeApp, bring: Bring, wait_until: WaitUntil, run_sql: Callable[..., Awaitable[str]]
) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await bring(pilot, "sql")
        await wait_until(pilot, lambda: "run an audit first" in status(app))
        assert "there is no database" in await run_sql(pilot, "FROM runs")
        await pilot.press("f2")
        assert "no tables are known" in status(app)


async def test_tables_and_columns_are_listed_and_their_names_put_into_the_query(
    make_app: MakeApp, database: Path, bring: Bring, wait_until: WaitUntil
) -> None:
    app = make_app(database)
    async with app.run_test(size=(80, 24)) as pilot:
        pane = await bring(pilot, "sql")
        await wait_until(pilot, lambda: pane._tables)
        pane.editor.text = ""
        await pilot.press("f2")
        await wait_until(pilot, lambda: isinstance(app.screen, Choose))
        options = app.screen.query_one(OptionList)
        texts = [str(options.get_option_at_index(n).prompt).strip() for n in range(options.option_count)]
        assert {"samples", "scores", "sample_scores", "caption  varchar", "number  bigint"} <= set(texts)
        options.highlighted = texts.index("samples")
        await pilot.press("enter")
        await wait_until(pilot, lambda: pane.editor.text == "samples")


async def test_a_wide_screen_has_the_tables_beside_the_query(
    make_app: MakeApp, database: Path, bring: Bring, wait_until: WaitUntil
) -> None:
    app = make_app(database)
    async with app.run_test(size=(160, 50)) as pilot:
        pane = await bring(pilot, "sql")
        await wait_until(pilot, lambda: pane._tables)
        pane.editor.text = "FROM "
        pane.editor.move_cursor((0, 5))
        await pilot.press("f2")
        assert isinstance(app.focused, OptionList)
        app.focused.highlighted = [table for table, _ in pane._names()].index("runs")
        await pilot.press("enter")
        await wait_until(pilot, lambda: pane.editor.text == "FROM runs")
        assert isinstance(app.focused, SqlEditor)


async def test_the_history_has_what_was_run_and_examples(
    make_app: MakeApp,
    database: Path,
    bring: Bring,
    run_sql: Callable[..., Awaitable[str]],
    wait_until: WaitUntil,
    hostile: str,
) -> None:
    app = make_app(database)
    async with app.run_test() as pilot:
        pane = await bring(pilot, "sql")
        await run_sql(pilot, "SELECT 1")
        await run_sql(pilot, f"SELECT '{hostile}'\nAS a")
        await run_sql(pilot, "SELECT 1")
        await wait_until(pilot, lambda: len(read_history()) == 2 and read_history()[0] == "SELECT 1")
        await pilot.press("f3")
        await wait_until(pilot, lambda: isinstance(app.screen, Choose))
        assert app.screen.query_one(OptionList).option_count == 2 + len(EXAMPLES)
        await pilot.press("down", "enter")
        await wait_until(pilot, lambda: pane.editor.text == f"SELECT '{hostile}'\nAS a")
        assert pane.editor.has_focus
        await pilot.press("ctrl+z")
        assert pane.editor.text == "SELECT 1"

    app = make_app(database)
    async with app.run_test() as pilot:
        pane = await bring(pilot, "sql")
        await wait_until(pilot, lambda: pane.editor.text == "SELECT 1")


async def test_a_history_that_cannot_be_kept_is_said_and_the_query_runs(
    make_app: MakeApp,
    database: Path,
    bring: Bring,
    run_sql: Callable[..., Awaitable[str]],
    wait_until: WaitUntil,
    tmp_path: Path,
) -> None:
    (tmp_path / "xdg_state_home").write_text("a file where the folder should be")
    app = make_app(database)
    async with app.run_test() as pilot:
        await bring(pilot, "sql")
        assert (await run_sql(pilot, "SELECT 1")).startswith("1 row")
        await wait_until(pilot, lambda: any("can't be kept" in line.message for line in app.journal))


@pytest.mark.parametrize("title", EXAMPLES)
def test_every_example_can_be_run(database: Path, title: str) -> None:
    from tui_mia.store.source import QueryHandle

    assert ask(database, EXAMPLES[title], QueryHandle()).columns


def test_the_history_is_private_bounded_and_has_each_query_once(tmp_path: Path) -> None:
    for number in range(QUERIES_KEPT + 20):
        remember_query(f"SELECT {number}")
    remember_query("SELECT 100")
    queries = read_history()
    assert queries[:2] == ["SELECT 100", f"SELECT {QUERIES_KEPT + 19}"]
    assert len(queries) == len(set(queries)) == QUERIES_KEPT
    assert stat.S_IMODE(history_path().stat().st_mode) == 0o600
    assert tmp_path in history_path().parents


def test_lines_of_the_history_that_are_broken_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    good = json.dumps({"sql": "SELECT 1"})
    path.write_text(f'{good}\n{{"sql": "SEL\n[]\n{{"sql": 3}}\n\n{{"sql": " "}}\n')
    assert read_history(path) == ["SELECT 1"]
    remember_query("SELECT 2", path)
    assert read_history(path) == ["SELECT 2", "SELECT 1"]
    assert [child.name for child in tmp_path.glob(".sql*")] == []


@pytest.mark.parametrize(
    ("value", "cell", "text"),
    [
        (None, None, ""),
        (True, "true", "true"),
        (7, "7", "7"),
        (0.20000000298023224, "0.2", "0.20000000298023224"),
        (float("nan"), "nan", "nan"),
        ("a\nb\x1b", "a\\nb\\x1b", "a\nb\x1b"),
        ("x" * 300, "x" * 200 + "…", "x" * 300),
        (b"\x00[/x]", "b'\\x00[/x]'", "b'\\x00[/x]'"),
        ({"a": [1, None]}, "{'a': [1, None]}", "{'a': [1, None]}"),
        (date(2026, 1, 2), "2026-01-02", "2026-01-02"),
        (datetime(2026, 1, 2, 3, 4, 5, 6, UTC), "2026-01-02 03:04:05Z", "2026-01-02T03:04:05.000006+00:00"),
    ],
)
def test_a_value_is_short_and_harmless_in_a_cell_and_whole_when_it_is_copied(
    value: object, cell: str | None, text: str
) -> None:
    assert as_cell(value) == cell
    assert as_text(value) == text


def test_names_that_are_no_words_are_quoted() -> None:
    assert [identifier(name) for name in ["runs", "CSA", 'a"b', "check-1"]] == [
        "runs",
        '"CSA"',
        '"a""b"',
        '"check-1"',
    ]


def test_a_query_too_large_for_the_app_is_sent_to_the_command_line() -> None:
    told = in_words(
        QueryError("Out of Memory Error: no block (47.9 MiB/48.0 MiB used)\n\nPossible solutions")
    )
    assert told.splitlines() == [
        "Out of Memory Error: no block (47.9 MiB/48.0 MiB used)",
        "The app gives its queries little memory; `tui-mia query` has no such limit.",
    ]
    assert in_words(QueryError("Parser Error: a\nb")) == "Parser Error: a\nb"
