"""Finds out what each source of a pool is, and cuts it into shards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tui_mia.pools.coco import load_coco, plan_coco
from tui_mia.pools.files import image_extensions
from tui_mia.pools.folder import has_captions, list_images
from tui_mia.pools.found import PoolError, UnusableError, unreadable
from tui_mia.pools.pair import PoolName, Shard
from tui_mia.pools.read import load_keys
from tui_mia.pools.table import TABLE_SUFFIXES, plan_table
from tui_mia.pools.text_lines import ranges
from tui_mia.spec import PoolSpec, expand_source
from tui_mia.storage import Location, Url, look_at_all, size_of

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")
_BY_URL = (*TAR_SUFFIXES, *TABLE_SUFFIXES)
_KNOWN = f"{', '.join((*TAR_SUFFIXES, *TABLE_SUFFIXES))}, a COCO captions .json, or a folder"


def plan_shards(pool: PoolName, spec: PoolSpec, rows_per_shard: int = 10_000) -> list[Shard]:
    """Cut the sources of a pool into shards: sources as they are named, the files of each sorted.

    A shard is a tar, or at most `rows_per_shard` rows, images or captions.

    Raises:
        PoolError: for a source that can't be read, naming it, the reason and what to do.
    """
    forget_files()
    if spec.keys is not None:
        load_keys(pool, spec.keys)
    shards: list[Shard] = []
    for source, member in labelled_sources(spec):
        planned = [
            replace(shard, member=member)
            for path in expanded(pool, source)
            for shard in plan_path(pool, path, spec, rows_per_shard)
        ]
        if not planned:
            raise PoolError(f"pools.{pool}: {source}: there are no rows in it; name a source that has pairs")
        shards += planned
    return [replace(shard, index=index) for index, shard in enumerate(shards)]


def forget_files() -> None:
    """Forget what files had in them; they may have changed since."""
    for cached in (list_images, load_coco, load_keys):
        cached.cache_clear()


def labelled_sources(spec: PoolSpec) -> list[tuple[str, bool | None]]:
    """Each source with the label that all its pairs have, if it has one."""
    labels = spec.member if isinstance(spec.member, list) else [None] * len(spec.source)
    return list(zip(spec.source, labels, strict=True))


def expanded(pool: PoolName, source: str) -> list[Location]:
    """The files, folders and objects of a source; objects are there, and those of a format that is read.

    Raises:
        PoolError: for objects that are not, or that can't be looked at.
    """
    try:
        found = expand_source(source)
        for location in found:
            if isinstance(location, Url) and not location.name.lower().endswith(_BY_URL):
                raise UnusableError(f"{location}: {_not_by_url(location)}")
        return look_at_all(found)
    except UnusableError as problem:
        raise PoolError(f"pools.{pool}: {problem}") from None
    except OSError as error:
        raise unreadable(pool, error, source) from None


def _not_by_url(url: Url) -> str:
    """Why what a URL names is not read, and what is."""
    if not url.name:
        return f"is no object; name what is in it, for example {str(url).rstrip('/')}/*.tar"
    if url.name.lower().endswith(".json"):
        return "COCO captions are not read by URL; copy them and their images to this machine"
    return f"is of a format that is not read by URL; those are {', '.join(_BY_URL)}"


def plan_path(pool: PoolName, path: Location, spec: PoolSpec, rows_per_shard: int) -> Iterator[Shard]:
    """Cut one file or folder into shards, as they are found.

    Raises:
        PoolError: if it can't be read.
    """
    try:
        if isinstance(path, Path) and path.is_dir():
            yield from _plan_folder(pool, path, spec, rows_per_shard)
        else:
            yield from _plan_file(pool, path, spec, rows_per_shard)
    except UnusableError as problem:
        raise PoolError(f"pools.{pool}: {path}: {problem}") from problem
    except OSError as error:
        raise unreadable(pool, error, path, "check its permissions") from error


def _plan_file(pool: PoolName, path: Location, spec: PoolSpec, rows_per_shard: int) -> Iterator[Shard]:
    name = path.name.lower()
    if name.endswith(TAR_SUFFIXES):
        yield Shard(pool, 0, "webdataset", path, extent=size_of(path))
    elif name.endswith(TABLE_SUFFIXES):
        for cut in plan_table(pool, path, spec, rows_per_shard):
            yield Shard(pool, 0, "table", path, cut.stop - cut.start, *cut)
    elif name.endswith(".json") and isinstance(path, Path):
        for cut in plan_coco(pool, path, spec, rows_per_shard):
            yield Shard(pool, 0, "coco", path, cut.stop - cut.start, *cut)
    else:
        raise UnusableError(f"is of an unknown format; known are {_KNOWN}")


def files_in(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """The files directly in a folder that end in one of `suffixes`, sorted; not the hidden ones."""
    return sorted(
        file
        for file in folder.iterdir()
        if file.name.lower().endswith(suffixes) and not file.name.startswith(".") and file.is_file()
    )


def _plan_folder(pool: PoolName, path: Path, spec: PoolSpec, rows_per_shard: int) -> Iterator[Shard]:
    """Tars go before images and images before tables: img2dataset writes tables beside both."""
    if tars := files_in(path, TAR_SUFFIXES):
        for tar in tars:
            yield from _plan_file(pool, tar, spec, rows_per_shard)
        return
    images = list_images(path, image_extensions(spec))
    if images:
        if not has_captions(path, spec):
            raise UnusableError(
                f"has {len(images):,} images, but beside none of them a .txt or .json of the same name; "
                "write the captions there, or name the table or COCO .json that has them as the source"
            )
        cuts = ranges(len(images), rows_per_shard)
        for start, stop in cuts:
            yield Shard(pool, 0, "folder", path, stop - start, start, stop)
    elif tables := files_in(path, TABLE_SUFFIXES):
        for table in tables:
            yield from plan_path(pool, table, spec, rows_per_shard)
    else:
        raise UnusableError(
            f"holds nothing usable: no {', '.join((*TAR_SUFFIXES, *TABLE_SUFFIXES))} and no images; "
            "name the folder inside it that has the pairs"
        )
