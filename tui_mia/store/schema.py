"""The tables of the DuckDB file, their version, and the view with one column an attack."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import duckdb

from tui_mia import __version__
from tui_mia.store.errors import DatabaseVersion, NotADatabase, OlderDatabase

SCHEMA_VERSION: Final = 3
# From which on a file can be brought up to date (`migrate.py`).
OLDEST_VERSION: Final = 1
SAMPLE_SCORES: Final = "sample_scores"

# Every table but `runs` is filled from the Parquet file of the same name in a run directory.
# None has a primary key: it would halve the speed of an ingest.
TABLES: Final[dict[str, str]] = {
    "runs": """
        run_id VARCHAR, status VARCHAR,
        created_at TIMESTAMPTZ, started_at TIMESTAMPTZ, finished_at TIMESTAMPTZ,
        architecture VARCHAR, pretrained VARCHAR, precision VARCHAR, device VARCHAR,
        weights_sha256 VARCHAR, preprocess_sha256 VARCHAR, tokenizer_sha256 VARCHAR,
        reference VARCHAR, reference_weights_sha256 VARCHAR,
        spec VARCHAR, versions JSON, seconds JSON, skipped JSON, error VARCHAR, run_directory VARCHAR""",
    "pools": """
        run_id VARCHAR, pool VARCHAR, source VARCHAR, fingerprint VARCHAR,
        samples BIGINT, rejects BIGINT""",
    "samples": """
        run_id VARCHAR, sample_id VARCHAR, number BIGINT, pool VARCHAR, key VARCHAR, source VARCHAR,
        caption VARCHAR, member BOOLEAN, width INTEGER, height INTEGER, metadata VARCHAR""",
    "similarities": "run_id VARCHAR, sample_id VARCHAR, number BIGINT, view SMALLINT, cosine FLOAT",
    "scores": """
        run_id VARCHAR, sample_id VARCHAR, number BIGINT, attack VARCHAR, score DOUBLE, p_value DOUBLE,
        q_value DOUBLE, placement DOUBLE""",
    "baselines": """
        run_id VARCHAR, sample_id VARCHAR, number BIGINT, baseline VARCHAR, name VARCHAR, score DOUBLE,
        placement DOUBLE""",
    "duplicates": "run_id VARCHAR, sample_id VARCHAR, number BIGINT, alike VARCHAR, cluster BIGINT",
    "metrics": """
        run_id VARCHAR, attack VARCHAR, metric VARCHAR, value DOUBLE, low DOUBLE, high DOUBLE, n BIGINT""",
    "checks": """
        run_id VARCHAR, "check" VARCHAR, attack VARCHAR, value DOUBLE, low DOUBLE, high DOUBLE,
        n BIGINT, outcome VARCHAR, words VARCHAR""",
    "verdicts": "run_id VARCHAR, attack VARCHAR, outcome VARCHAR, reasons VARCHAR[]",
    "rejects": "run_id VARCHAR, pool VARCHAR, source VARCHAR, key VARCHAR, reason VARCHAR",
}

VIEW_SAMPLE_COLUMNS: Final = ("run_id", "sample_id", "number", "pool", "key", "source", "caption", "member")


def create_schema(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the empty tables and the view, and note the version in `meta`."""
    connection.execute("BEGIN")
    connection.execute(
        "CREATE TABLE meta (schema_version INTEGER, tui_mia_version VARCHAR, created_at TIMESTAMPTZ)"
    )
    connection.execute("INSERT INTO meta VALUES (?, ?, now())", [SCHEMA_VERSION, __version__])
    for table, columns in TABLES.items():
        connection.execute(f"CREATE TABLE {table} ({columns})")
    rebuild_view(connection)
    connection.execute("COMMIT")


