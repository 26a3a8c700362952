"""The SQL that docs/database.md shows works, and its tables are those of the file."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tui_mia.store import RunRow, ingest, query
from tui_mia.store.schema import SCHEMA_VERSION, TABLES

DOCUMENT = (Path(__file__).parents[2] / "docs" / "database.md").read_text()
EXAMPLES = re.findall(r"```sql\n(.*?)```", DOCUMENT, re.DOTALL)


@pytest.fixture
def two_runs(one_run: Path, tables: Path, make_run: Callable[..., RunRow]) -> Path:
    ingest(one_run, make_run("run-b", day=1), tables)
    return one_run


@pytest.mark.parametrize("sql", EXAMPLES)
def test_every_example_gives_rows(two_runs: Path, sql: str) -> None:
    with query(two_runs, sql) as result:
        assert list(result)


def test_the_example_that_computes_auc_counts_ties_half(
    database: Path, write_tables: Callable[..., Path], make_run: Callable[..., RunRow]
) -> None:
    labelled = [(True, 3.0), (True, 2.0), (True, 1.0), (False, 2.0), (False, 2.0), (False, 0.0), (False, 5.0)]
    samples = [
        {"sample_id": str(number), "pool": "candidates", "member": member}
        for number, (member, _) in enumerate(labelled)
    ]
    scores = [
        {"sample_id": str(number), "attack": "csa", "score": score}
        for number, (_, score) in enumerate(labelled)
    ]
    ingest(database, make_run(), write_tables(samples=samples, scores=scores))
    (sql,) = [example for example in EXAMPLES if "score_rank" in example]
    with query(database, sql) as result:
        assert list(result) == [("run-a", "csa", (3 + 2 + 1) / 12)]


def test_every_table_and_column_is_documented(two_runs: Path) -> None:
    for table in [*TABLES, "meta"]:
        section = DOCUMENT.split(f"\n### {table}\n")[1].split("\n#")[0]
        with query(two_runs, f"FROM {table}") as result:
            for column in result.columns:
                assert f"`{column}`" in section or column == "run_id", f"{table}.{column}"


def test_the_documented_version_is_that_of_the_file() -> None:
    assert f"`meta.schema_version` is {SCHEMA_VERSION}." in DOCUMENT
