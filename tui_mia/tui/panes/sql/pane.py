"""The SQL pane: a query on the database and its rows; it can read, and nothing else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import ClassVar, Final, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from tui_mia.clean import printable
from tui_mia.store import StoreError, export_query
from tui_mia.store.errors import Interrupted
from tui_mia.store.source import QueryHandle
from tui_mia.tui.background import in_background
from tui_mia.tui.dialogs import AskPath, Choose, shown
from tui_mia.tui.pane import Pane
from tui_mia.tui.panes.sql.answer import MOST_ROWS, WAIT_SECONDS, Answer, as_text, ask, counted, in_words
from tui_mia.tui.panes.sql.examples import EXAMPLES
from tui_mia.tui.panes.sql.query_table import QueryTable
from tui_mia.tui.panes.sql.reader import Reader
from tui_mia.tui.panes.sql.sql_editor import SqlEditor
from tui_mia.tui.panes.sql.sql_history import QUERIES_KEPT, history_path, read_history, remember_query

Found = TypeVar("Found")

SECONDS_BETWEEN_LOOKS: Final = 0.1
LONGEST_LISTED: Final = 120
EXPORT_SUFFIXES: Final = (".csv", ".parquet", ".json")
_TABLES: Final = """
    SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE NOT internal
    ORDER BY table_name, column_index"""


class SqlPane(Pane):
    HELP = f"""
**A query on the database**, in DuckDB's SQL. It can read, and nothing else: no statement that writes,
no other file, no setting.

`i` goes to the query and `escape` back to its rows; `f5` runs it. A query that takes long can be
interrupted with `escape`. The first {MOST_ROWS:,} rows are shown; `e` writes all of them to a file
(.csv, .parquet or .json). Numbers are shown with six digits; `enter` shows the value under the cursor in
full, and `y` copies it.

