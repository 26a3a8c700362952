from __future__ import annotations

import collections
import csv
import json
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tui_mia.store import (
    DatabaseLocked,
    DatabaseVersion,
    ExportError,
    QueryError,
    RunRow,
    export_query,
    ingest,
    query,
)
from tui_mia.store.errors import Interrupted
from tui_mia.store.source import QueryHandle

MakeRun = Callable[..., RunRow]


def test_a_query_gives_columns_types_and_rows(one_run: Path) -> None:
    with query(one_run, "SELECT run_id, count(*) AS samples FROM samples GROUP BY run_id") as result:
        assert result.columns == ["run_id", "samples"]
        assert result.types == ["VARCHAR", "BIGINT"]
        assert list(result) == [("run-a", 12)]


def test_parameters_take_the_place_of_question_marks(one_run: Path) -> None:
    sql = "SELECT count(*) FROM samples WHERE pool = ? AND key < ?"
    with query(one_run, sql, ["candidates", "00004"]) as result:
        assert list(result) == [(4,)]


def test_times_come_in_utc(one_run: Path) -> None:
    sql = "SELECT *, created_at FROM runs WHERE run_id = ?; -- the first; only"
    with query(one_run, sql, ["run-a"]) as result:
        (row,) = result
        assert result.columns[2] == "created_at"
        assert result.types[2] == "TIMESTAMP WITH TIME ZONE"
    assert row[2] == row[-1] == datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert row[3] is None


def test_rows_keep_their_order_when_times_are_among_them(
    one_run: Path, tmp_path: Path, make_run: MakeRun
) -> None:
    for day in range(1, 20):
        ingest(one_run, make_run(f"run-{day}", day=day), tmp_path)
    with query(one_run, "SELECT created_at FROM runs ORDER BY created_at DESC") as result:
        times = [time for (time,) in result]
    assert times == sorted(times, reverse=True)


def test_a_large_result_comes_in_chunks_and_may_be_left_early(one_run: Path) -> None:
    with query(one_run, "SELECT * FROM range(1000000000000)") as result:
        assert next(iter(result)) == (0,)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT ';' AS ü -- ; a comment",
        "select 1;",
        "select 1; ; -- twice ;",
        "SELECT 1 /* ; */ ; /* ; */",
        "SELECT now() -- comment",
        "SELECT now(), 'ü;'; -- ü",
        "FROM runs",
        "TABLE runs",
        "VALUES (1, 2)",
        "WITH two AS (SELECT 2) FROM two",
        "DESCRIBE runs",
        "SHOW TABLES",
        "SUMMARIZE scores",
        "PIVOT scores ON attack IN ('csa', 'aea') USING max(score) GROUP BY sample_id",
        "FROM duckdb_settings()",
        "SELECT spec, versions->>'torch', seconds->'encode' FROM runs",
    ],
)
def test_every_statement_that_reads_can_be_run(one_run: Path, sql: str) -> None:
    with query(one_run, sql) as result:
        assert list(result)


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELEC 1", "syntax error"),
        ("SELECT nope FROM runs", "nope"),
        ("FROM nothing", "nothing does not exist"),
        ("SELECT 1 + ?", "1"),
        ("SELECT 'a'::INTEGER", "Conversion Error"),
        ("", "this is 0"),
        ("-- nothing", "this is 0"),
        ("SELECT 1; SELECT 2", "this is 2"),
        ("PIVOT scores ON attack USING max(score)", r"ON column IN \(\.\.\.\)"),
    ],
)
def test_a_query_that_is_wrong_is_told_what_duckdb_says(one_run: Path, sql: str, message: str) -> None:
    with pytest.raises(QueryError, match=message):
        list(query(one_run, sql))


def test_an_error_in_a_late_row_is_a_query_error(one_run: Path) -> None:
    sql = "SELECT CASE WHEN n = 4999999 THEN error('late') END FROM range(5000000) AS numbers(n)"
    rows = iter(query(one_run, sql))
    assert next(rows) == (None,)
    with pytest.raises(QueryError, match="late"):
        collections.deque(rows, maxlen=0)


