"""The tables that a run leaves in its directory, as Parquet: the DuckDB tables without `run_id`."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

TABLES: Final[dict[str, pa.Schema]] = {
    "pools": pa.schema(
        [
            ("pool", pa.string()),
            ("source", pa.string()),
            ("fingerprint", pa.string()),
            ("samples", pa.int64()),
            ("rejects", pa.int64()),
        ]
    ),
    "samples": pa.schema(
        [
            ("sample_id", pa.string()),
            ("number", pa.int64()),
            ("pool", pa.string()),
            ("key", pa.string()),
            ("source", pa.string()),
            ("caption", pa.string()),
            ("member", pa.bool_()),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("metadata", pa.string()),
        ]
    ),
    "similarities": pa.schema(
        [("sample_id", pa.string()), ("number", pa.int64()), ("view", pa.int16()), ("cosine", pa.float32())]
    ),
    "scores": pa.schema(
        [
            ("sample_id", pa.string()),
            ("number", pa.int64()),
            ("attack", pa.string()),
            ("score", pa.float64()),
            ("p_value", pa.float64()),
            ("q_value", pa.float64()),
            ("placement", pa.float64()),
        ]
    ),
    "baselines": pa.schema(
        [
            ("sample_id", pa.string()),
            ("number", pa.int64()),
            ("baseline", pa.string()),
            ("name", pa.string()),
            ("score", pa.float64()),
            ("placement", pa.float64()),
        ]
    ),
    "duplicates": pa.schema(
        [
            ("sample_id", pa.string()),
            ("number", pa.int64()),
            ("alike", pa.string()),
            ("cluster", pa.int64()),
        ]
    ),
    "metrics": pa.schema(
        [
            ("attack", pa.string()),
            ("metric", pa.string()),
            ("value", pa.float64()),
            ("low", pa.float64()),
            ("high", pa.float64()),
            ("n", pa.int64()),
        ]
    ),
    "checks": pa.schema(
        [
            ("check", pa.string()),
            ("attack", pa.string()),
            ("value", pa.float64()),
            ("low", pa.float64()),
            ("high", pa.float64()),
            ("n", pa.int64()),
            ("outcome", pa.string()),
            ("words", pa.string()),
        ]
    ),
    "verdicts": pa.schema(
        [("attack", pa.string()), ("outcome", pa.string()), ("reasons", pa.list_(pa.string()))]
    ),
    "rejects": pa.schema(
        [("pool", pa.string()), ("source", pa.string()), ("key", pa.string()), ("reason", pa.string())]
    ),
}

# What a shard's encoder can say of a sample; its place in the run is known when all pools are there.
ENCODED_SAMPLE: Final = [column for column in TABLES["samples"] if column.name not in ("number", "pool")]
