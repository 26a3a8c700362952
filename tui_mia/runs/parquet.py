"""Parquet files of a run, written whole or not at all; for the worker, which has pyarrow loaded anyway."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tui_mia.runs.files import put_in_place, temporary_of


def replace_with_table(path: Path, table: pa.Table) -> None:
    """Write a Parquet file whole or not at all."""
    temporary = temporary_of(path)
    # Lists are of floats of a model: nothing compresses them, and the attempt costs more than reading them.
    plain = [field.name for field in table.schema if not pa.types.is_fixed_size_list(field.type)]
    with temporary.open("wb") as file:
        pq.write_table(table, file, compression=dict.fromkeys(plain, "zstd"), use_dictionary=plain)
    put_in_place(temporary, path)
