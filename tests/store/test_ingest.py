from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from time import perf_counter
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tui_mia.runs.tables import TABLES as RUN_TABLES
from tui_mia.store import (
    DatabaseVersion,
    NotADatabase,
    RunNotFound,
    RunRow,
    StoreError,
    delete_run,
    ingest,
    list_runs,
    query,
    summarise,
)
from tui_mia.store.schema import TABLES

MakeRun = Callable[..., RunRow]
WriteTables = Callable[..., Path]


def everything(database: Path) -> dict[str, list[tuple[Any, ...]]]:
    content = {}
    for table in [*TABLES, "sample_scores"]:
        with query(database, f"FROM {table}") as result:
            content[table] = sorted(result, key=repr)
    return content


def view_columns(database: Path) -> list[str]:
    with query(database, "FROM sample_scores") as result:
        return result.columns


def test_a_run_row_comes_back_as_it_went_in(database: Path, tables: Path) -> None:
    created = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    run = RunRow(
        run_id="a",
        status="failed",
        created_at=created,
        started_at=created + timedelta(seconds=1),
        finished_at=created + timedelta(seconds=2),
        architecture="ViT-B-32",
        pretrained="laion2b_s34b_b79k",
        precision="exact",
        device="cuda:0",
        weights_sha256="1",
        preprocess_sha256="2",
        tokenizer_sha256="3",
        spec="[model]\narchitecture = 'ViT-B-32'\n",
        versions={"torch": "2.5"},
        seconds={"encode": 12.5},
        skipped={"wsa": "no pool 'general'"},
        error='it\'s "broken"',
        run_directory="/runs/a",
    )
    ingest(database, run, tables)
    assert summarise(database, "a").run == run


def test_a_run_without_anything_but_its_id_can_be_stored(database: Path, tmp_path: Path) -> None:
    run = RunRow(run_id="a", status="cancelled")
    ingest(database, run, tmp_path / "no such folder")
    summary = summarise(database, "a")
    assert summary.run == run
    assert (summary.samples, summary.rejects, summary.attacks) == ({}, 0, {})


def test_every_table_has_the_rows_of_its_file(one_run: Path, tables: Path) -> None:
    for file in tables.glob("*.parquet"):
        expected = [("run-a", *row.values()) for row in pq.read_table(file).to_pylist()]
        with query(one_run, f"FROM {file.stem}") as result:
            assert list(result) == expected
            assert result.columns == ["run_id", *pq.read_schema(file).names]


def test_ingesting_a_run_again_changes_nothing(one_run: Path, tables: Path) -> None:
    before = everything(one_run)
    run = summarise(one_run, "run-a").run
    ingest(one_run, run, tables)
    assert everything(one_run) == before


def test_ingesting_a_run_again_replaces_what_it_left_before(
    one_run: Path, write_tables: WriteTables, make_run: MakeRun
) -> None:
    ingest(one_run, make_run(status="failed"), write_tables("second try", pools=[{"pool": "general"}]))
    content = everything(one_run)
    assert [len(content[table]) for table in ("runs", "pools", "samples", "scores")] == [1, 1, 0, 0]
    assert view_columns(one_run)[-1] == "member"


def test_runs_do_not_touch_each_other(one_run: Path, tables: Path, make_run: MakeRun) -> None:
    before = everything(one_run)
    ingest(one_run, make_run("run-b", day=1), tables)
    assert [overview.run.run_id for overview in list_runs(one_run)] == ["run-b", "run-a"]
    assert len(everything(one_run)["samples"]) == 2 * len(before["samples"])
    delete_run(one_run, "run-b")
    assert everything(one_run) == before


