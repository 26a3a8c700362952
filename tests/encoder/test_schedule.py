"""Which shards are encoded, what is left of them, and what is told on the way."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.encoder.conftest import encode_pools, write_tar
from tui_mia.encoder import EncodedPool, Schedule, TargetModel, part_paths, read_rejects
from tui_mia.pools import plan_shards
from tui_mia.runs import ShardEncoded
from tui_mia.runs.reporter import Pace
from tui_mia.spec import AuditSpec, PoolSpec

Told = list[tuple[float, int, int, str]]


@pytest.fixture
def tars(tmp_path: Path, image_bytes: Callable[..., bytes]) -> Path:
    """Four tars of eight entries, of which the third and the fourth are no images."""
    folder = tmp_path / "tars"
    folder.mkdir()
    for shard in range(4):
        numbers = range(shard * 8, shard * 8 + 8)
        write_tar(
            folder / f"{shard}.tar",
            {number: b"no image" if number % 8 in (2, 3) else image_bytes(number) for number in numbers},
        )
    return folder


@pytest.fixture
def paces() -> list[Pace]:
    """What `encode` was told of the pace, in order."""
    return []


@pytest.fixture
def shards_told() -> list[ShardEncoded]:
    """What `encode` was told of shards, in order."""
    return []


@pytest.fixture
def encode(clip: TargetModel, paces: list[Pace], shards_told: list[ShardEncoded]) -> Callable[..., Told]:
    """Encodes the pools of a spec into a folder and returns the progress that was told."""

    def run(
        folder: Path,
        pools: dict[str, dict[str, object]],
        batch_size: int = 3,
        reference: TargetModel | None = None,
    ) -> Told:
        folder.mkdir(exist_ok=True)
        spec = AuditSpec.model_validate(
            {"model": {"architecture": "x"}, "pools": pools, "attacks": {"aea": {"views": 1}}}
        )
        shards = {name: plan_shards(name, pool) for name, pool in spec.pool_specs().items()}
        told: Told = []

        def tell(fraction: float, samples: int, rejects: int, pool: str, pace: Pace) -> None:
            told.append((fraction, samples, rejects, pool))
            paces.append(pace)

        encode_pools(spec, shards, clip, batch_size, folder, tell, reference, on_shard=shards_told.append)
        return told

    return run


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_every_shard_leaves_its_samples_and_its_rejects(
    tars: Path, tmp_path: Path, encode: Callable[..., Told]
) -> None:
    told = encode(tmp_path / "parts", {"candidates": {"source": [str(tars)]}})
    assert len(part_paths(tmp_path / "parts", "candidates")) == 4
    assert len(EncodedPool(part_paths(tmp_path / "parts", "candidates"))) == 24
    assert read_rejects(tmp_path / "parts", "candidates").num_rows == 8
    assert told[-1] == (1.0, 24, 8, "candidates")


def test_each_shard_is_told_with_its_time_and_what_was_there_before(
    tars: Path, tmp_path: Path, encode: Callable[..., Told], shards_told: list[ShardEncoded]
) -> None:
    pools = {"candidates": {"source": [str(tars)], "limit": 19}}
    encode(tmp_path / "parts", pools)
    for path in (tmp_path / "parts").glob("*candidates-000001-*"):
        path.unlink()
    encode(tmp_path / "parts", pools)
    assert [(each.shard, each.source, each.samples, each.rejects, each.reused) for each in shards_told] == [
        (0, "0.tar", 6, 2, 0), (1, "1.tar", 6, 2, 0), (2, "2.tar", 2, 1, 0),
        (0, "0.tar", 6, 2, 8), (1, "1.tar", 6, 2, 0), (2, "2.tar", 2, 1, 3),
    ]  # fmt: skip
    assert all(each.seconds > 0 for each in shards_told[:3])


@pytest.mark.parametrize("limit", [None, 11, 19])
@pytest.mark.parametrize("kept", [{0}, {0, 1}, {1, 2}])
def test_a_resumed_encode_leaves_what_an_undisturbed_one_does(
    limit: int | None, kept: set[int], tars: Path, tmp_path: Path, encode: Callable[..., Told]
) -> None:
    pools = {"candidates": {"source": [str(tars)], "limit": limit}, "general": {"source": [str(tars)]}}
    encode(tmp_path / "whole", pools)
    whole = contents(tmp_path / "whole")
    resumed = tmp_path / "resumed"
    resumed.mkdir()
    for name, content in whole.items():
        is_part_of_kept = any(f"candidates-{shard:06}" in name for shard in kept)
        is_half_done = name.startswith("rejects-candidates-000003")
        if is_part_of_kept or is_half_done:
            (resumed / name).write_bytes(content)
    before = {path.name: path.stat().st_mtime_ns for path in resumed.glob("candidates-*")}
    encode(resumed, pools)
    assert contents(resumed) == whole
    assert all((resumed / name).stat().st_mtime_ns == time for name, time in before.items())


def test_the_order_of_the_shards_changes_no_byte(tars: Path, tmp_path: Path, clip: TargetModel) -> None:
    pools = {"candidates": {"source": [str(tars)]}, "general": {"source": [str(tars)]}}
    spec = AuditSpec.model_validate({"model": {"architecture": "x"}, "pools": pools, "attacks": {"csa": {}}})
    shards = {name: plan_shards(name, pool) for name, pool in spec.pool_specs().items()}
    backwards = {name: of_pool[::-1] for name, of_pool in reversed(shards.items())}
    for name, order in (("there", shards), ("back", backwards)):
        (tmp_path / name).mkdir()
        encode_pools(spec, order, clip, 3, tmp_path / name, lambda *progress: None)
    assert len(contents(tmp_path / "there")) == 16
    assert contents(tmp_path / "back") == contents(tmp_path / "there")


@pytest.mark.parametrize("limit", [None, 3, 4, 6, 7])
def test_a_large_tar_is_encoded_in_parts_and_resumed_between_them(
    limit: int | None,
    tars: Path,
    tmp_path: Path,
    encode: Callable[..., Told],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tui_mia.encoder.shard_encoder.PART_ENTRIES", 3)
    pools = {"candidates": {"source": [str(tars)], "limit": limit}}
    encode(tmp_path / "whole", pools)
    whole = contents(tmp_path / "whole")
    samples = len(EncodedPool(part_paths(tmp_path / "whole", "candidates")))
    assert samples + read_rejects(tmp_path / "whole", "candidates").num_rows == (limit or 32)
    assert any("candidates-000000-000001" in name for name in whole) == (limit != 3)
    resumed = tmp_path / "resumed"
    resumed.mkdir()
    for name, content in whole.items():
        if "candidates-000000-000000" in name:
            (resumed / name).write_bytes(content)
    told = encode(resumed, pools)
    assert contents(resumed) == whole
    assert told[-1][0] == 1.0


@pytest.mark.parametrize("limit", [1, 8, 11, 32, 1000])
def test_a_limit_counts_entries_from_the_front(
    limit: int, tars: Path, tmp_path: Path, encode: Callable[..., Told]
) -> None:
    told = encode(tmp_path / "parts", {"candidates": {"source": [str(tars)], "limit": limit}})
    samples = len(EncodedPool(part_paths(tmp_path / "parts", "candidates")))
    rejects = read_rejects(tmp_path / "parts", "candidates").num_rows
    assert samples + rejects == min(limit, 32)
    assert told[-1][0] == 1.0


@pytest.mark.parametrize("limit", [None, 5, 20])
def test_progress_never_goes_back_and_ends_at_one(
    limit: int | None, tars: Path, tmp_path: Path, encode: Callable[..., Told], world: Path
) -> None:
    pools: dict[str, dict[str, object]] = {
        "candidates": {"source": [str(tars)], "limit": limit},
        "nonmembers": {"source": [str(world / "nonmembers.tar")], "limit": 40},
        "general": {"source": [str(tars / "0.tar")]},
    }
    told = encode(tmp_path / "parts", pools)
    fractions = [fraction for fraction, *_ in told]
    assert fractions == sorted(fractions)
    assert fractions[0] < 0.5
    assert fractions[-1] == pytest.approx(1)
    assert list(dict.fromkeys(pool for *_, pool in told)) == ["candidates", "nonmembers", "general"]


@pytest.mark.parametrize("size", [16, 128])
def test_a_pool_counts_for_its_entries_before_one_of_them_is_read(
    size: int, tmp_path: Path, encode: Callable[..., Told], image_bytes: Callable[..., bytes]
) -> None:
    """Whatever their size: that of other pools says nothing of it."""
    pools: dict[str, dict[str, object]] = {}
    for name, entries, pixels in (("candidates", 20, 48), ("nonmembers", 60, size)):
        path = tmp_path / f"{name}.tar"
        images = {number: image_bytes(number, (pixels, pixels), "RGB", "BMP") for number in range(entries)}
        write_tar(path, images)
        pools[name] = {"source": [str(path)]}
    told = encode(tmp_path / "parts", pools)
    *_, (fraction, samples, _, _) = (each for each in told if each[3] == "candidates")
    assert samples == 20
    assert fraction == pytest.approx(20 / 80, rel=0.1)


def test_what_was_encoded_before_has_no_part_in_the_pace(
    tars: Path, tmp_path: Path, encode: Callable[..., Told], paces: list[Pace]
) -> None:
    pools: dict[str, dict[str, object]] = {"candidates": {"source": [str(tars)]}}
    encode(tmp_path / "parts", pools)
    assert paces[-1].per_second
    assert paces[-1].eta_seconds is None
    paces.clear()
    told = encode(tmp_path / "parts", pools)
    assert [each[1:] for each in told] == [(6 * n, 2 * n, "candidates") for n in (1, 2, 3, 4)]
    assert told[-1][0] == 1.0
    assert paces == [Pace()] * 4
    paces.clear()
    for path in (tmp_path / "parts").glob("*candidates-000003*"):
        path.unlink()
    told = encode(tmp_path / "parts", pools)
    assert told[-1] == (1.0, 24, 8, "candidates")
    # Six samples of the last tar, in the time that the whole of it took: two views and a caption each.
    last = paces[-1]
    assert last.per_second
    assert last.views_per_second == pytest.approx(2 * last.per_second, rel=0.01)
    assert last.encodings_per_second == pytest.approx(3 * last.per_second, rel=0.01)


def test_a_pool_is_read_back_by_row_over_all_its_parts(
    tars: Path, tmp_path: Path, encode: Callable[..., Told]
) -> None:
    encode(tmp_path / "parts", {"candidates": {"source": [str(tars)]}})
    pool = EncodedPool(part_paths(tmp_path / "parts", "candidates"))
    everything = pool.take(np.arange(len(pool)))
    for rows in (np.array([23, 0, 6, 5, 5]), np.array([], dtype=np.int64), np.arange(3, 20, 4)):
        block = pool.take(rows)
        assert np.array_equal(block.image, everything.image[rows])
        assert np.array_equal(block.text, everything.text[rows])
        assert np.array_equal(block.similarities, pool.similarities[rows])
    alone = EncodedPool(part_paths(tmp_path / "parts", "candidates")[2:3])
    assert np.array_equal(alone.take(np.arange(6)).image, everything.image[12:18])
    assert np.array_equal(alone.keys, pool.keys[12:18])
    assert pool.keys.dtype == np.uint64
    ids = pool.sample_ids.to_pylist()
    assert [f"{key:016x}" for key in pool.keys] == [id_[16:] for id_ in ids]
    assert [f"{key:016x}" for key in pool.image_keys] == [id_[:16] for id_ in ids]


def test_the_reference_is_read_back_over_the_same_rows(
    tars: Path, tmp_path: Path, encode: Callable[..., Told], siglip: TargetModel
) -> None:
    sources: dict[str, dict[str, object]] = {"candidates": {"source": [str(tars)]}}
    encode(tmp_path / "both", sources, reference=siglip)
    encode(tmp_path / "alone", sources)
    paths = part_paths(tmp_path / "both", "candidates")
    target, reference = EncodedPool(paths), EncodedPool(paths, "reference")
    assert reference.sample_ids.equals(target.sample_ids)
    assert np.array_equal(reference.keys, target.keys)
    rows = np.array([23, 0, 6, 5])
    alone = EncodedPool(part_paths(tmp_path / "alone", "candidates")).take(rows)
    assert np.array_equal(target.take(rows).image, alone.image)
    seen = reference.take(rows)
    assert seen.image.shape == seen.text.shape == (4, 24)
    cosines = (seen.image * seen.text).sum(axis=1)
    assert np.allclose(seen.similarities[:, 0], cosines, atol=1e-6)
    assert not np.allclose(seen.similarities, alone.similarities, atol=1e-2)


def test_appearances_are_read_back_by_row_over_all_parts(
    tars: Path, tmp_path: Path, encode: Callable[..., Told]
) -> None:
    encode(tmp_path / "parts", {"candidates": {"source": [str(tars)]}})
    paths = part_paths(tmp_path / "parts", "candidates")
    pool = EncodedPool(paths)
    columns = pa.concat_tables([pq.read_table(path) for path in paths])
    rows = np.array([23, 0, 6, 5, 5])
    seen = pool.appearances(rows)
    assert seen.captions == columns["caption"].take(rows).to_pylist()
    assert np.array_equal(seen.form, np.float32(columns["image_form"].take(rows).to_pylist()))
    assert np.array_equal(seen.statistics, np.float32(columns["image_statistics"].take(rows).to_pylist()))
    hashes = pool.perceptual_hashes(rows)
    assert hashes.dtype == np.uint64
    assert hashes.tolist() == columns["perceptual_hash"].take(rows).to_pylist()
    some = np.array([0, 5, 6, 23])
    read = [caption for of_part in pool.captions(some) for caption in of_part]
    assert read == columns["caption"].take(some).to_pylist()
    nothing = pool.appearances(np.array([], dtype=np.int64))
    assert nothing.captions == []
    assert len(nothing.form) == 0


def test_parts_of_a_version_before_these_columns_are_encoded_again(
    tars: Path, tmp_path: Path, encode: Callable[..., Told]
) -> None:
    pools: dict[str, dict[str, object]] = {"candidates": {"source": [str(tars)]}}
    encode(tmp_path / "parts", pools)
    whole = contents(tmp_path / "parts")
    paths = part_paths(tmp_path / "parts", "candidates")
    for path in (paths[0], paths[2]):
        kept = pq.read_table(path).drop_columns(["image_form", "image_statistics", "perceptual_hash"])
        pq.write_table(kept, path)
    unchanged = {path: path.stat().st_mtime_ns for path in (paths[1], paths[3])}
    told = encode(tmp_path / "parts", pools)
    assert contents(tmp_path / "parts") == whole
    assert all(path.stat().st_mtime_ns == time for path, time in unchanged.items())
    assert told[-1] == (1.0, 24, 8, "candidates")


def test_a_pool_without_samples_is_empty(tmp_path: Path) -> None:
    assert len(EncodedPool([])) == 0


def test_many_shards_leave_no_thread_no_open_file_and_no_temporary_file(
    tars: Path, tmp_path: Path, encode: Callable[..., Told]
) -> None:
    pools: dict[str, dict[str, object]] = {"candidates": {"source": [str(tars)]}}
    encode(tmp_path / "first", pools)
    process = psutil.Process()
    open_files = process.num_fds()
    for number in range(8):
        encode(tmp_path / str(number), pools)
    assert process.num_fds() <= open_files
    for thread in threading.enumerate():
        if thread.name.startswith("decode"):
            thread.join(10)
            assert not thread.is_alive()
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_shard_that_is_given_back_is_tried_again_and_in_the_end_left_out(tars: Path) -> None:
    schedule, told = _schedule(tars, None)
    job = schedule.next()
    assert job is not None
    schedule.encoded(job, 3, 1, 4096, lambda left: Pace())
    assert told[-1][1:3] == (3, 1)
    for is_tried_again in (True, True, False):
        assert schedule.give_back(job, "killed") == is_tried_again
        if is_tried_again:
            job = schedule.next()
            assert job is not None
            assert job.shard.index == 0
    assert schedule.failed == {"candidates 0 (0.tar)": "killed"}
    while (left := schedule.next()) is not None:
        schedule.done(left, lambda left: Pace())
    assert schedule.is_done
    assert told[-1][1:3] == (0, 0)


def test_a_pool_with_a_limit_has_one_encoder_at_a_time_and_none_behind_a_shard_that_fails(
    tars: Path,
) -> None:
    schedule, _ = _schedule(tars, 11)
    first = schedule.next()
    assert first is not None
    assert (first.left, schedule.next()) == (11, None)
    schedule.encoded(first, 6, 2, 4096, lambda left: Pace())
    schedule.done(first, lambda left: Pace())
    second = schedule.next()
    assert second is not None
    assert second.left == 3
    schedule.fail(second, "no tar")
    assert schedule.next() is None
    assert schedule.is_done


def _schedule(tars: Path, limit: int | None) -> tuple[Schedule, Told]:
    spec = PoolSpec.model_validate({"source": [str(tars)], "limit": limit})
    told: Told = []

    def tell(fraction: float, samples: int, rejects: int, pool: str, pace: Pace) -> None:
        told.append((fraction, samples, rejects, pool))

    return Schedule({"candidates": plan_shards("candidates", spec)}, {"candidates": spec}, tell), told
