from __future__ import annotations

import csv
import json
import math
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest

from tui_mia.store import (
    EXPORTABLE,
    ExportError,
    Format,
    Interrupted,
    QueryHandle,
    RunNotFound,
    RunRow,
    StoredRun,
    StoreError,
    export_run,
    export_samples,
    ingest,
    query,
)

MakeRun = Callable[..., RunRow]
WriteTables = Callable[..., Path]


def expected(database: Path) -> list[dict[str, Any]]:
    with query(database, "FROM sample_scores ORDER BY sample_id") as result:
        return [dict(zip(result.columns, row, strict=True)) for row in result]


def by_sample(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: str(row["sample_id"]))


def test_parquet_holds_the_rows_with_their_types(one_run: Path, tmp_path: Path) -> None:
    output = tmp_path / "scores.parquet"
    assert export_run(one_run, "run-a", output, "parquet") == 12
    assert by_sample(pq.read_table(output).to_pylist()) == expected(one_run)


def test_json_is_one_array_of_the_rows(one_run: Path, tmp_path: Path) -> None:
    output = tmp_path / "scores.json"
    assert export_run(one_run, "run-a", output, "json") == 12
    assert by_sample(json.loads(output.read_text())) == expected(one_run)


def test_csv_has_a_header_and_the_rows(one_run: Path, tmp_path: Path) -> None:
    output = tmp_path / "scores.csv"
    assert export_run(one_run, "run-a", output, "csv") == 12
    with output.open(newline="") as file:
        rows = by_sample(list(csv.DictReader(file)))
    assert [row["sample_id"] for row in rows] == [row["sample_id"] for row in expected(one_run)]
    assert [float(row["csa"]) for row in rows if row["csa"]] == [
        row["csa"] for row in expected(one_run) if row["csa"] is not None
    ]
    assert {row["member"] for row in rows} == {"true", "false", ""}


CAPTIONS = [
    "a, b",
    'say "hi"',
    "two\nlines",
    "=1+1",
    "",
    None,
    "null",
    "ünï 🙂",
    "'; --",
    "\t\\x",
    "cr\rlf\r\n",
]


@pytest.mark.parametrize("format", ["csv", "parquet", "json"])
def test_captions_survive_every_format(
    database: Path,
    write_tables: WriteTables,
    tmp_path: Path,
    make_run: MakeRun,
    format: Format,  # noqa: A002
) -> None:
    samples = [{"sample_id": str(n), "pool": "general", "caption": text} for n, text in enumerate(CAPTIONS)]
    ingest(database, make_run(), write_tables(samples=samples))
    output = tmp_path / f"samples.{format}"
    assert export_run(database, "run-a", output, format, "samples") == len(CAPTIONS)
    with duckdb.connect() as connection:
        reader = (
            "read_csv(?, all_varchar = true, allow_quoted_nulls = false)"
            if format == "csv"
            else f"read_{format}(?)"
        )
        sql = f"SELECT caption FROM {reader} ORDER BY sample_id::INTEGER"
        captions = [caption for (caption,) in connection.execute(sql, [str(output)]).fetchall()]
    assert captions == CAPTIONS


def test_json_has_null_for_what_is_no_number(
    database: Path, write_tables: WriteTables, tmp_path: Path, make_run: MakeRun
) -> None:
    scores = [
        {"sample_id": str(n), "attack": "csa", "score": score}
        for n, score in enumerate([math.nan, -math.inf, 1])
    ]
    ingest(database, make_run(), write_tables(scores=scores))
    export_run(database, "run-a", tmp_path / "scores.json", "json", "scores")
    rows = json.loads((tmp_path / "scores.json").read_text(), parse_constant=pytest.fail)
    assert [row["score"] for row in rows] == [None, None, 1.0]


