"""Databases of earlier versions, as those versions wrote them: `versions/` has one of each.

Each holds one audit of the first 100 pairs of the sample world by `csa` and `aea` with two views,
carried out by the last commit of that version.
"""

from __future__ import annotations

import errno
import fcntl
import gzip
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tui_mia.exit_codes import ExitCode
from tui_mia.landing import land, land_left_behind
from tui_mia.store import (
    DatabaseFull,
    DatabaseLocked,
    DatabaseVersion,
    OlderDatabase,
    RunRow,
    StoreError,
    bring_up_to_date,
    export_run,
    ingest,
    list_runs,
    migrate,
    query,
    summarise,
)
from tui_mia.store.schema import OLDEST_VERSION, SCHEMA_VERSION
from tui_mia.store.turnstile import locked

VERSIONS = Path(__file__).parent / "versions"
OLDER = range(OLDEST_VERSION, SCHEMA_VERSION)

COMMIT_AND_BE_KILLED = """
import duckdb, os, signal, sys
connection = duckdb.connect(sys.argv[1])
connection.execute("INSERT INTO runs (run_id, status, created_at) VALUES ('in-the-journal', 'done', now())")
os.kill(os.getpid(), signal.SIGKILL)
"""


def unpack(version: int, database: Path) -> bytes:
    content = gzip.decompress((VERSIONS / f"version-{version}.duckdb.gz").read_bytes())
    database.write_bytes(content)
    return content


