"""A database of the layout `parquet` answers as one of tables does, wherever it lies."""

from __future__ import annotations

import itertools
import os
import re
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.store.conftest import run_row, standard_rows, write_rows
from tui_mia.store import (
    DatabaseFull,
    QueryError,
    SampleFilter,
    SampleSort,
    ScoreRange,
    StoredRun,
    StoreError,
    attacks_of,
    count_samples,
    delete_run,
    export_query,
    export_run,
    find_run,
    first_samples,
    ingest,
    list_runs,
    order_samples,
    query,
    read_sample,
    read_samples,
    roc_curve,
    score_histogram,
    scored_runs,
    summarise,
)

ROWS = "SELECT * FROM scores ORDER BY ALL", "SELECT * FROM similarities ORDER BY ALL"
HOSTILE = [
    "../../x",
    "a/b",
    "",
    ".",
    "é'\"; DROP TABLE runs; --",
    "[*?]",
    "x" * 400,
    "%2e%2e",
    "score=1",
    "\n",
]


def rows(database: Path, *sql: str) -> list[list[tuple[Any, ...]]]:
    found = []
    for statement in sql or ROWS:
        with query(database, statement) as result:
            found.append(list(result))
    return found


def files(database: Path) -> set[Path]:
    return set(database.with_name(database.name + ".data").rglob("*.parquet"))


@pytest.fixture
def parquet(tmp_path: Path, tables: Path) -> Path:
    """A database of this layout, with the standard run as `run-a`."""
    database = tmp_path / "there" / "audits.duckdb"
    database.parent.mkdir()
    ingest(database, run_row(), tables, layout="parquet")
    return database


QUESTIONS: dict[str, Callable[[Path], Any]] = {
    "runs": list_runs,
    "find": lambda database: find_run(database, "run"),
    "attacks": lambda database: attacks_of(StoredRun(database, "run-a")),
    "counts": lambda database: count_samples(StoredRun(database, "run-a")),
    "by number": lambda database: first_samples(StoredRun(database, "run-a")),
    "by score": lambda database: first_samples(
        StoredRun(database, "run-a"), SampleSort("score", True, "aea")
    ),
    "order": lambda database: order_samples(
        StoredRun(database, "run-a"), SampleSort("p_value", False, "csa")
    ).numbers.tolist(),
    "range": lambda database: first_samples(
        StoredRun(database, "run-a"), where=SampleFilter(ranges=(ScoreRange("csa", 0.21, 0.3),))
    ),
    "page": lambda database: read_samples(StoredRun(database, "run-a"), [7, 0, 3]),
    "sample": lambda database: read_sample(StoredRun(database, "run-a"), 2),
    "scored": scored_runs,
    "wide": lambda database: rows(database, "SELECT * FROM sample_scores ORDER BY number"),
    "columns": lambda database: rows(database, "DESCRIBE scores", "DESCRIBE similarities"),
    "rows": rows,
}


@pytest.mark.parametrize("ask", QUESTIONS.values(), ids=QUESTIONS)
def test_every_question_has_the_same_answer_in_both_layouts(
    one_run: Path, parquet: Path, tables: Path, ask: Callable[[Path], Any]
) -> None:
    ingest(one_run, run_row(), tables)
    assert ask(parquet) == ask(one_run)


def test_summary_curve_and_histogram_are_the_same_in_both_layouts(one_run: Path, parquet: Path) -> None:
    ours, theirs = summarise(parquet, "run-a"), summarise(one_run, "run-a")
    assert (ours.samples, ours.attacks, ours.checks) == (theirs.samples, theirs.attacks, theirs.checks)
    for ask in (roc_curve, score_histogram):
        assert repr(ask(parquet, "run-a", "csa")) == repr(ask(one_run, "run-a", "csa"))


@pytest.mark.parametrize("table", ["scores", "similarities", "sample_scores"])
@pytest.mark.parametrize("format_", ["csv", "json", "parquet"])
def test_exports_are_the_same_in_both_layouts(
    one_run: Path, parquet: Path, tmp_path: Path, table: str, format_: Any
) -> None:
    counts = []
    for number, database in enumerate((one_run, parquet)):
        counts.append(export_run(database, "run-a", tmp_path / f"{number}.{format_}", format_, table))
    assert counts[0] == counts[1] > 0
    with duckdb.connect() as connection:
        exported = [
            connection.execute(f"FROM '{tmp_path / str(number)}.{format_}' ORDER BY ALL").fetchall()
            for number in (0, 1)
        ]
    assert exported[0] == exported[1]