def test_only_the_rows_and_attacks_of_the_run_are_exported(
    one_run: Path, write_tables: WriteTables, tmp_path: Path, make_run: MakeRun
) -> None:
    samples = [{"sample_id": "s", "pool": "candidates"}]
    scores = [{"sample_id": "s", "attack": attack, "score": 1.0} for attack in ("CSA", "csa", 'w"sa')]
    ingest(one_run, make_run("run-b"), write_tables("b", samples=samples, scores=scores))
    assert export_run(one_run, "run-b", tmp_path / "b.json", "json") == 1
    (row,) = json.loads((tmp_path / "b.json").read_text())
    sample_columns = ["run_id", "sample_id", "number", "pool", "key", "source", "caption", "member"]
    assert list(row) == [*sample_columns, "CSA", "csa_2", 'w"sa']
    assert export_run(one_run, "run-a", tmp_path / "a.parquet", "parquet") == 12
    columns = pq.read_schema(tmp_path / "a.parquet").names
    assert columns == [*sample_columns, "aea", "csa_2", "csa_p_value"]


@pytest.mark.parametrize("table", EXPORTABLE)
def test_every_table_can_be_exported(one_run: Path, tmp_path: Path, table: str) -> None:
    with query(one_run, f"FROM {table}") as result:
        rows = len(list(result))
    formats: list[Format] = ["csv", "parquet", "json"]
    for format_ in formats:
        output = tmp_path / f"{table}.{format_}"
        assert export_run(one_run, "run-a", output, format_, table) == rows


@pytest.mark.parametrize("table", ["meta", "runs; DROP TABLE runs", "'/etc/passwd'", "sqlite_master", ""])
def test_no_other_table_can_be_exported(one_run: Path, tmp_path: Path, table: str) -> None:
    with pytest.raises(ExportError, match="choose one of sample_scores, runs"):
        export_run(one_run, "run-a", tmp_path / "out.csv", "csv", table)


def test_no_other_format_can_be_had(one_run: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="choose one of csv, parquet, json"):
        export_run(one_run, "run-a", tmp_path / "out.xlsx", cast(Format, "xlsx"))


def test_a_file_is_overwritten_only_on_request(one_run: Path, tmp_path: Path) -> None:
    output = tmp_path / "scores.csv"
    output.write_text("precious")
    with pytest.raises(ExportError, match="exists already"):
        export_run(one_run, "run-a", output, "csv")
    assert output.read_text() == "precious"
    assert export_run(one_run, "run-a", output, "csv", overwrite=True) == 12
    assert output.read_text().startswith("run_id,")