def rows(database: Path, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(database), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def test_there_is_a_database_of_every_version() -> None:
    names = {path.name for path in VERSIONS.iterdir()}
    assert names == {f"version-{version}.duckdb.gz" for version in range(OLDEST_VERSION, SCHEMA_VERSION + 1)}


def test_a_database_of_this_version_is_left_as_it_is(database: Path) -> None:
    content = unpack(SCHEMA_VERSION, database)
    assert bring_up_to_date(database) is None
    assert database.read_bytes() == content
    (overview,) = list_runs(database)
    assert overview.samples == {"candidates": 40, "nonmembers": 30, "general": 30}


@pytest.mark.parametrize("version", OLDER)
def test_a_database_of_an_earlier_version_is_brought_up_to_date_and_kept_as_it_was(
    database: Path, version: int, tables: Path, make_run: Callable[..., RunRow]
) -> None:
    content = unpack(version, database)
    database.chmod(0o640)
    kept = database.with_name(f"audits.duckdb.version-{version}")
    with pytest.raises(DatabaseVersion, match=f"tables of version {version}; .*tui-mia runs --db"):
        list_runs(database)

    told = bring_up_to_date(database)
    assert told == (
        f"{database} had tables of version {version} and has those of version {SCHEMA_VERSION} now; "
        f"as it was it is {kept}"
    )
    assert kept.read_bytes() == content
    assert sorted(path.name for path in database.parent.iterdir()) == [database.name, kept.name, "run"]
    assert database.stat().st_mode & 0o777 == 0o640
    assert bring_up_to_date(database) is None

    for table, columns in [
        ("runs", "run_id, status, created_at, architecture, spec, versions, run_directory"),
        ("samples", "sample_id, pool, key, source, caption, member, width, height"),
        ("similarities", "sample_id, view, cosine"),
        ("scores", "sample_id, attack, score, p_value, q_value"),
        ("metrics", "attack, metric, value, n"),
    ]:
        sql = f"SELECT {columns} FROM {table} ORDER BY ALL"
        assert rows(database, sql) == rows(kept, sql), table
    # Every sample has its number, in the order in which the run read them, and its scores share it.
    numbers = rows(database, "SELECT number FROM samples ORDER BY rowid")
    assert numbers == [(number,) for number in range(100)]
    assert rows(database, "SELECT count(*) FROM sample_scores WHERE csa IS NOT NULL") == [(70,)]
    (overview,) = list_runs(database)
    assert set(summarise(database, overview.run.run_id).attacks) >= {"csa", "aea", "aea_mean"}

    ingest(database, make_run("run-b"), tables)
    assert len(list_runs(database)) == 2


def test_what_was_kept_before_is_not_written_over(database: Path) -> None:
    unpack(OLDEST_VERSION, database)
    taken = database.with_name(f"audits.duckdb.version-{OLDEST_VERSION}")
    taken.write_text("mine")
    told = bring_up_to_date(database)
    assert told is not None
    assert told.endswith(f"{taken}-2")
    assert taken.read_text() == "mine"


def test_what_somebody_else_keeps_in_the_same_moment_is_not_written_over(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = unpack(OLDEST_VERSION, database)
    kept = database.with_name(f"audits.duckdb.version-{OLDEST_VERSION}")
    kept.write_text("theirs")
    monkeypatch.setattr(migrate, "_name_to_keep", lambda path, version: kept)
    with pytest.raises(StoreError, match="can't be given the tables of this version"):
        bring_up_to_date(database)
    assert kept.read_text() == "theirs"
    assert database.read_bytes() == content


def test_a_database_that_another_brings_up_to_date_is_left_to_it(database: Path) -> None:
    content = unpack(OLDEST_VERSION, database)
    with locked(database.parent, fcntl.LOCK_EX, 0) as is_alone:
        assert is_alone
        with pytest.raises(DatabaseLocked, match="is being brought up to date by another tui-mia; try again"):
            bring_up_to_date(database, wait_seconds=0.1)
        assert land_left_behind(database) == []
        with pytest.raises(OlderDatabase):
            list_runs(database, wait_seconds=0.1)
    assert [path.name for path in database.parent.iterdir()] == [database.name]
    assert database.read_bytes() == content
    assert bring_up_to_date(database) is not None


def test_who_comes_to_read_while_another_brings_it_up_to_date_waits_for_it(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpack(OLDEST_VERSION, database)
    ((run_id,),) = rows(database, "SELECT run_id FROM runs")
    replace = migrate._replace_with_new
    answers: list[str] = []

    def replace_slowly(path: Path, kept: Path) -> None:
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(0.3)
        assert answers == []
        replace(path, kept)

    def read() -> None:
        answers.append(list_runs(database)[0].run.status)

    def export() -> None:
        export_run(database, run_id, tmp_path / "samples.csv", "csv", "samples")
        answers.append("exported")

    monkeypatch.setattr(migrate, "_replace_with_new", replace_slowly)
    readers = [threading.Thread(target=work) for work in (read, export)]
    assert bring_up_to_date(database) is not None
    for reader in readers:
        reader.join(30)
    assert sorted(answers) == ["done", "exported"]


@pytest.mark.parametrize("version", OLDER)
def test_what_was_committed_by_who_was_killed_is_brought_up_to_date_too(database: Path, version: int) -> None:
    unpack(version, database)
    subprocess.run([sys.executable, "-c", COMMIT_AND_BE_KILLED, str(database)], check=False)
    assert database.with_name("audits.duckdb.wal").exists()
    assert bring_up_to_date(database) is not None
    kept = database.with_name(f"audits.duckdb.version-{version}")
    assert sorted(path.name for path in database.parent.iterdir()) == [database.name, kept.name]
    for file in (database, kept):
        assert rows(file, "SELECT count(*) FROM runs") == [(2,)]
        assert rows(file, "SELECT status FROM runs WHERE run_id = 'in-the-journal'") == [("done",)]
    with duckdb.connect(str(database)) as connection:
        connection.execute("CHECKPOINT")


def test_changes_that_stay_beside_the_old_file_keep_it_in_its_place(database: Path) -> None:
    content = unpack(OLDEST_VERSION, database)
    stays = database.with_name("audits.duckdb.wal.recovery")
    stays.mkdir()
    with pytest.raises(StoreError, match=r"wal\.recovery has changes to audits\.duckdb that were not"):
        bring_up_to_date(database)
    assert database.read_bytes() == content
    assert sorted(path.name for path in database.parent.iterdir()) == [database.name, stays.name]


@pytest.mark.parametrize("decoy", [True, False], ids=["beside a table of that name", "alone"])
def test_a_view_in_the_place_of_a_table_reads_no_file_of_the_user(database: Path, decoy: bool) -> None:
    unpack(2, database)
    secret = database.with_name("secret.txt")
    secret.write_text("the user's secret")
    with duckdb.connect(str(database)) as connection:
        connection.execute("DROP TABLE rejects")
        connection.execute(
            f"CREATE VIEW rejects AS SELECT 'r' AS run_id, content AS reason FROM read_text('{secret}')"
        )
        if decoy:
            connection.execute("CREATE SCHEMA x; CREATE TABLE x.rejects (run_id VARCHAR, reason VARCHAR)")
    assert bring_up_to_date(database) is not None
    assert rows(database, "SELECT * FROM rejects") == []
    assert len(list_runs(database)) == 1


def test_while_rows_are_copied_no_other_file_can_be_read(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = unpack(OLDEST_VERSION, database)
    secret = database.with_name("secret.txt")
    secret.write_text("the user's secret")

    def copy(connection: duckdb.DuckDBPyConnection, table: str) -> None:
        connection.execute(f"SELECT * FROM read_text('{secret}')")

    monkeypatch.setattr(migrate, "_copy", copy)
    with pytest.raises(StoreError, match="disabled"):
        bring_up_to_date(database)
    assert database.read_bytes() == content


def test_without_space_for_the_new_file_the_old_one_stays_as_it_is(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = unpack(OLDEST_VERSION, database)

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(migrate, "create_schema", full)
    with pytest.raises(DatabaseFull, match=r"2\.0 MB needed to bring audits\.duckdb to version"):
        bring_up_to_date(database)
    assert database.read_bytes() == content
    assert [path.name for path in database.parent.iterdir()] == [database.name]


def test_a_command_says_that_it_brought_the_database_up_to_date(database: Path, tui_mia: Any) -> None:
    unpack(OLDEST_VERSION, database)
    listed = tui_mia("runs", "--db", database, "--json")
    assert listed.returncode == ExitCode.DONE, listed.stderr
    assert len(json.loads(listed.stdout)) == 1
    assert listed.stderr.startswith(f"{database} had tables of version {OLDEST_VERSION} and has those of")


def test_an_audit_for_a_newer_database_is_refused_before_it_begins(
    database: Path, small_audit: Path, tui_mia: Any
) -> None:
    unpack(SCHEMA_VERSION, database)
    with duckdb.connect(str(database)) as connection:
        connection.execute("UPDATE meta SET schema_version = 99")
    refused = tui_mia("run", small_audit, "--db", database)
    assert refused.returncode == ExitCode.FAILED
    assert "has tables of version 99" in refused.stderr
    assert "Upgrade tui-mia to read it, or choose another file with --db." in refused.stderr
    assert [path.name for path in database.parent.glob("*.runs")] == []


def test_a_query_sees_the_numbers_of_an_old_run(database: Path) -> None:
    unpack(OLDEST_VERSION, database)
    bring_up_to_date(database)
    with query(database, "SELECT count(DISTINCT number) FROM similarities WHERE view = 0") as counted:
        assert list(counted) == [(100,)]


def test_a_run_that_ends_for_a_database_of_an_earlier_version_lands_nevertheless(
    finished_run: Any, tmp_path: Path
) -> None:
    database = tmp_path / "old.duckdb"
    unpack(OLDEST_VERSION, database)
    land(finished_run.directory, database)
    assert len(list_runs(database)) == 2