def check_version(connection: duckdb.DuckDBPyConnection, database: Path) -> None:
    """Raise `NotADatabase`, `DatabaseVersion` or `OlderDatabase` unless the tables are of this version."""
    try:
        row = connection.execute("SELECT max(schema_version) FROM meta").fetchone()
    except (duckdb.CatalogException, duckdb.BinderException):
        row = None
    version = row[0] if row else None
    if version is None:
        raise NotADatabase(
            f"{database} is a DuckDB file, but not one that tui-mia made: it has no tui-mia version in a"
            " table `meta`. Choose another path with --db."
        )
    if version == SCHEMA_VERSION:
        return
    wrong = (
        f"{database} has tables of version {version}; this tui-mia ({__version__}) works with version"
        f" {SCHEMA_VERSION}."
    )
    if version > SCHEMA_VERSION:
        raise DatabaseVersion(f"{wrong} Upgrade tui-mia to read it, or choose another file with --db.")
    if version < OLDEST_VERSION:
        raise DatabaseVersion(
            f"{wrong} Read it with that version, or start a new file:"
            " `tui-mia ingest RUN_DIR --db NEW.duckdb` puts a run of the old one into the new."
        )
    command = f"tui-mia runs --db {shlex.quote(str(database))}"
    raise OlderDatabase(f"{wrong} `{command}` brings it up to date, and keeps it as it was.", version)


@dataclass(frozen=True, slots=True)
class ScoreColumn:
    """A column of the view: one attack's scores or p-values, under a name that no other column has."""

    name: str
    attack: str
    value: Literal["score", "p_value"]


def score_columns(attacks: Iterable[tuple[str, bool]]) -> list[ScoreColumn]:
    """Name the view's columns for attacks, each with whether it has p-values.

    Attack names come from outside. DuckDB compares column names without regard
    to case and has none that is empty, so a name that is taken gets `_2`, `_3`
    and so on; scores choose before p-values, in alphabetical order.
    """
    attacks = sorted(attacks)
    wanted: list[tuple[str, str, Literal["score", "p_value"]]] = [
        (attack or "attack", attack, "score") for attack, _ in attacks
    ]
    wanted += [(f"{attack}_p_value", attack, "p_value") for attack, has_p_values in attacks if has_p_values]
    taken = set(VIEW_SAMPLE_COLUMNS)
    columns = []
    for name, attack, value in wanted:
        free, number = name, 2
        while free.casefold() in taken:
            free, number = f"{name}_{number}", number + 1
        taken.add(free.casefold())
        columns.append(ScoreColumn(free, attack, value))
    return columns


def scored_attacks(
    connection: duckdb.DuckDBPyConnection, run_id: str | None = None
) -> list[tuple[str, bool]]:
    """The attacks with scores in a run, or in the whole file, each with whether it has p-values."""
    return connection.execute(
        "SELECT attack, bool_or(p_value IS NOT NULL) FROM scores"
        " WHERE attack IS NOT NULL AND (? IS NULL OR run_id = ?) GROUP BY attack ORDER BY attack",
        [run_id, run_id],
    ).fetchall()


def rebuild_view(connection: duckdb.DuckDBPyConnection) -> None:
    """Give the view `sample_scores` the columns of the attacks that the file now holds."""
    rows = sample_scores(score_columns(scored_attacks(connection)))
    connection.execute(f"CREATE OR REPLACE VIEW {SAMPLE_SCORES} AS {rows}")


def sample_scores(columns: list[ScoreColumn], of_scores: str = "true") -> str:
    """One row a sample with these columns, as SQL; the condition `of_scores` says which scores are needed."""
    sample_columns = ", ".join(f"samples.{column}" for column in VIEW_SAMPLE_COLUMNS)
    if not columns:
        return f"SELECT {sample_columns} FROM samples"
    values = ", ".join(
        f"max({column.value}) FILTER (attack = {text_literal(column.attack)}) AS {quote_name(column.name)}"
        for column in columns
    )
    names = ", ".join(f"wide.{quote_name(column.name)}" for column in columns)
    return (
        f"SELECT {sample_columns}, {names} FROM samples LEFT JOIN"
        f" (SELECT run_id, number, {values} FROM scores WHERE {of_scores} GROUP BY run_id, number) AS wide"
        " ON wide.run_id = samples.run_id AND wide.number = samples.number"
    )


def as_utf8(text: str) -> str:
    """A text that can be stored and asked for: a path or a terminal may give bytes that are no text."""
    return text.encode("utf-8", "replace").decode("utf-8")


def quote_name(name: str) -> str:
    """A name as an SQL identifier, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def text_literal(text: str) -> str:
    """A text as an SQL literal, whatever is in it; for the statements that take no parameters."""
    return "'" + text.replace("'", "''") + "'"
