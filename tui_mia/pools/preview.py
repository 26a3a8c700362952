"""The beginning of a pool and its size, for someone who is still choosing its sources.

Both come piece by piece or can be told to stop, since a path that is half typed
may name a whole disk.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from tui_mia.pools.coco import load_coco
from tui_mia.pools.fields import storable
from tui_mia.pools.files import image_extensions
from tui_mia.pools.folder import found_image, walk_images
from tui_mia.pools.found import Found, PoolError, UnusableError, unreadable
from tui_mia.pools.pair import Pair, PoolName, Reject, Shard
from tui_mia.pools.plan import TAR_SUFFIXES, expanded, files_in, forget_files, labelled_sources, plan_path
from tui_mia.pools.read import find_samples, judge, load_keys
from tui_mia.pools.webdataset import list_samples
from tui_mia.spec import PoolSpec
from tui_mia.storage import Location, Url

_ROWS_A_STEP = 1000
_SAMPLES_LOOKED_AT = 200
_SAMPLES_MEASURED = 64


@dataclass(frozen=True)
class Preview:
    """The first pairs of a pool, images still encoded, and what was rejected before and among them."""

    pairs: tuple[Pair, ...]
    rejects: tuple[Reject, ...]


@dataclass(frozen=True)
class Count:
    """How many samples have been counted, in how many files or folders.

    Contents are not looked at, so a few may turn out to be no pairs. Where
    `exact` is False, `keys` will leave some of them out. Where they are `estimated`
    some lie in tars in a store, which are not fetched to be counted.
    """

    pairs: int
    files: int
    done: bool
    exact: bool
    estimated: bool = False


def preview(
    pool: PoolName, spec: PoolSpec, pairs: int = 3, stop: Callable[[], bool] = lambda: False
) -> Preview:
    """Read the first pairs of a pool; `stop` is asked between samples whether they are still wanted.

    Raises:
        PoolError: for a source that can't be read, as when the audit is planned.
    """
    forget_files()
    found_pairs: list[Pair] = []
    rejects: list[Reject] = []
    for item in _judged(pool, spec, stop):
        if isinstance(item, Pair):
            found_pairs.append(item)
        else:
            rejects.append(item)
        if len(found_pairs) == min(pairs, spec.limit or pairs):
            break
        if len(found_pairs) + len(rejects) == _SAMPLES_LOOKED_AT:
            break
    return Preview(tuple(found_pairs), tuple(rejects))


def count(pool: PoolName, spec: PoolSpec) -> Iterator[Count]:
    """Count a pool's samples, yielding what there is so far every now and then, and at the end.

    Raises:
        PoolError: for a source that can't be read, as when the audit is planned.
    """
    forget_files()
    total, files, exact, estimated = 0, set[Location](), True, False
    try:
        for path, keys_known, number in _counted(pool, spec):
            total += number
            estimated = estimated or _is_estimated(path)
            if number:
                files.add(path)
            exact = exact and (keys_known or spec.keys is None)
            if spec.limit is not None and total >= spec.limit:
                total = spec.limit
                break
            yield Count(total, len(files), done=False, exact=exact, estimated=estimated)
        yield Count(total, len(files), done=True, exact=exact, estimated=estimated)
    finally:
        load_coco.cache_clear()  # too large to be kept for an audit that may never be asked for


def _judged(pool: PoolName, spec: PoolSpec, stop: Callable[[], bool]) -> Iterator[Pair | Reject]:
    wanted = load_keys(pool, spec.keys) if spec.keys is not None else None
    for source, member in labelled_sources(spec):
        for path in expanded(pool, source):
            try:
                with _pool_errors(pool, path):
                    for where, found in _samples(pool, path, spec):
                        if stop():
                            return
                        if found is not None and (wanted is None or not found.key or found.key in wanted):
                            yield judge(found, storable(str(where)), member)
            except UnusableError as damage:
                yield Reject("", storable(str(path)), storable(str(damage)), 0)


def _samples(pool: PoolName, path: Location, spec: PoolSpec) -> Iterator[tuple[Location, Found | None]]:
    """The samples of a file or folder, and None where nothing has been found for a while."""
    walked = False
    for images in _images(pool, path, spec):
        walked = walked or bool(images)
        yield path, None
        assert isinstance(path, Path), "it has images in folders"
        yield from ((path, found_image(path, image, spec)) for image in images)
    if not walked:
        for shard in plan_path(pool, path, spec, _ROWS_A_STEP):
            yield shard.path, None
            yield from ((shard.path, found) for found in find_samples(shard, spec))


def _counted(pool: PoolName, spec: PoolSpec) -> Iterator[tuple[Location, bool, int]]:
    """Files or folders, whether the keys in them were looked up, and how many samples were found there."""
    wanted = load_keys(pool, spec.keys) if spec.keys is not None else None
    bytes_a_sample = 0.0
    for source in spec.source:
        for path in expanded(pool, source):
            walked = False
            for images in _images(pool, path, spec):
                walked = walked or bool(images)
                keys = (storable(os.path.splitext(image)[0]) for image in images)
                yield path, True, sum(wanted is None or key in wanted for key in keys)
            for shard in plan_path(pool, path, spec, _ROWS_A_STEP) if not walked else ():
                if isinstance(shard.path, Url) and shard.format == "webdataset":
                    with _pool_errors(pool, shard.path):
                        bytes_a_sample = bytes_a_sample or _bytes_a_sample(shard, spec)
                    yield shard.path, False, round(shard.extent / bytes_a_sample)
                elif shard.format == "webdataset":
                    with _pool_errors(pool, shard.path):
                        for number in _count_tar(shard.path, wanted):
                            yield shard.path, True, number
                else:
                    yield shard.path, False, shard.extent


def _is_estimated(path: Location) -> bool:
    return isinstance(path, Url) and path.name.lower().endswith(TAR_SUFFIXES)


def _bytes_a_sample(tar: Shard, spec: PoolSpec) -> float:
    """How large the samples of a tar are, by the first of them."""
    number, position = 0, 0
    try:
        for found in islice(find_samples(tar, spec), _SAMPLES_MEASURED):
            number, position = number + 1, found.position
    except UnusableError:
        pass  # told by the preview
    return min(position, tar.extent) / number if number else math.inf


def _count_tar(path: Location, wanted: frozenset[str] | None) -> Iterator[int]:
    number = 0
    try:
        for position, (key, _) in enumerate(list_samples(path), start=1):
            number += wanted is None or key in wanted
            if position % _ROWS_A_STEP == 0:
                yield number
                number = 0
    except UnusableError:
        pass  # what is behind the damage is lost to the audit too
    yield number


def _images(pool: PoolName, path: Location, spec: PoolSpec) -> Iterator[list[str]]:
    """The images of a folder by the folders in it; nothing where tars or no folder are there."""
    if not isinstance(path, Path) or not path.is_dir():
        return
    with _pool_errors(pool, path):
        if files_in(path, TAR_SUFFIXES):
            return
        try:
            yield from walk_images(path, image_extensions(spec))
        except UnusableError as problem:
            raise PoolError(f"pools.{pool}: {path}: {problem}") from problem


@contextmanager
def _pool_errors(pool: PoolName, path: Location) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise unreadable(pool, error, path) from error