def test_the_view_has_a_column_for_each_attack_of_any_run(
    one_run: Path, write_tables: WriteTables, make_run: MakeRun
) -> None:
    samples = [{"sample_id": "candidates-0", "pool": "candidates", "key": "1"}]
    scores = [{"sample_id": "candidates-0", "attack": "wsa", "score": 0.5, "p_value": 0.25}]
    ingest(one_run, make_run("run-b"), write_tables("b", samples=samples, scores=scores))
    sample_columns = ["run_id", "sample_id", "number", "pool", "key", "source", "caption", "member"]
    score_columns = ["aea", "csa", "wsa", "csa_p_value", "wsa_p_value"]
    assert view_columns(one_run) == sample_columns + score_columns
    with query(one_run, "FROM sample_scores WHERE sample_id = 'candidates-0' ORDER BY run_id") as result:
        first, second = result
    assert first[8:] == (pytest.approx(0.9), pytest.approx(0.3), None, 0.04, None)
    assert second[8:] == (None, None, 0.5, None, 0.25)


def test_the_view_has_a_row_for_a_sample_without_scores(one_run: Path) -> None:
    with query(one_run, "SELECT aea, csa FROM sample_scores WHERE pool = 'general'") as result:
        assert list(result) == [(None, None), (None, None)]


def test_deleting_a_run_takes_its_attacks_out_of_the_view(one_run: Path) -> None:
    delete_run(one_run, "run-a")
    assert all(rows == [] for rows in everything(one_run).values())
    assert view_columns(one_run)[-1] == "member"


def test_deleting_a_run_that_is_not_there_is_an_error(one_run: Path) -> None:
    with pytest.raises(RunNotFound, match="'run-x'"):
        delete_run(one_run, "run-x")


HOSTILE = [
    "it's",
    'say "hi"',
    "'; DROP TABLE runs; --",
    "run_id",
    "CSA",
    "csa",
    "csa_p_value",
    "",
    "nul\0byte",
    "new\nline",
    "ünïcode 🙂",
    "a.b",
    "$1 ?",
]


def test_hostile_attack_names_and_run_ids_are_only_names(
    database: Path, write_tables: WriteTables, make_run: MakeRun
) -> None:
    scores = [
        {"sample_id": "s", "attack": attack, "score": float(number), "p_value": number / 100}
        for number, attack in enumerate(HOSTILE)
    ]
    samples = [{"sample_id": "s", "pool": "candidates", "caption": "'; --"}]
    folder = write_tables(samples=samples, scores=scores)
    for run_id in HOSTILE:
        ingest(database, make_run(run_id), folder)
    with query(database, "FROM sample_scores WHERE run_id = ?", ["it's"]) as result:
        (row,) = result
        named = dict(zip(result.columns, row, strict=True))
    assert len({column.casefold() for column in named}) == len(named) == 8 + 2 * len(HOSTILE)
    assert named["run_id"] == "it's"
    assert named['say "hi"'] == 1.0
    assert named["run_id_2"] == 3.0
    assert (named["CSA"], named["csa_2"]) == (4.0, 5.0)
    assert named["csa_p_value"] == 6.0
    assert named["CSA_p_value_2"] == 0.04
    assert named["attack"] == 7.0
    assert set(summarise(database, "'; DROP TABLE runs; --").attacks) == set(HOSTILE)
    assert len(list_runs(database)) == len(HOSTILE)
    for run_id in HOSTILE:
        delete_run(database, run_id)
    assert list_runs(database) == []


@pytest.mark.parametrize("name", ["it's", 'a "b"', "st*r", "w[1]", "model=B-32", "a, b; {c}", "ünï", "%41"])
def test_paths_are_only_paths(
    tmp_path: Path, write_tables: WriteTables, make_run: MakeRun, name: str
) -> None:
    write_tables("star/w1", pools=[{"pool": "of another run"}])
    folder = write_tables(name, pools=[{"pool": "candidates"}])
    database = tmp_path / name / f"{name}.duckdb"
    ingest(database, make_run(), folder)
    with query(database, "SELECT pool FROM pools") as result:
        assert list(result) == [("candidates",)]


def test_a_run_directory_may_have_a_question_mark_in_its_name(
    database: Path, write_tables: WriteTables, make_run: MakeRun
) -> None:
    write_tables("why.", pools=[{"pool": "of another run"}])
    ingest(database, make_run(), write_tables("why?", pools=[{"pool": "candidates"}]))
    assert len(everything(database)["pools"]) == 1


