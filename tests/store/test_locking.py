from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest

from tui_mia.runs.directory import runs_folder
from tui_mia.store import (
    DatabaseLocked,
    DatabaseMissing,
    NotADatabase,
    RunRow,
    StoreError,
    connect,
    export_run,
    find_run,
    ingest,
    limit_memory,
    list_runs,
    query,
    summarise,
    turnstile,
)

MakeRun = Callable[..., RunRow]
Hold = Callable[[Path, str], "Popen[str]"]


def let_go(holder: Popen[str]) -> None:
    assert holder.stdin is not None
    assert holder.stdout is not None
    holder.stdin.write("\n")
    holder.stdin.flush()
    assert holder.stdout.readline() == "free\n"


@pytest.mark.parametrize("role", ["reader", "writer"])
def test_an_ingest_that_finds_the_file_held_names_the_holder_and_the_way_out(
    one_run: Path, tables: Path, make_run: MakeRun, hold: Hold, role: str
) -> None:
    holder = hold(one_run, role)
    run = make_run("run-b", run_directory="/runs/my run")
    with pytest.raises(DatabaseLocked) as locked:
        ingest(one_run, run, tables, wait_seconds=0)
    assert locked.value.pid == holder.pid
    assert f"{one_run} is held by process {holder.pid} and stayed so for 0 s." in str(locked.value)
    assert "`tui-mia ingest '/runs/my run'`" in str(locked.value)
    let_go(holder)
    assert [overview.run.run_id for overview in list_runs(one_run)] == ["run-a"]


def test_a_reader_that_finds_a_writer_names_it(one_run: Path, hold: Hold) -> None:
    holder = hold(one_run, "writer")
    with pytest.raises(DatabaseLocked, match=f"process {holder.pid} .*try again"):
        list_runs(one_run, wait_seconds=0)


def test_readers_do_not_hinder_each_other(one_run: Path, hold: Hold) -> None:
    hold(one_run, "reader")
    assert len(list_runs(one_run, wait_seconds=0)) == 1