@pytest.mark.parametrize("name", ["it's.csv", "a * [b] ?.csv", "no ending", "x.csv.gz", "ünï\n.csv"])
def test_the_name_of_the_file_is_only_a_name(one_run: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "it's, [a] *folder?"
    folder.mkdir()
    export_run(one_run, "run-a", folder / name, "csv")
    assert [path.name for path in folder.iterdir()] == [name]
    assert (folder / name).read_text().startswith("run_id,")


def test_an_export_is_private(one_run: Path, tmp_path: Path) -> None:
    export_run(one_run, "run-a", tmp_path / "scores.csv", "csv")
    assert stat.S_IMODE((tmp_path / "scores.csv").stat().st_mode) == 0o600


def test_a_place_that_cannot_be_written_is_named(one_run: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"nowhere/scores\.csv: No such file or directory"):
        export_run(one_run, "run-a", tmp_path / "nowhere" / "scores.csv", "csv")
    with pytest.raises(ExportError, match="is a folder"):
        export_run(one_run, "run-a", tmp_path, "csv")


def test_a_run_that_is_not_there_leaves_no_file(one_run: Path, tmp_path: Path) -> None:
    with pytest.raises(RunNotFound, match="'run-x'"):
        export_run(one_run, "run-x", tmp_path / "scores.csv", "csv")
    assert not (tmp_path / "scores.csv").exists()


def test_a_view_that_somebody_put_into_the_file_exports_no_other_file(one_run: Path, tmp_path: Path) -> None:
    with duckdb.connect(str(one_run)) as connection:
        connection.execute(
            "CREATE OR REPLACE VIEW sample_scores AS"
            " SELECT 'run-a' AS run_id, * FROM read_text('/etc/passwd')"
        )
    with pytest.raises(StoreError, match="disabled by configuration"):
        export_run(one_run, "run-a", tmp_path / "scores.csv", "csv")
    assert not (tmp_path / "scores.csv").exists()


@pytest.mark.parametrize("format", ["csv", "parquet", "json"])
def test_chosen_samples_are_written_in_the_order_chosen(
    one_run: Path,
    tables: Path,
    tmp_path: Path,
    make_run: MakeRun,
    format: Format,  # noqa: A002
) -> None:
    ingest(one_run, make_run("run-b"), tables)
    output = tmp_path / f"chosen.{format}"
    assert export_samples(StoredRun(one_run, "run-a"), [7, 0, 11], output, format) == 3
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    rows = {row["number"]: row for row in expected(one_run) if row["run_id"] == "run-a"}
    if format == "parquet":
        assert pq.read_table(output).to_pylist() == [rows[7], rows[0], rows[11]]
    elif format == "json":
        assert json.loads(output.read_text()) == [rows[7], rows[0], rows[11]]
    else:
        with output.open(newline="") as file:
            assert [row["number"] for row in csv.DictReader(file)] == ["7", "0", "11"]


def test_chosen_samples_come_without_the_attacks_of_other_runs(
    one_run: Path, write_tables: WriteTables, tmp_path: Path, make_run: MakeRun
) -> None:
    samples = [{"sample_id": "s", "pool": "candidates"}]
    scores = [{"sample_id": "s", "attack": "wsa", "score": math.nan}]
    ingest(one_run, make_run("run-b"), write_tables("b", samples=samples, scores=scores))
    output = tmp_path / "chosen.json"
    assert export_samples(StoredRun(one_run, "run-b"), np.array([0, 5], np.uint32), output, "json") == 1
    (row,) = json.loads(output.read_text())
    assert list(row)[7:] == ["member", "wsa"]
    assert row["wsa"] is None
    assert export_samples(StoredRun(one_run, "run-b"), [], output, "json", overwrite=True) == 0
    assert json.loads(output.read_text()) == []


def test_chosen_samples_are_refused_like_a_run(one_run: Path, tmp_path: Path) -> None:
    source, output = StoredRun(one_run, "run-a"), tmp_path / "chosen.csv"
    output.write_text("mine")
    with pytest.raises(ExportError, match="exists already"):
        export_samples(source, [1], output, "csv")
    with pytest.raises(ExportError, match="is no export format"):
        export_samples(source, [1], output, cast(Format, "xlsx"), overwrite=True)
    assert output.read_text() == "mine"


def test_chosen_samples_are_written_in_chunks(
    one_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui_mia.store.export.EXPORT_ROWS", 5)
    numbers = [*range(11, -1, -1)]
    assert export_samples(StoredRun(one_run, "run-a"), numbers, tmp_path / "all.json", "json") == 12
    assert [row["number"] for row in json.loads((tmp_path / "all.json").read_text())] == numbers


def test_the_database_can_be_read_while_chosen_samples_are_written(
    one_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = StoredRun(one_run, "run-a", wait_seconds=0)
    with source.connected():
        assert export_samples(source, [1], tmp_path / "one.csv", "csv") == 1


def test_an_export_that_is_interrupted_leaves_no_file(one_run: Path, tmp_path: Path) -> None:
    handle = QueryHandle()
    handle.interrupt()
    with pytest.raises(Interrupted):
        export_samples(StoredRun(one_run, "run-a"), [1], tmp_path / "one.csv", "csv", handle=handle)
    assert list(tmp_path.glob("*.csv")) == []