def test_a_query_of_the_files_is_exported(parquet: Path, tmp_path: Path) -> None:
    assert export_query(parquet, "FROM scores", tmp_path / "out.parquet") == 20


def test_a_database_of_tables_is_converted_once_and_stays_so(one_run: Path, tables: Path) -> None:
    before = rows(one_run)
    ingest(one_run, run_row("run-b"), tables, layout="parquet")
    converted = files(one_run)
    assert len(converted) == 4
    ingest(one_run, run_row("run-c"), tables, layout="table")
    assert len(files(one_run)) == 6
    assert converted < files(one_run)
    delete_run(one_run, "run-b")
    delete_run(one_run, "run-c")
    assert rows(one_run) == before
    delete_run(one_run, "run-a")
    assert rows(one_run) == [[], []]
    assert not files(one_run)
    ingest(one_run, run_row("run-a"), tables)
    assert rows(one_run) == before


def test_a_run_that_comes_again_takes_the_place_of_the_first(parquet: Path, tables: Path) -> None:
    first, before = files(parquet), rows(parquet)
    ingest(parquet, run_row(), tables)
    assert rows(parquet) == before
    assert len(files(parquet)) == 2
    assert not first & files(parquet)


def test_runs_without_scores_and_tables_of_earlier_versions_are_taken(tmp_path: Path, database: Path) -> None:
    ingest(database, run_row("empty"), tmp_path, layout="parquet")
    assert rows(database) == [[], []]
    older = tmp_path / "older"
    older.mkdir()
    ids = {"sample_id": ["a", "b"]}
    pq.write_table(pa.table({**ids, "pool": ["candidates"] * 2}), older / "samples.parquet")
    scores = {"sample_id": ["b", "a"], "attack": ["csa"] * 2, "score": [2.0, 1.0]}
    pq.write_table(pa.table(scores), older / "scores.parquet")
    ingest(database, run_row("older"), older)
    assert rows(database, "SELECT number, score, p_value, placement FROM scores ORDER BY number") == [
        [(0, 1.0, None, None), (1, 2.0, None, None)]
    ]


def test_a_database_moves_with_its_folder(parquet: Path, tmp_path: Path) -> None:
    before = rows(parquet)
    odd = tmp_path / "score=1, it's [a] *" / "run_id=2"
    odd.parent.mkdir()
    parquet.parent.rename(odd)
    assert rows(odd / "audits.duckdb") == before
    renamed = odd / "ren'amed.duckdb"
    (odd / "audits.duckdb").rename(renamed)
    (odd / "audits.duckdb.data").rename(odd / "ren'amed.duckdb.data")
    assert rows(renamed) == before
    ingest(renamed, run_row("run-b"), tmp_path / "run" / "tables")
    delete_run(renamed, "run-b")
    assert rows(renamed) == before