def test_a_database_under_a_path_that_duckdb_would_cut_short_is_refused(
    tmp_path: Path, tables: Path, make_run: MakeRun
) -> None:
    with pytest.raises(StoreError, match="question mark"):
        ingest(tmp_path / "why?.duckdb", make_run(), tables)


def test_a_path_that_is_no_text_is_stored_as_near_as_possible(
    database: Path, tables: Path, make_run: MakeRun
) -> None:
    ingest(database, make_run(run_directory=os.fsdecode(b"/runs/\xff")), tables)
    assert summarise(database, "run-a").run.run_directory == "/runs/?"


def test_a_new_database_is_private_and_leaves_no_wal(
    database: Path, tables: Path, tmp_path: Path, make_run: MakeRun
) -> None:
    ingest(database, make_run(), tables)
    assert stat.S_IMODE(database.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["audits.duckdb", "run"]


@pytest.mark.parametrize("is_there", [False, True])
def test_what_was_left_by_who_was_killed_while_the_database_was_made_is_removed(
    database: Path, tables: Path, tmp_path: Path, make_run: MakeRun, is_there: bool
) -> None:
    if is_there:
        ingest(database, make_run("run-a"), tables)
    left = tmp_path / f".{database.name}.new-abc"
    left.mkdir()
    (left / "new.duckdb").write_bytes(b"half of it")
    ingest(database, make_run("run-b"), tables)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["audits.duckdb", "run"]


def test_a_database_keeps_the_permissions_it_was_given(
    one_run: Path, tables: Path, make_run: MakeRun
) -> None:
    one_run.chmod(0o640)
    ingest(one_run, make_run("run-b"), tables)
    assert stat.S_IMODE(one_run.stat().st_mode) == 0o640


def test_a_link_to_a_database_that_is_not_there_yet_is_followed(
    database: Path, tmp_path: Path, tables: Path, make_run: MakeRun
) -> None:
    link = tmp_path / "link.duckdb"
    link.symlink_to(database)
    ingest(link, make_run(), tables)
    assert len(list_runs(database)) == 1


def test_a_missing_folder_for_the_database_is_named(tmp_path: Path, tables: Path, make_run: MakeRun) -> None:
    with pytest.raises(StoreError, match=r"there is no folder .*nowhere"):
        ingest(tmp_path / "nowhere" / "audits.duckdb", make_run(), tables)


def test_a_table_that_does_not_fit_leaves_the_run_as_it_was(
    one_run: Path, tables: Path, make_run: MakeRun
) -> None:
    before = everything(one_run)
    pq.write_table(pa.table({"sample_id": ["s"], "colour": ["red"]}), tables / "scores.parquet")
    with pytest.raises(StoreError, match="colour"):
        ingest(one_run, make_run(status="failed"), tables)
    assert everything(one_run) == before


def test_a_broken_parquet_file_leaves_the_run_as_it_was(
    one_run: Path, tables: Path, make_run: MakeRun
) -> None:
    before = everything(one_run)
    whole = (tables / "scores.parquet").read_bytes()
    (tables / "scores.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StoreError, match=r"scores\.parquet"):
        ingest(one_run, make_run(status="failed"), tables)
    assert everything(one_run) == before


def test_a_table_without_a_column_gets_nulls_in_it(
    database: Path, write_tables: WriteTables, make_run: MakeRun
) -> None:
    folder = write_tables(samples=[])
    pq.write_table(pa.table({"sample_id": ["s"], "pool": ["general"]}), folder / "samples.parquet")
    ingest(database, make_run(), folder)
    with query(database, "SELECT sample_id, pool, caption FROM samples") as result:
        assert list(result) == [("s", "general", None)]


def test_the_samples_of_a_run_from_before_they_had_numbers_are_numbered(
    one_run: Path, tables: Path, make_run: MakeRun
) -> None:
    before = everything(one_run)
    for table in ("samples", "similarities", "scores"):
        rows = pq.read_table(tables / f"{table}.parquet")
        pq.write_table(rows.drop_columns("number"), tables / f"{table}.parquet")
    ingest(one_run, make_run(), tables)
    after = everything(one_run)
    assert {table: after[table] for table in ("samples", "similarities", "scores", "sample_scores")} == {
        table: before[table] for table in ("samples", "similarities", "scores", "sample_scores")
    }


def test_a_file_that_is_no_database_is_not_touched(database: Path, tables: Path, make_run: MakeRun) -> None:
    database.write_text("my thesis\n" * 1000)
    with pytest.raises(NotADatabase, match=r"audits\.duckdb"):
        ingest(database, make_run(), tables)
    assert database.read_text() == "my thesis\n" * 1000


def test_somebody_elses_database_is_not_touched(database: Path, tables: Path, make_run: MakeRun) -> None:
    with duckdb.connect(str(database)) as connection:
        connection.execute("CREATE TABLE theirs (a INTEGER)")
    with pytest.raises(NotADatabase, match="not one that tui-mia made"):
        ingest(database, make_run(), tables)
    with duckdb.connect(str(database)) as connection:
        assert connection.execute("SHOW TABLES").fetchall() == [("theirs",)]


@pytest.mark.parametrize(("version", "advice"), [(99, "Upgrade tui-mia"), (0, "start a new file")])
def test_the_tables_of_another_version_are_not_touched(
    one_run: Path, tables: Path, make_run: MakeRun, version: int, advice: str
) -> None:
    with duckdb.connect(str(one_run)) as connection:
        connection.execute("UPDATE meta SET schema_version = ?", [version])
    with pytest.raises(DatabaseVersion, match=advice):
        ingest(one_run, make_run("run-b"), tables)
    with pytest.raises(DatabaseVersion, match=f"tables of version {version}"):
        list_runs(one_run)


def test_the_columns_are_those_of_the_tables_in_a_run_directory(
    database: Path, write_tables: WriteTables, make_run: MakeRun
) -> None:
    ingest(database, make_run(), write_tables(**{table: [] for table in RUN_TABLES}))
    for table, schema in RUN_TABLES.items():
        with query(database, f"FROM {table}") as result:
            assert result.columns == ["run_id", *schema.names]


def test_a_run_row_has_the_columns_of_its_table(one_run: Path) -> None:
    with query(one_run, "FROM runs") as result:
        assert result.columns == list(RunRow.__dataclass_fields__)


def test_four_hundred_thousand_scores_go_in_and_come_out(
    database: Path, write_tables: WriteTables, make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    count = 200_000
    folder = write_tables()
    ids = pa.array([f"{number:032x}" for number in range(count)])
    members = pa.array(np.arange(count) % 2 == 0)
    samples = {
        "sample_id": ids,
        "number": pa.array(range(count)),
        "pool": pa.array(["candidates"] * count),
        "member": members,
    }
    pq.write_table(pa.table(samples), folder / "samples.parquet")
    scores = {
        "sample_id": pa.concat_arrays([ids, ids]),
        "number": pa.array([*range(count), *range(count)]),
        "attack": pa.array(["csa"] * count + ["aea"] * count),
        "score": pa.array(np.arange(2.0 * count)),
    }
    pq.write_table(pa.table(scores), folder / "scores.parquet")
    start = perf_counter()
    ingest(database, make_run(), folder)
    ingest(database, replace(make_run(), status="failed"), folder)
    seconds = (perf_counter() - start) / 2
    with capsys.disabled():
        print(f"\n{3 * count / seconds:,.0f} rows/s into DuckDB")
    with query(database, "SELECT count(*), sum(csa), sum(aea) FROM sample_scores WHERE member") as result:
        ((rows, csa, aea),) = result
    assert (rows, csa, aea) == (count / 2, (count / 2) * (count / 2 - 1), csa + count * count / 2)
