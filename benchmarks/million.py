"""Makes a database with a run of 1,000,000 samples: 7 attacks, 9 views, captions of a plausible length.

    python benchmarks/million.py million.duckdb
    python benchmarks/million.py small.duckdb --samples 20000

The numbers are drawn, not computed: members score a little higher than others.
Goes through the same Parquet tables and the same ingest as a run of an audit;
about a minute and 1.3 GB of disk, half of it for the time of the making.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tui_mia.runs.tables import TABLES
from tui_mia.store import RunRow, ingest

CHUNK = 100_000
ATTACKS = ("csa", "aea", "aea_standardised", "aea_mean", "wsa", "wsa_rich", "loss")
VIEWS = 9
RUN_ID = "million"
# The share of each pool, in the order of their numbers.
POOLS = {"candidates": 0.6, "nonmembers": 0.3, "general": 0.1}
OPENINGS = "a|the|two|an old|a small|a bright red|my|vintage|close-up of a|stock photo of a|a painting of a"
THINGS = "dog|cat|house by the lake|bicycle|wedding dress|coffee cup|train station|tree|man|woman|logo|guitar"
PLACES = "in Paris|on a wooden table|at sunset|with flowers|for sale|1920s|on white|at night|in the rain|2014"
ENDS = "||, high resolution|, black and white| - free download| | eBay|, Ølstykke Å|, 日本| 🙂|, 12x18 inches"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("database", type=Path)
    parser.add_argument("--samples", type=int, default=1_000_000)
    arguments = parser.parse_args()
    if arguments.database.exists():
        parser.error(f"{arguments.database} exists already")
    began = time.perf_counter()
    make_database(arguments.database, arguments.samples)
    megabytes = arguments.database.stat().st_size / 1e6
    print(f"{arguments.database}: {megabytes:.0f} MB in {time.perf_counter() - began:.0f} s")


def make_database(database: Path, samples: int) -> None:
    with tempfile.TemporaryDirectory(dir=database.resolve().parent) as name:
        folder = Path(name)
        write_tables(folder, samples)
        now = datetime.now(UTC)
        run = RunRow(
            run_id=RUN_ID,
            status="done",
            created_at=now,
            started_at=now,
            finished_at=now,
            architecture="ViT-B-32",
            pretrained="laion2b_s34b_b79k",
            precision="exact (fp32)",
            device="cpu",
            seconds={"encode": 3600.0},
        )
        ingest(database, run, folder)


def write_tables(folder: Path, samples: int) -> None:
    """Write the tables of a run directory, a chunk of samples at a time."""
    draw = np.random.default_rng(0)
    sizes = {pool: round(share * samples) for pool, share in POOLS.items()}
    scored: list[tuple[pa.Array, NDArray[np.int64], NDArray[np.float64], bool]] = []
    with (
        pq.ParquetWriter(folder / "samples.parquet", TABLES["samples"]) as sample_writer,
        pq.ParquetWriter(folder / "similarities.parquet", TABLES["similarities"]) as similarity_writer,
    ):
        for pool, numbers in _chunks(sizes):
            ids, member = _ids(draw, len(numbers)), draw.random(len(numbers)) < 0.5
            if pool != "candidates":
                member[:] = False
            signal = 0.26 + 0.03 * member + 0.05 * draw.standard_normal(len(numbers))
            sample_writer.write_table(_samples(draw, pool, numbers, ids, member))
            similarity_writer.write_table(_similarities(draw, numbers, ids, signal))
            if pool != "general":
                scored.append((ids, numbers, signal, pool == "candidates"))
    with pq.ParquetWriter(folder / "scores.parquet", TABLES["scores"]) as score_writer:
        for place, attack in enumerate(ATTACKS):
            for ids, numbers, signal, is_candidate in scored:
                score_writer.write_table(_scores(draw, place, attack, ids, numbers, signal, is_candidate))
    pools = [
        {"pool": pool, "source": f"/data/{pool}/*.tar", "fingerprint": pool, "samples": size, "rejects": 0}
        for pool, size in sizes.items()
    ]
    pq.write_table(pa.Table.from_pylist(pools, TABLES["pools"]), folder / "pools.parquet")
    metrics = [
        {"attack": attack, "metric": "auc", "value": 0.6 + 0.02 * place, "n": sizes["candidates"]}
        for place, attack in enumerate(ATTACKS)
    ]
    pq.write_table(pa.Table.from_pylist(metrics, TABLES["metrics"]), folder / "metrics.parquet")


def _chunks(sizes: dict[str, int]) -> Iterator[tuple[str, NDArray[np.int64]]]:
    first = 0
    for pool, size in sizes.items():
        for start in range(0, size, CHUNK):
            yield pool, np.arange(first + start, first + min(start + CHUNK, size))
        first += size


def _ids(draw: np.random.Generator, count: int) -> pa.Array:
    digits = pa.py_buffer(draw.bytes(16 * count).hex().encode())
    offsets = pa.py_buffer(np.arange(0, 32 * count + 1, 32, dtype=np.int32))
    return pa.StringArray.from_buffers(count, offsets, digits)


def _samples(
    draw: np.random.Generator, pool: str, numbers: NDArray[np.int64], ids: pa.Array, member: NDArray[np.bool_]
) -> pa.Table:
    count = len(numbers)
    captions = pc.binary_join_element_wise(
        *(_pick(draw, words, count) for words in (OPENINGS, THINGS, PLACES)),
        pa.array(numbers * 7919 % 1_000_003).cast(pa.string()),
        " ",
    )
    columns = {
        "sample_id": ids,
        "number": numbers,
        "pool": pa.repeat(pool, count),
        "key": pc.utf8_lpad(pa.array(numbers).cast(pa.string()), 9, "0"),
        "source": pa.array([f"/data/{pool}/{number // 10_000:05}.tar" for number in numbers.tolist()]),
        "caption": pc.binary_join_element_wise(captions, _pick(draw, ENDS, count), ""),
        "member": pa.array(member) if pool == "candidates" else pa.nulls(count, pa.bool_()),
        "width": draw.integers(64, 1024, count, dtype=np.int32),
        "height": draw.integers(64, 1024, count, dtype=np.int32),
        "metadata": pa.array([f'{{"url": "https://example.org/{n}.jpg"}}' for n in numbers.tolist()]),
    }
    return pa.table(columns, schema=TABLES["samples"])


def _pick(draw: np.random.Generator, words: str, count: int) -> pa.Array:
    choices = pa.array(words.split("|"))
    return choices.take(pa.array(draw.integers(0, len(choices), count)))


def _similarities(
    draw: np.random.Generator, numbers: NDArray[np.int64], ids: pa.Array, signal: NDArray[np.float64]
) -> pa.Table:
    rows = np.repeat(np.arange(len(numbers)), VIEWS)
    columns = {
        "sample_id": ids.take(pa.array(rows)),
        "number": numbers[rows],
        "view": np.tile(np.arange(VIEWS, dtype=np.int16), len(numbers)),
        "cosine": (signal[rows] + 0.01 * draw.standard_normal(len(rows))).astype(np.float32),
    }
    return pa.table(columns, schema=TABLES["similarities"])


def _scores(
    draw: np.random.Generator,
    place: int,
    attack: str,
    ids: pa.Array,
    numbers: NDArray[np.int64],
    signal: NDArray[np.float64],
    is_candidate: bool,
) -> pa.Table:
    score = (1 + place) * (signal + (0.05 - 0.006 * place) * draw.standard_normal(len(numbers)))
    rank = np.argsort(np.argsort(-score)) + 1
    p_value = np.ceil(300_000 * rank / len(rank)) / 300_001
    nothing = pa.nulls(len(numbers), pa.float64())
    columns = {
        "sample_id": ids,
        "number": numbers,
        "attack": pa.repeat(attack, len(numbers)),
        "score": score,
        "p_value": p_value if is_candidate else nothing,
        "q_value": np.minimum(1, 1.5 * p_value) if is_candidate else nothing,
        "placement": 1 - p_value,
    }
    return pa.table(columns, schema=TABLES["scores"])


if __name__ == "__main__":
    main()