# {files} is a folder with a CSV, a Parquet file and a DuckDB file; {db} is the database itself.
READS_OUTSIDE = [
    "FROM '{files}/table.csv'",
    "FROM 'table.csv'",
    "FROM '{files}/table.parquet'",
    "FROM '{files}/other.duckdb'",
    "FROM '{files}/*.csv'",
    "FROM read_csv('{files}/table.csv')",
    "FROM read_csv_auto('{files}/table.csv')",
    "FROM sniff_csv('{files}/table.csv')",
    "FROM read_text('/etc/passwd')",
    "FROM read_text('{db}.tmp/../beside.csv')",
    "FROM read_blob('/etc/passwd')",
    "FROM read_json('{files}/table.json')",
    "FROM read_json_objects('{files}/table.json')",
    "FROM read_ndjson('{files}/table.json')",
    "FROM read_parquet('{files}/table.parquet')",
    "FROM parquet_scan('{files}/table.parquet')",
    "FROM parquet_metadata('{files}/table.parquet')",
    "FROM parquet_schema('{files}/table.parquet')",
    "FROM parquet_kv_metadata('{files}/table.parquet')",
    "FROM read_duckdb('{files}/other.duckdb')",
    "FROM glob('/*')",
    "FROM glob('{files}/*')",
    "FROM query('FROM read_text(''/etc/passwd'')')",
    "FROM query_table('{files}/table.csv')",
    "FROM json_execute_serialized_sql(json_serialize_sql('FROM read_text(''/etc/passwd'')'))",
    "FROM 'https://example.com/table.csv'",
    "FROM read_csv('s3://bucket/table.csv')",
    "FROM sqlite_scan('{files}/a.db', 't')",
    "FROM python_secret",
    "SELECT getenv('HOME')",
    "FROM arrow_scan(1, 2, 3)",
    "FROM pandas_scan(1)",
    "FROM python_map_function((SELECT 1))",
]
ACTS = [
    "COPY runs TO '{files}/out.csv'",
    "COPY runs TO '{db}.wal'",
    "COPY (SELECT 1) TO '{db}' (FORMAT csv)",
    "COPY runs FROM '{files}/table.csv'",
    "COPY FROM DATABASE audits TO other",
    "EXPLAIN ANALYZE COPY runs TO '{files}/out.csv'",
    "EXPLAIN ANALYZE COPY runs TO '{db}.wal'",
    "EXPLAIN ANALYZE COPY runs TO '{db}.tmp/out.csv'",
    "EXPLAIN ANALYZE DELETE FROM runs",
    "FROM query('COPY runs TO ''{db}.wal''')",
    "EXPORT DATABASE '{files}/out'",
    "IMPORT DATABASE '{files}/out'",
    "ATTACH '{files}/other.duckdb'",
    "ATTACH ':memory:' AS other",
    "DETACH audits",
    "USE other",
    "INSTALL httpfs",
    "LOAD httpfs",
    "LOAD '{files}/evil.duckdb_extension'",
    "UPDATE EXTENSIONS",
    "SET threads = 1",
    "SET enable_external_access = true",
    "SET allowed_directories = ['/']",
    "SET lock_configuration = false",
    "RESET lock_configuration",
    "RESET enable_external_access",
    "SET VARIABLE a = 1",
    "PRAGMA enable_profiling",
    "PRAGMA profiling_output = '{files}/out.json'",
    "PRAGMA database_list",
    "CALL enable_logging('QueryLog', storage = 'file', storage_path = '{files}/log')",
    "FROM enable_logging('QueryLog', storage = 'file', storage_path = '{files}/log')",
    "FROM enable_profiling(save_location = '{files}/out.json')",
    "CREATE SECRET (TYPE s3)",
    "CREATE PERSISTENT SECRET mine (TYPE s3)",
    "CREATE TABLE mine AS SELECT 1",
    "CREATE TEMP TABLE mine AS SELECT 1",
    "CREATE MACRO mine(a) AS TABLE FROM read_text(a)",
    "CREATE OR REPLACE VIEW sample_scores AS SELECT 1",
    "INSERT INTO runs (run_id) VALUES ('mine')",
    "UPDATE runs SET status = 'done'",
    "DELETE FROM runs",
    "DELETE FROM runs RETURNING *",
    "WITH gone AS (DELETE FROM runs RETURNING *) FROM gone",
    "WITH new AS (INSERT INTO runs (run_id) VALUES ('mine') RETURNING *) FROM new",
    "MERGE INTO runs USING pools ON runs.run_id = pools.run_id WHEN MATCHED THEN DELETE",
    "TRUNCATE runs",
    "DROP TABLE runs",
    "ALTER TABLE runs ADD COLUMN mine INTEGER",
    "VACUUM",
    "CHECKPOINT",
    "FORCE CHECKPOINT",
    "BEGIN",
    "PREPARE mine AS COPY runs TO '{db}.wal'",
    "EXECUTE mine",
    "SELECT 1; COPY runs TO '{db}.wal'",
    "SELECT now()) TO '{db}.wal'; --",
    "SELECT now() FROM runs) UNION (FROM read_text('/etc/passwd')",
    "CONNECT '{files}/other.duckdb'",
]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, finished_database: Path) -> Path:
    folder = tmp_path_factory.mktemp("files")
    (folder / "table.csv").write_text("a,b\n1,2\n")
    (folder / "table.json").write_text('{"a": 1}\n')
    pq.write_table(pa.table({"a": [1]}), folder / "table.parquet")
    shutil.copy(finished_database, folder / "other.duckdb")
    return folder


