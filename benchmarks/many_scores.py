"""Times browsing 50,000,000 scores, 5,000,000 samples and 10 attacks, kept as Parquet files.

    python benchmarks/many_scores.py many.duckdb
    python benchmarks/many_scores.py small.duckdb --samples 100000

The database is made first, where it is not there yet: tables of a run, drawn, not computed, go
through the same ingest as those of an audit, with `output.layout = "parquet"`; some minutes and, for
the time of the making, 12 GB of disk. Then the app runs on it in tmux, as in browse.py: the clock stops
when the screen shows what was asked for. Memory is the app's resident set, the most that a look every
5 ms found.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import duckdb
from browse import App, _by, has_rows, is_settled

from tui_mia.store import RunRow, ingest

ATTACKS = 10
RUN_ID = "many"
# The share of the candidates; the rest are known non-members.
CANDIDATES = 2 / 3
# As in the app, which makes do with it while it saves a run.
MEMORY, THREADS = "1GB", 2
LIMIT_SECONDS, LIMIT_BYTES = 3.0, 500e6

# Ids and captions are what each sample has by itself, so that nothing is smaller than in an audit.
_SAMPLES = """
    SELECT md5(number::VARCHAR) AS sample_id, number,
           if(number < {candidates}, 'candidates', 'nonmembers') AS pool,
           lpad(number::VARCHAR, 9, '0') AS key, '/data/' || number // 10000 || '.tar' AS source,
           'a photo of thing ' || hash(number) % 1000003 || ' beside another' AS caption,
           if(number < {candidates}, hash(number) % 2 = 0, NULL) AS member,
           64::INTEGER AS width, 64::INTEGER AS height, NULL::VARCHAR AS metadata
    FROM range({samples}) AS numbers(number)"""
# In the order of an audit: attack by attack.
_SCORES = """
    SELECT md5(number::VARCHAR) AS sample_id, number, 'attack_' || attack AS attack,
           (hash(number, attack) % 1000003) / 1000003.0::DOUBLE + 0.1 * (hash(number) % 2) AS score,
           if(number < {candidates}, p_value, NULL) AS p_value,
           if(number < {candidates}, least(1, 1.5 * p_value), NULL) AS q_value, 1 - p_value AS placement
    FROM (SELECT row % {samples} AS number, row // {samples} AS attack,
                 (1 + hash(row) % 300001) / 300001.0::DOUBLE AS p_value
          FROM range({rows}) AS numbers(row))"""
_SIMILARITIES = """
    SELECT md5(number::VARCHAR) AS sample_id, number, 0::SMALLINT AS view,
           ((hash(number) % 1000003) / 1000003.0)::FLOAT AS cosine
    FROM range({samples}) AS numbers(number)"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("database", type=Path)
    parser.add_argument("--samples", type=int, default=5_000_000)
    parser.add_argument("--size", default="160x50", help="of the terminal")
    arguments = parser.parse_args()
    database = arguments.database.resolve()
    if not database.exists():
        make_database(database, arguments.samples)
    width, height = arguments.size.split("x")
    with tempfile.TemporaryDirectory() as folder:
        browse(App(Path(folder), database, width, height), arguments.samples)


def make_database(database: Path, samples: int) -> None:
    counts = {"samples": samples, "rows": ATTACKS * samples, "candidates": round(CANDIDATES * samples)}
    with tempfile.TemporaryDirectory(dir=database.parent) as name:
        folder, began = Path(name), time.perf_counter()
        config: dict[str, str | int] = {"memory_limit": MEMORY, "threads": THREADS, "temp_directory": name}
        with duckdb.connect(config=config) as connection:
            for table, rows in {
                "samples": _SAMPLES,
                "scores": _SCORES,
                "similarities": _SIMILARITIES,
            }.items():
                output = folder / f"{table}.parquet"
                connection.execute(f"COPY ({rows.format(**counts)}) TO '{output}' (FORMAT parquet)")
        written = time.perf_counter()
        now = datetime.now(UTC)
        ingest(
            database,
            RunRow(run_id=RUN_ID, status="done", created_at=now, finished_at=now),
            folder,
            layout="parquet",
        )
        saved = time.perf_counter()
    sizes = [database, *database.with_name(f"{database.name}.data").rglob("*.parquet")]
    print(
        f"{database.name}: {sum(path.stat().st_size for path in sizes) / 1e9:.1f} GB; tables drawn in"
        f" {written - began:.0f} s, put into the database in {saved - written:.0f} s"
    )


def browse(app: App, samples: int) -> None:
    """What a person waits for."""
    print(f"\n{f'{samples:,} samples, {ATTACKS * samples:,} scores':44} s until seen   s until all is done")
    app.until(lambda lines: "2 Runs" in lines[0])
    app.until(lambda lines: RUN_ID in "\n".join(lines))
    app.press("3")
    slowest = [_report(app, "first page")]
    slowest += [_sort(app, key) for key in (">", ">", ">", ">", "S")]
    for place in (samples // 2, samples // 3):
        app.press(":")
        app.until(lambda lines: "Jump to a sample" in "\n".join(lines))
        app.press(f"#{place}", "Enter")
        seen = app.until(lambda lines, place=place: f"#{place}" in lines[-2] and has_rows(lines))
        print(f"{f'jump to #{place}':44} {seen:12.2f}")
        slowest.append(seen)
    app.press("G")
    last = app.until(lambda lines: has_rows(lines) and f"{samples:,} of" in lines[-2])
    print(f"{'to the last row':44} {last:12.2f}")
    slowest.append(last)
    print(f"\nslowest {max(slowest):.2f} s; memory at most {app.peak_bytes / 1e6:.0f} MB")
    app.press("q")
    if max(slowest) > LIMIT_SECONDS or app.peak_bytes > LIMIT_BYTES:
        raise SystemExit(f"over {LIMIT_SECONDS:.0f} s or {LIMIT_BYTES / 1e6:.0f} MB")


def _sort(app: App, key: str) -> float:
    before = app.lines()[1]
    app.press(key)
    app.until(lambda lines: lines[1] != before)
    return _report(app, "sort", _by)


def _report(app: App, name: str, more: Callable[[list[str]], str] = lambda lines: "") -> float:
    """Seconds until rows are seen, printed with those until the whole order is there."""
    seen = app.until(lambda lines: has_rows(lines) and ("sorting" not in lines[1] or "first" in lines[1]))
    done = app.until(is_settled, 120)
    print(f"{f'{name} {more(app.lines())}'.strip():44} {seen:12.2f} {seen + done:12.2f}")
    return seen


if __name__ == "__main__":
    main()
