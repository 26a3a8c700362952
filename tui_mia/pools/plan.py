"""Finds out what each source of a pool is, and cuts it into shards."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tui_mia.pools.coco import load_coco, plan_coco
from tui_mia.pools.files import image_extensions
from tui_mia.pools.folder import has_captions, list_images
from tui_mia.pools.found import PoolError, UnusableError
from tui_mia.pools.pair import PoolName, Shard
from tui_mia.pools.read import load_keys
from tui_mia.pools.table import TABLE_SUFFIXES, plan_table
from tui_mia.pools.text_lines import ranges
from tui_mia.spec import PoolSpec, expand_source

_TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")
_KNOWN = f"{', '.join((*_TAR_SUFFIXES, *TABLE_SUFFIXES))}, a COCO captions .json, or a folder"


def plan_shards(pool: PoolName, spec: PoolSpec, rows_per_shard: int = 10_000) -> list[Shard]:
    """Cut the sources of a pool into shards: sources as they are named, the files of each sorted.

    A shard is a tar, or at most `rows_per_shard` rows, images or captions.

    Raises:
        PoolError: for a source that can't be read, naming it, the reason and what to do.
    """
    for cached in (list_images, load_coco, load_keys):
        cached.cache_clear()  # the files may have changed since another plan
    if spec.keys is not None:
        load_keys(pool, spec.keys)
    labels = spec.member if isinstance(spec.member, list) else [None] * len(spec.source)
    shards: list[Shard] = []
    for source, member in zip(spec.source, labels, strict=True):
        planned = [
            replace(shard, member=member)
            for path in expand_source(source)
            for shard in _plan_path(pool, path, spec, rows_per_shard)
        ]
        if not planned:
            raise PoolError(f"pools.{pool}: {source}: there are no rows in it; name a source that has pairs")
        shards += planned
    return [replace(shard, index=index) for index, shard in enumerate(shards)]


def _plan_path(pool: PoolName, path: Path, spec: PoolSpec, rows_per_shard: int) -> list[Shard]:
    try:
        if path.is_dir():
            return _plan_folder(pool, path, spec, rows_per_shard)
        return _plan_file(pool, path, spec, rows_per_shard)
    except UnusableError as problem:
        raise PoolError(f"pools.{pool}: {path}: {problem}") from problem
    except OSError as error:
        raise PoolError(
            f"pools.{pool}: {path}: can't be read: {error.strerror or error}; check its permissions"
        ) from error


def _plan_file(pool: PoolName, path: Path, spec: PoolSpec, rows_per_shard: int) -> list[Shard]:
    name = path.name.lower()
    if name.endswith(_TAR_SUFFIXES):
        return [Shard(pool, 0, "webdataset", path, extent=path.stat().st_size)]
    if name.endswith(TABLE_SUFFIXES):
        cuts = plan_table(pool, path, spec, rows_per_shard)
        return [Shard(pool, 0, "table", path, cut.stop - cut.start, *cut) for cut in cuts]
    if name.endswith(".json"):
        cuts = plan_coco(pool, path, spec, rows_per_shard)
        return [Shard(pool, 0, "coco", path, cut.stop - cut.start, *cut) for cut in cuts]
    raise UnusableError(f"is of an unknown format; known are {_KNOWN}")


def _plan_folder(pool: PoolName, path: Path, spec: PoolSpec, rows_per_shard: int) -> list[Shard]:
    """Tars go before images and images before tables: img2dataset writes tables beside both."""
    files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    tars = [file for file in files if file.name.lower().endswith(_TAR_SUFFIXES)]
    if tars:
        return [shard for tar in tars for shard in _plan_file(pool, tar, spec, rows_per_shard)]
    images = list_images(path, image_extensions(spec))
    if images:
        if not has_captions(path, spec):
            raise UnusableError(
                f"has {len(images):,} images, but beside none of them a .txt or .json of the same name; "
                "write the captions there, or name the table or COCO .json that has them as the source"
            )
        cuts = ranges(len(images), rows_per_shard)
        return [Shard(pool, 0, "folder", path, stop - start, start, stop) for start, stop in cuts]
    tables = [file for file in files if file.name.lower().endswith(TABLE_SUFFIXES)]
    if tables:
        return [shard for table in tables for shard in _plan_path(pool, table, spec, rows_per_shard)]
    raise UnusableError(
        f"holds nothing usable: no {', '.join((*_TAR_SUFFIXES, *TABLE_SUFFIXES))} and no images; "
        "name the folder inside it that has the pairs"
    )