def contents(*folders: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}


def read_all(database: Path, sql: str) -> None:
    list(query(database, sql))


def export(database: Path, sql: str) -> None:
    export_query(database, sql, database.with_name("out.csv"))


@pytest.mark.parametrize("ask", [read_all, export])
@pytest.mark.parametrize("sql", READS_OUTSIDE + ACTS)
def test_a_query_can_neither_leave_the_database_nor_change_anything(
    one_run: Path,
    tmp_path: Path,
    files: Path,
    ask: Callable[[Path, str], None],
    sql: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    python_secret = {"a": [1]}
    assert python_secret
    monkeypatch.chdir(files)
    (tmp_path / "audits.duckdb.tmp").mkdir()
    (tmp_path / "beside.csv").write_text("a,b\n1,2\n")
    before = contents(tmp_path, files)
    with pytest.raises(QueryError):
        ask(one_run, sql.format(files=files, db=one_run))
    assert contents(tmp_path, files) == before


def test_a_query_changes_no_setting_for_the_next(one_run: Path) -> None:
    with query(one_run, "SELECT current_setting('enable_external_access')") as first:
        with query(one_run, "FROM duckdb_secrets()") as second:
            assert list(second) == []
        assert list(first) == [(False,)]


def test_a_view_that_somebody_put_into_the_file_reads_no_other_file(one_run: Path) -> None:
    with duckdb.connect(str(one_run)) as connection:
        connection.execute("CREATE VIEW trap AS FROM read_text('/etc/passwd')")
    with pytest.raises(QueryError, match="disabled by configuration"):
        query(one_run, "FROM trap")


def test_a_database_of_another_version_is_not_queried(one_run: Path) -> None:
    with duckdb.connect(str(one_run)) as connection:
        connection.execute("UPDATE meta SET schema_version = 99")
    with pytest.raises(DatabaseVersion):
        query(one_run, "FROM runs")


DIE_IN_A_TRANSACTION = """
import os, sys, duckdb
connection = duckdb.connect(sys.argv[1])
connection.execute("INSERT INTO runs (run_id) VALUES ('committed')")
connection.execute("BEGIN; INSERT INTO runs (run_id) VALUES ('not committed')")
os._exit(0)
"""


def test_a_query_sees_what_a_killed_writer_had_committed(one_run: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", DIE_IN_A_TRANSACTION, one_run], check=True)
    assert (tmp_path / "audits.duckdb.wal").exists()
    with query(one_run, "SELECT run_id FROM runs ORDER BY run_id") as result:
        assert list(result) == [("committed",), ("run-a",)]


NEVER_ENDS = "SELECT count(*) FROM range(1000000000000) AS a(n), range(1000) AS b(m) WHERE n * m % 7 = 3"


def interrupted_soon(work: Callable[[QueryHandle], object]) -> None:
    """Interrupt what works with a handle until it ends, as there is no telling when it begins."""
    handle, ended = QueryHandle(), threading.Event()

    def interrupt() -> None:
        while not ended.wait(0.02):
            handle.interrupt()

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(Interrupted, match="interrupted"):
            work(handle)
    finally:
        ended.set()
        thread.join()


def test_a_query_can_be_interrupted_from_another_thread(
    one_run: Path, tables: Path, make_run: MakeRun
) -> None:
    interrupted_soon(lambda handle: query(one_run, NEVER_ENDS, handle=handle))
    ingest(one_run, make_run("run-b"), tables, wait_seconds=0)  # nothing holds the file


def test_the_reading_of_rows_can_be_interrupted(one_run: Path) -> None:
    with query(one_run, "FROM range(1000000000000)") as result:
        rows = iter(result)
        assert next(rows) == (0,)
        result.interrupt()
        with pytest.raises(Interrupted):
            collections.deque(rows, maxlen=0)


def test_a_handle_that_was_used_before_the_query_began_stops_it(one_run: Path) -> None:
    handle = QueryHandle()
    handle.interrupt()
    with pytest.raises(Interrupted):
        query(one_run, NEVER_ENDS, handle=handle)


def test_an_interrupt_after_the_end_does_nothing(one_run: Path) -> None:
    with query(one_run, "FROM runs") as result:
        assert len(list(result)) == 1
    result.interrupt()
    with query(one_run, "FROM runs") as result:
        assert len(list(result)) == 1


def test_an_export_can_be_interrupted_and_leaves_nothing(one_run: Path, tmp_path: Path) -> None:
    before = contents(tmp_path)
    interrupted_soon(
        lambda handle: export_query(one_run, NEVER_ENDS, tmp_path / "out.parquet", handle=handle)
    )
    assert contents(tmp_path) == before


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".json", ".CSV"])
def test_a_query_is_exported_in_the_format_of_the_suffix(one_run: Path, tmp_path: Path, suffix: str) -> None:
    output = tmp_path / f"it's 'out'{suffix}"
    sql = "SELECT key, caption FROM samples WHERE pool = 'candidates' ORDER BY key DESC; -- all"
    assert export_query(one_run, sql, output) == 6
    if suffix == ".parquet":
        rows = pq.read_table(output).to_pylist()
    elif suffix == ".json":
        rows = json.loads(output.read_text())
    else:
        rows = list(csv.DictReader(output.read_text().splitlines()))
    assert rows[0] == {"key": "00005", "caption": "a photo of 5 things"}
    assert [row["key"] for row in rows] == [f"{number:05}" for number in range(5, -1, -1)]
    assert stat.S_IMODE(output.stat().st_mode) == 0o600


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".json"])
@pytest.mark.parametrize(
    "sql", ["DESCRIBE runs", "SHOW TABLES", "SUMMARIZE scores", "FROM runs", "SELECT now(), 1::HUGEINT"]
)
def test_every_statement_that_reads_can_be_exported(
    one_run: Path, tmp_path: Path, sql: str, suffix: str
) -> None:
    assert export_query(one_run, sql, tmp_path / f"out{suffix}") >= 1


