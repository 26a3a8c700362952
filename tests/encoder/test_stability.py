"""Samples that are encoded again, in another order and other batches."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from tests.encoder.conftest import encode_pools
from tui_mia.encoder import EncodedPool, Reencoded, TargetModel, part_paths, reencode, stability
from tui_mia.encoder.fast_paths import encode_texts
from tui_mia.pools import Shard, plan_shards
from tui_mia.spec import AuditSpec, ModelSpec

Make = Callable[[Sequence[int]], AuditSpec]
Reencode = Callable[..., Reencoded]


@pytest.fixture
def make_tars(tmp_path: Path, image_bytes: Callable[..., bytes]) -> Make:
    """The spec of candidates in tars of so many entries; the third entry of each is no image."""

    def make(sizes: Sequence[int]) -> AuditSpec:
        number = 0
        for shard, size in enumerate(sizes):
            with tarfile.open(tmp_path / f"{shard:02}.tar", "w") as tar:
                for row in range(size):
                    number += 1
                    image = b"no image" if row == 2 else image_bytes(number, size=(40 + number % 7, 40))
                    for ending, content in (("png", image), ("txt", f"no {number}".encode())):
                        member = tarfile.TarInfo(f"{number}.{ending}")
                        member.size = len(content)
                        tar.addfile(member, io.BytesIO(content))
        pools = {"candidates": {"source": [str(tmp_path / "*.tar")]}}
        return AuditSpec.model_validate(
            {"model": {"architecture": "x"}, "pools": pools, "attacks": {"aea": {"views": 2}}}
        )

    return make


def shards_of(spec: AuditSpec) -> list[Shard]:
    return plan_shards("candidates", spec.pools.candidates)


def encode(spec: AuditSpec, model: TargetModel, folder: Path, batch_size: int = 4) -> EncodedPool:
    folder.mkdir()
    encode_pools(spec, {"candidates": shards_of(spec)}, model, batch_size, folder, lambda *_: None)
    return EncodedPool(part_paths(folder, "candidates"))


def again(spec: AuditSpec, model: TargetModel, folder: Path, batch_size: int = 4) -> Reencoded:
    return reencode(shards_of(spec), spec.pools.candidates, folder, model, 2, 0, batch_size)


def test_the_same_model_sees_the_same_in_another_order_and_other_batches(
    make_tars: Make, clip: TargetModel, tmp_path: Path
) -> None:
    spec = make_tars([9, 5])
    pool = encode(spec, clip, tmp_path / "parts")
    found = again(spec, clip, tmp_path / "parts")
    assert sorted(found.sample_ids) == sorted(pool.sample_ids.to_pylist())
    assert found.sample_ids != pool.sample_ids.to_pylist()
    assert found.missing == 0
    rows = [pool.sample_ids.to_pylist().index(name) for name in found.sample_ids]
    np.testing.assert_array_equal(found.stored.similarities, pool.similarities[rows])
    assert found.stored.image.shape == found.again.image.shape == (12, 16)
    np.testing.assert_allclose(found.again.similarities, found.stored.similarities, atol=1e-5)
    np.testing.assert_allclose(found.again.text, found.stored.text, atol=1e-5)


def test_another_model_is_found_out(
    make_tars: Make, clip: TargetModel, make_model: Callable[..., ModelSpec], tmp_path: Path
) -> None:
    from tui_mia.encoder import load_target

    spec = make_tars([9])
    encode(spec, clip, tmp_path / "parts")
    found = again(spec, load_target(make_model("clip", seed=1)), tmp_path / "parts")
    assert np.abs(found.again.similarities - found.stored.similarities).max() > 0.01


def test_samples_are_chosen_by_content_from_shards_spread_over_the_pool(
    make_tars: Make, clip: TargetModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stability, "FEWEST_SAMPLES", 8)
    spec = make_tars([8] * 6)
    pool = encode(spec, clip, tmp_path / "parts")
    found = again(spec, clip, tmp_path / "parts")
    ids = np.array(pool.sample_ids.to_pylist()).reshape(6, 7)
    lowest = [name for shard in (0, 2, 3, 5) for name in sorted(ids[shard], key=lambda name: name[16:])[:2]]
    assert found.sample_ids == sorted(lowest, key=lambda name: name[16:])


def test_no_more_is_read_again_than_the_front_of_a_shard(
    make_tars: Make, clip: TargetModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stability, "FROM_THE_FRONT", 4)
    spec = make_tars([20])
    pool = encode(spec, clip, tmp_path / "parts")
    (path,) = tmp_path.glob("*.tar")
    with path.open("r+b") as file:
        # The fifth sample is the sixth entry; what comes after it is gone.
        file.truncate(6 * 2 * 1024 + 512)
    found = again(spec, clip, tmp_path / "parts")
    assert set(found.sample_ids) == set(pool.sample_ids.to_pylist()[:4])
    assert found.missing == 0


def test_batches_are_of_another_size_and_no_larger(
    make_tars: Make, clip: TargetModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stability, "FEWEST_SAMPLES", 128)
    sizes: list[int] = []

    class Noting:
        def encode_text(self, tokens: Tensor) -> Tensor:
            return encode_texts(clip.network, tokens)

        def encode_image(self, images: Tensor) -> Tensor:
            sizes.append(len(images))
            result: Tensor = clip.network.encode_image(images)  # type: ignore[operator]
            return result

    spec = make_tars([20])
    encode(spec, clip, tmp_path / "parts", batch_size=6)
    again(spec, replace(clip, network=Noting()), tmp_path / "parts", batch_size=6)  # type: ignore[arg-type]
    assert set(sizes) == {2, 1}


def test_what_is_no_longer_there_is_counted(make_tars: Make, clip: TargetModel, tmp_path: Path) -> None:
    spec = make_tars([9])
    encode(spec, clip, tmp_path / "parts")
    make_tars([4])
    found = again(spec, clip, tmp_path / "parts")
    assert len(found.sample_ids) == 3
    assert found.missing == 5


def test_where_nothing_was_encoded_nothing_is_encoded_again(
    make_tars: Make, clip: TargetModel, tmp_path: Path
) -> None:
    spec = make_tars([3])
    found = again(spec, clip, tmp_path)
    assert found.sample_ids == []
    assert found.missing == 0
    assert len(found.again) == len(found.stored) == 0


def test_one_sample_in_so_many_is_encoded_again(
    make_tars: Make, clip: TargetModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stability, "ONE_IN", 2)
    monkeypatch.setattr(stability, "FEWEST_SAMPLES", 1)
    spec = make_tars([21])
    encode(spec, clip, tmp_path / "parts")
    assert len(again(spec, clip, tmp_path / "parts").sample_ids) == 10
    monkeypatch.setattr(stability, "SAMPLES", 4)
    assert len(again(spec, clip, tmp_path / "parts").sample_ids) == 4