`f2` lists the tables and columns, `f3` the last {QUERIES_KEPT} queries and some to begin with.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "f5,ctrl+r,ctrl+j",
            "run",
            "Run",
            tooltip="Run the query",
            priority=True,
            id="sql.run",
        ),
        Binding("i", "edit", "Edit", tooltip="Go to the query", id="sql.edit"),
        Binding("escape", "stop", "Interrupt the query, or leave it", show=False, id="sql.stop"),
        Binding("f2", "tables", "Tables", tooltip="Tables and columns", id="sql.tables"),
        Binding("f3", "history", "History", tooltip="Queries that were run, and examples", id="sql.history"),
        Binding("e", "export", "Export", tooltip="Write all rows to a file", id="sql.export"),
        Binding(
            "f4,ctrl+e",
            "export",
            "Write all rows to a file",
            show=False,
            priority=True,
            id="sql.export-anywhere",
        ),
        Binding("y", "copy_value", "Copy", tooltip="Copy the value under the cursor", id="sql.copy"),
        Binding("Y", "copy_row", "Copy the row", show=False, id="sql.copy-row"),
    ]

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._handle: QueryHandle | None = None
        self._is_stopping = False
        self._asked: str | None = None
        self._tables: list[tuple[str, str, str]] = []

    def compose(self) -> ComposeResult:
        with Horizontal(id="sql-top"):
            yield SqlEditor(next(iter(EXAMPLES.values())), id="sql-editor")
            yield OptionList(id="sql-tables")
        yield Static("f5 runs the query; f3 has others", id="sql-status", markup=False)
        with Vertical(id="sql-result"):
            yield QueryTable(Answer.empty())

    @property
    def editor(self) -> SqlEditor:
        return self.query_one(SqlEditor)

    @property
    def table(self) -> QueryTable:
        return self.query_one(QueryTable)

    def on_mount(self) -> None:
        self.editor.border_title = "SQL"
        self._list_tables()
        in_background(self, self._begin_with_the_last_query)

    async def on_show_pane(self) -> None:
        in_background(self, self._load_tables, in_place_of="tables")

    def first_focus(self) -> Widget:
        return self.table

    # Running

    def action_run(self) -> None:
        sql = self.editor.text
        if not sql.strip():
            self._tell("there is no query to run: i edits it, f3 has some")
        elif self._handle is not None:
            self._tell("a query is running already; escape interrupts it")
        else:
            in_background(self, partial(self._remember, sql))
            in_background(self, partial(self._run, sql, self._begin()))

    def _begin(self) -> QueryHandle:
        """From here on something runs, and nothing else can be begun."""
        self._handle, self._is_stopping = QueryHandle(), False
        return self._handle

    def action_stop(self) -> None:
        if self._handle is not None:
            self._is_stopping = True
            self._handle.interrupt()
        else:
            self.table.focus()

    async def _run(self, sql: str, handle: QueryHandle) -> None:
        answer = await self._in_thread(lambda: ask(self.tui.database, sql, handle), "running", handle)
        if answer is not None:
            await self._show(answer, sql)

    async def _show(self, answer: Answer, sql: str) -> None:
        self._asked = sql
        table, takes_focus = QueryTable(answer), self.app.focused in (None, self.editor, self.table)
        result = self.query_one("#sql-result")
        await result.remove_children()
        await result.mount(table)
        self._tell(answer.summary)
        if takes_focus:
            table.focus()

    async def _in_thread(self, work: Callable[[], Found], doing: str, handle: QueryHandle) -> Found | None:
        """What the work found; None where it failed or was interrupted, which is told."""
        started = time.perf_counter()
        thread = asyncio.ensure_future(asyncio.to_thread(work))
        # Nobody waits for it any more when the app is left.
        thread.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        try:
            while not thread.done():
                seconds = time.perf_counter() - started
                stops = "stopping" if self._is_stopping else "escape interrupts it"
                self._tell(f"{doing} {seconds:.1f} s; {stops}")
                await asyncio.wait({thread}, timeout=SECONDS_BETWEEN_LOOKS)
                if self._is_stopping:
                    # Again, for what was between two queries did not hear it.
                    handle.interrupt()
            return thread.result()
        except Interrupted:
            self._tell(f"interrupted after {time.perf_counter() - started:.1f} s")
        except StoreError as error:
            self._tell(in_words(error), is_problem=True)
        except Exception as error:
            self.tui.say(f"the query failed: {type(error).__name__}: {error}", "error")
            self._tell(f"{type(error).__name__}: {error}", is_problem=True)
        finally:
            self._handle = None
            handle.interrupt()
        return None

    def _tell(self, text: str, *, is_problem: bool = False) -> None:
        status = self.query_one("#sql-status", Static)
        status.set_class(is_problem, "-problem")
        status.update(shown(text))

    # Queries to take

    def action_edit(self) -> None:
        self.editor.focus()

    async def action_history(self) -> None:
        queries = await self._files(lambda: asyncio.to_thread(read_history)) or []
        options = [("", in_one_line(sql), sql) for sql in queries]
        options += [("", f"example: {title}", sql) for title, sql in EXAMPLES.items()]
        question = "Queries that were run, the newest first" if queries else "Queries to begin with"
        self.app.push_screen(Choose(question, options), self._take)

    def _take(self, sql: str | None) -> None:
        if sql is not None:
            # Replaced, not loaded anew, so that ctrl+z brings back what was there.
            self.editor.replace(sql, (0, 0), self.editor.document.end)
            self.editor.focus()

    async def _begin_with_the_last_query(self) -> None:
        queries = await self._files(lambda: asyncio.to_thread(read_history))
        if queries and self._asked is None and self.editor.text == next(iter(EXAMPLES.values())):
            self.editor.text = queries[0]

    async def _remember(self, sql: str) -> None:
        await self._files(lambda: asyncio.to_thread(remember_query, sql.strip()))

    async def _files(self, work: Callable[[], Awaitable[Found]]) -> Found | None:
        try:
            return await work()
        except OSError as error:
            self.tui.say(
                f"{history_path()}: the history of queries can't be kept: {error.strerror}", "warning"
            )
            return None

    # Tables and columns

    def action_tables(self) -> None:
        if self.query_one("#sql-tables").display:
            self.query_one("#sql-tables").focus()
            return
        options = [("", text, name) for text, name in self._names()]
        if options:
            self.app.push_screen(Choose("Tables and columns; enter takes a name", options), self._insert)
        else:
            self._tell("no tables are known: the database is not there yet, or can't be read")

    @on(OptionList.OptionSelected, "#sql-tables")
    def _name_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        names = self._names()
        if event.option_index < len(names):
            self._insert(names[event.option_index][1])

    def _insert(self, name: str | None) -> None:
        if name is not None:
            self.editor.insert(name)
            self.editor.focus()

    async def _load_tables(self) -> None:
        try:
            answer = await asyncio.to_thread(ask, self.tui.database, _TABLES, QueryHandle())
        except StoreError as error:
            self._tables = []
            if self._handle is None and self._asked is None:
                self._tell(str(error), is_problem=True)
        else:
            self._tables = [(table, column, kind) for table, column, kind in answer.rows]
        self._list_tables()

    def _list_tables(self) -> None:
        names = self._names()
        side = self.query_one("#sql-tables", OptionList)
        side.border_title = "Tables (f2)"
        side.clear_options()
        side.add_options(Option(Content(printable(text))) for text, _ in names)
        if not names:
            side.add_option(Option(Content("none yet"), disabled=True))

    def _names(self) -> list[tuple[str, str]]:
        """Tables and their columns, as they are listed and as SQL writes them."""
        names = []
        last = None
        for table, column, kind in self._tables:
            if table != last:
                names.append((table, identifier(table)))
                last = table
            names.append((f"  {column}  {kind.lower()}", identifier(column)))
        return names

    # What is done with rows

    def action_export(self) -> None:
        sql = self._asked
        if sql is None:
            self._tell("there are no rows to export yet: f5 runs the query")
        elif self._handle is not None:
            self._tell("a query is running; escape interrupts it")
        else:
            self.app.push_screen(
                AskPath("Write all rows of the last query to:", "query.csv", EXPORT_SUFFIXES),
                lambda path: self._export(sql, path),
            )

    def _export(self, sql: str, path: Path | None) -> None:
        if path is not None and self._handle is None:
            in_background(self, partial(self._write, sql, path, self._begin()))

    async def _write(self, sql: str, path: Path, handle: QueryHandle) -> None:
        def work() -> int:
            return export_query(self.tui.database, sql, path, wait_seconds=WAIT_SECONDS, handle=handle)

        rows = await self._in_thread(work, "writing", handle)
        if rows is not None:
            told = f"wrote {counted(rows, 'row')} to {path}"
            self._tell(told)
            self.tui.say(told, toast=True)

    @on(QueryTable.CellSelected)
    def _read_value(self, event: QueryTable.CellSelected) -> None:
        event.stop()
        if self.table.row_count:
            name = self.table.answer.columns[self.table.cursor_column]
            value = self.table.value
            self.app.push_screen(Reader(name, "NULL" if value is None else as_text(value)))

    async def action_copy_value(self) -> None:
        if self.table.row_count:
            await self.tui.copy(as_text(self.table.value), "the value")

    async def action_copy_row(self) -> None:
        if self.table.row_count:
            row = self.table.answer.rows[self.table.cursor_row]
            await self.tui.copy("\t".join(map(as_text, row)), "the row, with tabs between its values")


def in_one_line(sql: str) -> str:
    """The beginning of a query, for a list of queries."""
    line = " ".join(sql.split())
    return line if len(line) <= LONGEST_LISTED else f"{line[:LONGEST_LISTED]}…"


def identifier(name: str) -> str:
    """A name as SQL writes it."""
    return name if name.isidentifier() and name.islower() else '"' + name.replace('"', '""') + '"'