@pytest.mark.parametrize("role", ["reader", "writer"])
def test_an_ingest_waits_until_the_file_is_free(
    one_run: Path,
    tables: Path,
    make_run: MakeRun,
    hold: Hold,
    role: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    holder = hold(one_run, role)
    refused = []

    def pause(seconds: float) -> None:
        refused.append(seconds)
        if len(refused) == 3:
            let_go(holder)

    monkeypatch.setattr(time, "sleep", pause)
    ingest(one_run, make_run("run-b"), tables)
    assert len(refused) == 3
    assert refused == sorted(refused)
    assert len(list_runs(one_run)) == 2


def test_a_reader_waits_until_the_writer_is_done(
    one_run: Path, hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = hold(one_run, "writer")
    monkeypatch.setattr(time, "sleep", lambda seconds: let_go(holder))
    assert len(list_runs(one_run)) == 1


def test_a_reader_that_comes_while_a_writer_waits_lets_it_pass(
    one_run: Path, tables: Path, make_run: MakeRun, hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or readers that come one after another would keep it out for ever."""
    runs_folder(one_run).mkdir()
    holder, sleep = hold(one_run, "reader"), time.sleep

    def leave_when_this_reader_waits(seconds: float) -> None:
        if threading.current_thread() is threading.main_thread() and holder.poll() is None:
            holder.communicate("\n")
        sleep(seconds)

    monkeypatch.setattr(time, "sleep", leave_when_this_reader_waits)
    writer = threading.Thread(target=ingest, args=(one_run, make_run("run-b"), tables))
    writer.start()
    while is_free(runs_folder(one_run)):
        sleep(0)
    assert len(list_runs(one_run)) == 2
    writer.join()


def is_free(folder: Path) -> bool:
    """Whether no writer waits at the turnstile."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def test_a_writer_that_never_gets_in_does_not_keep_readers_out(
    one_run: Path, hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs_folder(one_run).mkdir()
    hold(one_run, "reader")
    monkeypatch.setattr(turnstile, "LONGEST_SECONDS", 0.1)
    with turnstile.ahead_of_readers(one_run, 0):
        assert len(list_runs(one_run)) == 1


def test_an_ingest_beside_a_query_of_the_same_process_waits_for_it(
    one_run: Path, tables: Path, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = query(one_run, "FROM samples")
    with pytest.raises(DatabaseLocked, match="this process") as locked:
        ingest(one_run, make_run("run-b"), tables, wait_seconds=0)
    assert locked.value.pid == os.getpid()
    monkeypatch.setattr(time, "sleep", lambda seconds: result.close())
    ingest(one_run, make_run("run-b"), tables)
    assert len(list_runs(one_run)) == 2


def test_all_readers_of_a_process_may_read_at_once(one_run: Path) -> None:
    with query(one_run, "FROM samples"), query(one_run, "FROM runs"):
        assert len(list_runs(one_run, wait_seconds=0)) == 1


def test_a_query_holds_the_file_only_until_its_last_row(
    one_run: Path, tables: Path, make_run: MakeRun
) -> None:
    result = query(one_run, "FROM samples")
    assert len(list(result)) == 12
    ingest(one_run, make_run("run-b"), tables, wait_seconds=0)


def test_a_query_that_fails_does_not_hold_the_file(one_run: Path, tables: Path, make_run: MakeRun) -> None:
    for wrong in ["FROM nothing", "DROP TABLE runs", "SELEC 1", "SELECT error('late')"]:
        with pytest.raises(StoreError):
            list(query(one_run, wrong))
    ingest(one_run, make_run("run-b"), tables, wait_seconds=0)


def test_threads_may_make_fill_and_export_one_database_at_once(
    database: Path, tables: Path, tmp_path: Path, make_run: MakeRun
) -> None:
    ready = threading.Barrier(4)
    errors: list[BaseException] = []

    def put_and_take(number: int) -> None:
        try:
            ready.wait()
            ingest(database, make_run(f"run-{number}"), tables)
            export_run(database, f"run-{number}", tmp_path / f"{number}.csv", "csv")
            summarise(database, f"run-{number}")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=put_and_take, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(list_runs(database)) == 4


def test_a_database_that_another_process_made_meanwhile_is_kept(
    one_run: Path, tables: Path, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    exists = Path.exists
    answers = iter([False])
    monkeypatch.setattr(Path, "exists", lambda path: next(answers, None) or exists(path))
    ingest(one_run, make_run("run-b"), tables)
    assert len(list_runs(one_run)) == 2


def test_a_database_can_be_made_on_a_file_system_without_hard_links(
    database: Path, tables: Path, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(source: Path, target: Path) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    ingest(database, make_run(), tables)
    assert len(list_runs(database)) == 1


def test_reading_a_database_that_is_not_there_says_what_to_do(database: Path) -> None:
    for read in (list_runs, lambda path: find_run(path, "latest"), lambda path: query(path, "SELECT 1")):
        with pytest.raises(DatabaseMissing, match="run an audit first, or say with --db"):
            read(database)
    assert not database.exists()


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0" + bytes(5000), b"PAR1", b"text" * 5000])
def test_reading_a_file_that_is_no_database_says_so(database: Path, content: bytes) -> None:
    database.write_bytes(content)
    with pytest.raises(NotADatabase, match=r"audits\.duckdb is not a DuckDB file"):
        list_runs(database)


def test_reading_a_folder_as_a_database_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="can't open"):
        list_runs(tmp_path)


def test_limits_hold_for_readers_exports_and_ingests_alike(
    one_run: Path, tables: Path, tmp_path: Path, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect, "_limits", {})
    limit_memory("64MiB", threads=1)
    with query(one_run, "SELECT current_setting('memory_limit'), current_setting('threads')") as result:
        assert list(result) == [("64.0 MiB", 1)]
        assert len(list_runs(one_run, wait_seconds=0)) == 1
    ingest(one_run, make_run("run-b"), tables)
    assert export_run(one_run, "run-b", tmp_path / "b.csv", "csv") == 12
