"""Tables (CSV, TSV, JSONL, Parquet): one row a pair, the image in a column or in a file that it names.

The reader of Parquet is imported where one is read: pyarrow, which comes with it, is 30 MB.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

from tui_mia.pools import csv_rows, jsonl_rows
from tui_mia.pools.fields import storable
from tui_mia.pools.files import IMAGE_LIMIT_BYTES, read_inside, too_large
from tui_mia.pools.found import Content, Found, UnusableError
from tui_mia.pools.objects import read_beside
from tui_mia.pools.pair import PoolName, Shard
from tui_mia.pools.text_lines import Cut
from tui_mia.spec import PoolSpec
from tui_mia.storage import Location, Url

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")


def plan_table(pool: PoolName, path: Location, spec: PoolSpec, rows_per_shard: int) -> Iterator[Cut]:
    """Check that the needed columns are there, and cut the table into ranges of rows, one by one."""
    match path.suffix.lower():
        case ".parquet":
            from tui_mia.pools import parquet_rows

            names, cuts = parquet_rows.columns(path), parquet_rows.cuts(path, rows_per_shard)
        case ".jsonl" | ".ndjson":
            names, cuts = jsonl_rows.columns(path), jsonl_rows.cuts(path, rows_per_shard)
        case _:
            names, cuts = csv_rows.columns(path), csv_rows.cuts(path, rows_per_shard)
    for cut in cuts:
        if cut.start == 0:
            _check_columns(pool, names, spec)
        yield cut


def read_table(shard: Shard, spec: PoolSpec) -> Iterator[Found]:
    """Stream the rows of a shard; image files are opened only when a sample is loaded.

    The key is the column `key`, or else the row's number in its table, from 0.
    """
    for position, row in enumerate(_rows(shard, _image_column(spec)), start=1):
        number = str(shard.start + position - 1)
        if isinstance(row, UnusableError):
            yield Found(number, position, partial(_refuse, row))
        else:
            yield Found(_key(row.get("key"), number), position, partial(_load, row, shard.path.parent, spec))


def is_keyed_by_row(path: Location) -> bool:
    """Whether a row can be had by its key without any list of them: Parquet without a column `key`."""
    if path.suffix.lower() != ".parquet":
        return False
    from tui_mia.pools import parquet_rows

    return "key" not in parquet_rows.columns(path)


def list_rows(path: Location) -> Iterator[tuple[str, int]]:
    """The key of every row, and the byte at which it begins; 0 in Parquet, which has no such thing.

    Raises:
        UnusableError: where the table is damaged.
        OSError: if the file can't be opened.
    """
    if path.suffix.lower() == ".parquet":
        from tui_mia.pools import parquet_rows

        for number, given in enumerate(parquet_rows.values(path, "key")):
            yield _key(given, str(number)), 0
        return
    for number, (offset, row) in enumerate(_text_rows(path)):
        yield _key(None if isinstance(row, UnusableError) else row.get("key"), str(number)), offset


def read_image(path: Location, row: int, offset: int, spec: PoolSpec) -> bytes:
    """The image of the row of a number, which begins at a byte that `list_rows` gave.

    Raises:
        UnusableError: where there is no such row, or no image that can be read.
        OSError: if the table can't be opened.
    """
    nothing = UnusableError("the table ends before it")
    if path.suffix.lower() == ".parquet":
        from tui_mia.pools import parquet_rows

        cell = next(parquet_rows.values(path, _image_column(spec), row), nothing)
    else:
        _, columns = next(_text_rows(path, offset), (0, nothing))
        cell = columns if isinstance(columns, UnusableError) else columns.get(_image_column(spec))
    if isinstance(cell, UnusableError):
        raise cell
    return _image(cell, path.parent)


def _text_rows(
    path: Location, offset: int | None = None
) -> Iterator[tuple[int, dict[str, object] | UnusableError]]:
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        return jsonl_rows.rows_from(path, offset)
    return csv_rows.rows_from(path, offset)


def _key(given: object, number: str) -> str:
    """The key of a row: what its column `key` holds, or else its number."""
    return number if given is None or given == "" else storable(str(given))


def _rows(shard: Shard, image_column: str) -> Iterator[dict[str, object] | UnusableError]:
    match shard.path.suffix.lower():
        case ".parquet":
            from tui_mia.pools import parquet_rows

            return parquet_rows.rows(shard, image_column)
        case ".jsonl" | ".ndjson":
            return jsonl_rows.rows(shard)
        case _:
            return csv_rows.rows(shard)


def _check_columns(pool: PoolName, names: list[str], spec: PoolSpec) -> None:
    needed = {"image": _image_column(spec), "caption": _caption_column(spec)}
    if isinstance(spec.member, str):
        needed["member"] = spec.member
    for key, name in needed.items():
        if names.count(name) != 1:
            problem = "no column" if name not in names else f"{names.count(name)} columns"
            raise UnusableError(
                f"has {problem} {name!r} for the {key}; its columns are {', '.join(map(storable, names))}; "
                f'set pools.{pool}.{key} = "..." to the one that holds it'
            )


def _refuse(problem: UnusableError) -> Content:
    raise problem


def _load(row: Mapping[str, object], folder: Location, spec: PoolSpec) -> Content:
    used = (_image_column(spec), _caption_column(spec), _member_column(spec), "key")
    return Content(
        image=_image(row.get(_image_column(spec)), folder),
        caption=row.get(_caption_column(spec)),
        member=row.get(_member_column(spec)),
        metadata={name: value for name, value in row.items() if name not in used},
    )


def _image(cell: object, folder: Location) -> bytes:
    """The image in a cell: its bytes, its path, or both in a struct as Hugging Face datasets has them."""
    if isinstance(cell, dict):
        content = cell.get("bytes")
        cell = cell.get("path") if content is None else content
    if isinstance(cell, bytes):
        if len(cell) > IMAGE_LIMIT_BYTES:
            raise UnusableError(too_large("image", len(cell), IMAGE_LIMIT_BYTES))
        return cell
    if isinstance(cell, str) and cell:
        if isinstance(folder, Url):
            return read_beside(folder, cell, IMAGE_LIMIT_BYTES)
        return read_inside(folder, cell, IMAGE_LIMIT_BYTES)
    raise UnusableError("no image" if cell is None or cell == "" else "image is neither bytes nor a path")


def _image_column(spec: PoolSpec) -> str:
    return spec.image or "image"


def _caption_column(spec: PoolSpec) -> str:
    return spec.caption or "caption"


def _member_column(spec: PoolSpec) -> str:
    return spec.member if isinstance(spec.member, str) else "member"