def test_duckdb_itself_reads_it_where_it_lies(parquet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(parquet.parent)
    with duckdb.connect("audits.duckdb", read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM scores").fetchone() == (20,)
    monkeypatch.chdir("/")
    with duckdb.connect(str(parquet), read_only=True) as connection:
        connection.execute(f"SET VARIABLE tui_mia_data = '{parquet}.data'")
        assert connection.execute("SELECT count(*) FROM sample_scores").fetchone() == (12,)


@pytest.mark.parametrize("run_id", HOSTILE)
def test_any_run_id_has_files_of_its_own_in_the_folder(parquet: Path, tables: Path, run_id: str) -> None:
    before, others = rows(parquet), files(parquet)
    everything = set(parquet.parent.parent.rglob("*"))
    ingest(parquet, run_row(run_id), tables)
    new = set(parquet.parent.parent.rglob("*")) - everything
    assert {path.parent.parent for path in new} == {parquet.with_name("audits.duckdb.data")}
    assert all(re.fullmatch(r"[\w-]+\.parquet", path.name) for path in new)
    assert rows(parquet, "SELECT count(*) FROM scores GROUP BY run_id") == [[(20,), (20,)]]
    delete_run(parquet, run_id)
    assert rows(parquet) == before
    assert files(parquet) == others


def test_everything_is_for_its_owner_only(parquet: Path) -> None:
    folder = parquet.with_name("audits.duckdb.data")
    for path in (folder, *folder.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


def test_rows_are_sorted_and_pages_are_in_few_row_groups(database: Path, tmp_path: Path) -> None:
    folder = tmp_path / "large"
    folder.mkdir()
    numbers = [number for _ in range(2) for number in range(30_000)]
    attacks = ["csa"] * 30_000 + ["aea"] * 30_000
    table = pa.table({"number": numbers, "attack": attacks, "score": [1.0] * 60_000})
    pq.write_table(table, folder / "scores.parquet")
    ingest(database, run_row(), folder, layout="parquet")
    (path,) = files(database)
    metadata = pq.ParquetFile(path).metadata
    place = metadata.schema.names.index("number")
    found = [metadata.row_group(group).column(place).statistics for group in range(metadata.num_row_groups)]
    assert len(found) == 3
    assert all(first.max <= second.min for first, second in itertools.pairwise(found))


# The places at which a writer is killed, as the name of what it is about to do.
DIE = """
import os, signal, sys
from pathlib import Path
from tests.store.conftest import run_row
from tui_mia.store import dataset, delete_run, ingest
what, place, count, database, tables = sys.argv[1:]
left = [int(count)]
def dying(act):
    def instead(*arguments):
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return act(*arguments)
    return instead
if place == "to_disk":
    dataset.to_disk = dying(dataset.to_disk)
else:
    setattr(dataset.Dataset, place, dying(getattr(dataset.Dataset, place)))
if what == "delete":
    delete_run(Path(database), "run-a")
else:
    ingest(Path(database), run_row(what), Path(tables), layout="parquet")
"""


@pytest.mark.parametrize("start", ["table", "parquet"])
@pytest.mark.parametrize(
    ("what", "place", "count", "is_done"),
    [
        ("run-a", "write", 1, False),
        ("run-b", "to_disk", 6, False),
        ("run-b", "rebuild_views", 0, False),
        ("run-b", "sweep", 0, True),
        ("delete", "sweep", 0, True),
    ],
)
def test_who_is_killed_leaves_the_old_or_the_new(
    one_run: Path, tables: Path, start: str, what: str, place: str, count: int, is_done: bool
) -> None:
    if start == "parquet":
        ingest(one_run, run_row(), tables, layout="parquet")
    elif what == "delete":
        pytest.skip("nothing is swept beside tables")
    before = rows(one_run)
    command = [sys.executable, "-c", DIE, what, place, str(count), str(one_run), str(tables)]
    ran = subprocess.run(command, cwd=Path(__file__).parents[2], check=False)
    assert ran.returncode == -signal.SIGKILL
    runs = {"delete": 0, "run-a": 1, "run-b": 2}[what] if is_done else 1
    assert [len(found) for found in rows(one_run)] == [20 * runs, 36 * runs]
    if not is_done:
        assert rows(one_run) == before
    # The next writer does what was to be done, and leaves nothing of the other.
    ingest(one_run, run_row("run-b"), tables, layout="parquet")
    runs = 1 if what == "delete" else 2
    assert [len(found) for found in rows(one_run)] == [20 * runs, 36 * runs]
    assert len(files(one_run)) == 2 * runs


@pytest.mark.parametrize("start", ["table", "parquet"])
def test_a_full_disk_leaves_the_database_as_it_was(
    one_run: Path, tables: Path, monkeypatch: pytest.MonkeyPatch, start: str
) -> None:
    if start == "parquet":
        ingest(one_run, run_row(), tables, layout="parquet")
    before, beside = rows(one_run), files(one_run)

    def full(path: Path) -> None:
        if path.parent.name == "scores":
            raise OSError(28, os.strerror(28))

    monkeypatch.setattr("tui_mia.store.dataset.to_disk", full)
    with pytest.raises(DatabaseFull, match="which is as it was"):
        ingest(one_run, run_row("run-b"), tables, layout="parquet")
    assert rows(one_run) == before
    assert files(one_run) == beside


def test_a_folder_that_can_not_be_made_is_told(one_run: Path, tables: Path) -> None:
    one_run.with_name("audits.duckdb.data").write_text("in the way")
    with pytest.raises(StoreError, match=r"audits\.duckdb\.data can't be written"):
        ingest(one_run, run_row("run-b"), tables, layout="parquet")
    assert len(rows(one_run)[0]) == 20


def test_a_file_that_is_gone_is_named(parquet: Path) -> None:
    for path in files(parquet):
        path.unlink()
    with pytest.raises(QueryError, match=r"scores/run-a-.*\.parquet"):
        rows(parquet)
    with pytest.raises(StoreError, match=r"scores/run-a-.*\.parquet"):
        first_samples(StoredRun(parquet, "run-a"), SampleSort("score", True, "csa"))


def test_a_run_is_deleted_when_nobody_reads_it_any_more(parquet: Path) -> None:
    with query(parquet, "SELECT scores.* FROM scores, range(10000)") as result:
        some = iter(result)
        next(some)
        deleting = threading.Thread(target=delete_run, args=(parquet, "run-a"))
        deleting.start()
        assert sum(1 for _ in some) == 199_999
    deleting.join()
    assert rows(parquet) == [[], []]
    assert not files(parquet)


OUTSIDE = [
    "FROM read_text('/etc/passwd')",
    "FROM read_text('{data}/../../secret.csv')",
    "FROM read_csv('{data}/link.csv')",
    "FROM read_text('{data}/folder/secret.csv')",
    "FROM read_text('{data}x/secret.csv')",
    "FROM glob('{data}/../*')",
    "FROM read_parquet('https://example.com/a.parquet')",
    "FROM read_duckdb('{data}/../other.duckdb')",
    "COPY scores TO '{data}/out.csv'",
    "COPY scores TO '{data}/scores/out.parquet'",
    "EXPLAIN ANALYZE COPY runs TO '{data}/out.csv'",
    "FROM query('COPY runs TO ''{data}/out.csv''')",
    "EXPORT DATABASE '{data}/out'",
    "FROM enable_logging('QueryLog', storage = 'file', storage_path = '{data}/log')",
    "FROM enable_profiling(save_location = '{data}/out.json')",
    "PRAGMA profiling_output = '{data}/out.json'",
    "ATTACH '{data}/other.duckdb'",
    "INSTALL httpfs",
    "LOAD '{data}/evil.duckdb_extension'",
    "SET VARIABLE tui_mia_data = '/etc'",
    "SET allowed_directories = ['/']",
    "SET enable_external_access = true",
]


@pytest.mark.parametrize(
    "ask", [rows, lambda database, sql: export_query(database, sql, database.with_name("out.csv"))]
)
@pytest.mark.parametrize("sql", OUTSIDE)
def test_a_query_reads_nothing_but_the_folder_and_writes_nothing(
    parquet: Path, tmp_path: Path, sql: str, ask: Callable[[Path, str], object]
) -> None:
    data = parquet.with_name("audits.duckdb.data")
    (tmp_path / "secret.csv").write_text("a,b\n1,2\n")
    (data / "link.csv").symlink_to(tmp_path / "secret.csv")
    (data / "folder").symlink_to(tmp_path)
    beside = parquet.with_name("audits.duckdb.datax")
    beside.mkdir()
    (beside / "secret.csv").write_text("a,b\n1,2\n")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    with pytest.raises(QueryError):
        ask(parquet, sql.format(data=data))
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if not path.is_dir()}
    assert after == {path: time for path, time in before.items() if not path.is_dir()}


def test_a_folder_that_is_a_link_is_not_followed(parquet: Path, tmp_path: Path) -> None:
    data = parquet.with_name("audits.duckdb.data")
    data.rename(tmp_path / "elsewhere")
    data.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match=r"audits\.duckdb\.data is a link"):
        rows(parquet)


def test_readers_beside_each_other_are_all_confined(parquet: Path) -> None:
    problems: list[str] = []

    def read() -> None:
        for _ in range(10):
            if [len(found) for found in rows(parquet)] != [20, 36]:
                problems.append("rows")
            try:
                rows(parquet, "FROM read_text('/etc/passwd')")
                problems.append("read another file")
            except QueryError:
                pass

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems


def test_a_file_that_does_not_fit_leaves_nothing_behind(tmp_path: Path, parquet: Path) -> None:
    before, broken = files(parquet), write_rows(tmp_path / "broken", **standard_rows())
    (broken / "scores.parquet").write_text("no Parquet file")
    with pytest.raises(StoreError, match=r"scores\.parquet can't be read"):
        ingest(parquet, run_row("run-b"), broken)
    assert files(parquet) == before