def test_columns_of_one_name_and_numbers_that_are_none_survive_an_export(
    one_run: Path, tmp_path: Path
) -> None:
    sql = """SELECT 1 AS a, 2 AS A, 'nan'::DOUBLE AS a, 4 AS "x ""y" """
    assert export_query(one_run, sql, tmp_path / "out.json") == 1
    assert json.loads((tmp_path / "out.json").read_text(), parse_constant=pytest.fail) == [
        {"a": 1, "A_2": 2, "a_3": None, 'x "y': 4}
    ]


def test_an_export_says_what_it_can_write_and_writes_over_nothing(one_run: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"\.csv, \.parquet, \.json"):
        export_query(one_run, "FROM runs", tmp_path / "out.xlsx")
    (tmp_path / "out.csv").write_text("precious")
    with pytest.raises(ExportError, match="exists already"):
        export_query(one_run, "FROM runs", tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == "precious"
    assert export_query(one_run, "FROM runs", tmp_path / "out.csv", overwrite=True) == 1
    with pytest.raises(ExportError, match="No such file or directory"):
        export_query(one_run, "FROM runs", tmp_path / "nowhere" / "out.csv")


def test_an_export_of_a_wrong_query_leaves_no_file(one_run: Path, tmp_path: Path) -> None:
    before = contents(tmp_path)
    for sql in ["FROM nothing", "SELEC 1", "SELECT error('late') FROM range(100000)", "SELECT 1; SELECT 2"]:
        with pytest.raises(QueryError):
            export_query(one_run, sql, tmp_path / "out.csv")
    assert contents(tmp_path) == before


def test_an_export_from_a_database_that_is_held_names_the_holder(
    one_run: Path, tmp_path: Path, hold: Callable[[Path, str], subprocess.Popen[str]]
) -> None:
    holder = hold(one_run, "writer")
    with pytest.raises(DatabaseLocked, match=f"process {holder.pid}"):
        export_query(one_run, "FROM runs", tmp_path / "out.csv", wait_seconds=0)
