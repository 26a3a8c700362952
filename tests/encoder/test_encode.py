"""One pass over a shard."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import Tensor

from tui_mia.encoder import TargetModel
from tui_mia.encoder.appearance import appearance
from tui_mia.encoder.encode import encode_shard
from tui_mia.encoder.fast_paths import encode_texts
from tui_mia.image_formats import OF_NO_KNOWN_FORMAT
from tui_mia.pools import Pair, Reject, sample_id


def similarities(samples: Any) -> np.ndarray[Any, Any]:
    return np.array(samples["similarities"].to_pylist())


def test_a_row_says_what_the_sample_is_and_how_the_model_sees_it(
    clip: TargetModel, make_pairs: Callable[..., list[Pair]]
) -> None:
    first, *rest = make_pairs(5)
    first = replace(first, member=True, metadata={"url": "http://a.example/ä"})
    samples, rejects = encode_shard([first, *rest], clip, views=3, view_seed=0, batch_size=2)
    assert rejects.num_rows == 0
    assert samples["sample_id"].to_pylist() == [
        sample_id(pair.image, pair.caption) for pair in (first, *rest)
    ]
    row = samples.slice(0, 1).to_pylist()[0]
    assert (row["key"], row["source"], row["caption"]) == (first.key, first.source, first.caption)
    assert (row["member"], row["width"], row["height"]) == (True, 48, 40)
    assert json.loads(row["metadata"]) == first.metadata
    assert samples["member"].to_pylist()[1:] == [None] * 4
    assert samples["metadata"].to_pylist()[1:] == [None] * 4
    image, text = (np.array(samples[f"{kind}_embedding"].to_pylist()) for kind in ("image", "text"))
    assert np.allclose(np.linalg.norm(image, axis=1), 1, atol=1e-5)
    assert np.allclose(similarities(samples)[:, 0], (image * text).sum(axis=1), atol=1e-6)
    assert similarities(samples).shape == (5, 4)
    assert np.abs(similarities(samples)).max() <= 1 + 1e-6


class _Counting:
    """A network that notes which captions and how many images it is asked for."""

    def __init__(self, model: TargetModel) -> None:
        self.network = model.network
        self.captions: list[int] = []
        self.images: list[int] = []

    def encode_text(self, tokens: Tensor) -> Tensor:
        self.captions.append(len(tokens))
        return encode_texts(self.network, tokens)

    def encode_image(self, images: Tensor) -> Tensor:
        self.images.append(len(images))
        result: Tensor = self.network.encode_image(images)  # type: ignore[operator]
        return result


def test_each_distinct_caption_and_each_image_is_encoded_once(
    clip: TargetModel, make_pairs: Callable[..., list[Pair]]
) -> None:
    pairs = make_pairs(12)
    counting = _Counting(clip)
    encode_shard(pairs, replace(clip, network=counting), 2, 0, batch_size=4)  # type: ignore[arg-type]
    assert sum(counting.captions) == len({pair.caption for pair in pairs}) == 4
    assert counting.images == [4, 4, 4] * 3


def test_captions_of_one_image_share_its_plain_view(
    clip: TargetModel, make_pairs: Callable[..., list[Pair]]
) -> None:
    pairs = [replace(make_pairs(1)[0], caption=f"caption {number}") for number in range(4)]
    counting = _Counting(clip)
    encode_shard(pairs, replace(clip, network=counting), 1, 0, batch_size=4)  # type: ignore[arg-type]
    assert counting.images == [1, 4]


def test_the_size_of_batches_changes_next_to_nothing(
    clip: TargetModel, make_pairs: Callable[..., list[Pair]]
) -> None:
    found = [
        similarities(encode_shard(make_pairs(11), clip, 5, 0, batch_size)[0]) for batch_size in (1, 4, 32)
    ]
    for other in found[1:]:
        assert np.abs(found[0] - other).max() < 1e-5


def test_encoding_again_gives_the_same_bytes(
    clip: TargetModel, make_pairs: Callable[..., list[Pair]]
) -> None:
    first, second = (encode_shard(make_pairs(6), clip, 2, 0, 4)[0] for _ in range(2))
    assert first.equals(second)


def test_rejects_of_the_pool_and_of_the_decoder_are_told_apart_from_samples(
    clip: TargetModel, make_pairs: Callable[..., list[Pair]]
) -> None:
    good = make_pairs(4)
    items: Sequence[Pair | Reject] = [
        Reject("bad", "pairs.tar", "no caption", 1),
        good[0],
        replace(good[1], image=b"no image", key="broken"),
        *good[2:],
    ]
    told: list[tuple[int, int, int]] = []
    samples, rejects = encode_shard(items, clip, 0, 0, 2, lambda *batch: told.append(batch))
    assert samples.num_rows == 3
    assert rejects.to_pylist() == [
        {"source": "pairs.tar", "key": "bad", "reason": "no caption"},
        {"source": "pairs.tar", "key": "broken", "reason": f"image {OF_NO_KNOWN_FORMAT}"},
    ]
    assert told == [(1, 1, 1), (1, 1, 3), (1, 0, 4)]


@pytest.mark.parametrize("usable", [0, 3])
def test_an_embedding_that_is_not_finite_is_a_reject(
    usable: int, clip: TargetModel, make_pairs: Callable[..., list[Pair]]
) -> None:
    class Overflowing(_Counting):
        def encode_image(self, images: Tensor) -> Tensor:
            result = super().encode_image(images)
            result[usable:] = float("nan")
            return result

    model = replace(clip, network=Overflowing(clip))  # type: ignore[arg-type]
    samples, rejects = encode_shard(make_pairs(5), model, 1, 0, batch_size=5)
    assert samples.num_rows == usable
    assert rejects["reason"].to_pylist() == ["the model's embedding is not finite"] * (5 - usable)


OF_MODEL = ("similarities", "image_embedding", "text_embedding")


def test_a_reference_is_encoded_beside_the_target_as_each_is_alone(
    clip: TargetModel, siglip: TargetModel, make_pairs: Callable[..., list[Pair]]
) -> None:
    """To the last bit: a reference changes nothing of the target, and is seen as if it were one."""
    both, rejects = encode_shard(make_pairs(7), clip, 5, 3, 4, reference=siglip)
    target, reference = (encode_shard(make_pairs(7), model, 5, 3, 4)[0] for model in (clip, siglip))
    assert rejects.num_rows == 0
    assert both.select(target.column_names).equals(target)
    for name in OF_MODEL:
        assert both[f"reference_{name}"].equals(reference[name])
    assert both["reference_image_embedding"].type.list_size == 24
    assert set(both.column_names) == {*target.column_names, *(f"reference_{name}" for name in OF_MODEL)}


def test_each_image_and_each_distinct_caption_is_encoded_once_by_each_model(
    clip: TargetModel, siglip: TargetModel, make_pairs: Callable[..., list[Pair]]
) -> None:
    counting = [_Counting(model) for model in (clip, siglip)]
    models = [
        replace(model, network=counter)  # type: ignore[arg-type]
        for model, counter in zip((clip, siglip), counting, strict=True)
    ]
    encode_shard(make_pairs(12), models[0], 2, 0, 4, reference=models[1])
    for counter in counting:
        assert sum(counter.captions) == 4
        assert counter.images == [4, 4, 4] * 3


def test_an_embedding_of_the_reference_that_is_not_finite_is_a_reject_that_says_so(
    clip: TargetModel, siglip: TargetModel, make_pairs: Callable[..., list[Pair]]
) -> None:
    class Overflowing(_Counting):
        def __init__(self, model: TargetModel, broken: list[int]) -> None:
            super().__init__(model)
            self.broken = broken

        def encode_image(self, images: Tensor) -> Tensor:
            result = super().encode_image(images)
            result[self.broken] = float("nan")
            return result

    target = replace(clip, network=Overflowing(clip, [1, 2]))  # type: ignore[arg-type]
    reference = replace(siglip, network=Overflowing(siglip, [2, 3]))  # type: ignore[arg-type]
    told: list[tuple[int, int, int]] = []
    samples, rejects = encode_shard(
        make_pairs(5), target, 1, 0, 5, lambda *batch: told.append(batch), reference
    )
    assert samples["key"].to_pylist() == ["00000", "00004"]
    assert [(row["key"], row["reason"]) for row in rejects.to_pylist()] == [
        ("00001", "the model's embedding is not finite"),
        ("00002", "the model's embedding is not finite"),
        ("00003", "the reference model's embedding is not finite"),
    ]
    # That a model overflows is known when the shard is done.
    assert told == [(5, 0, 5), (-3, 3, 5)]


def test_a_row_says_what_its_image_looks_like(
    clip: TargetModel, make_pairs: Callable[..., list[Pair]]
) -> None:
    pairs = make_pairs(5)
    samples, _ = encode_shard(pairs, clip, 0, 0, 2)
    for row, pair in zip(samples.to_pylist(), pairs, strict=True):
        opened = Image.open(io.BytesIO(pair.image))
        expected = appearance(opened, pair.image, opened.convert("RGB"))
        np.testing.assert_array_equal(np.float32(row["image_form"]), expected.form)
        np.testing.assert_array_equal(np.float32(row["image_statistics"]), expected.statistics)
        assert row["perceptual_hash"] == expected.perceptual_hash


def test_a_shard_without_a_pair_gives_an_empty_table(clip: TargetModel, siglip: TargetModel) -> None:
    samples, rejects = encode_shard([], clip, 2, 0, 4)
    assert (samples.num_rows, rejects.num_rows) == (0, 0)
    beside, _ = encode_shard([], clip, 2, 0, 4, reference=siglip)
    assert beside.column_names == [*samples.column_names, *(f"reference_{name}" for name in OF_MODEL)]


def test_what_is_known_of_other_pairs_is_not_taken_for_these(
    clip: TargetModel, make_pairs: Callable[..., list[Pair]]
) -> None:
    """As where a file was written anew between two runs, or while it is read."""
    pairs = make_pairs(6)
    earlier, _ = encode_shard(pairs, clip, 1, 0, 2)
    known = earlier.slice(0, 3)
    changed = [*pairs[:2], replace(pairs[2], caption="another"), *pairs[3:]]
    alone, _ = encode_shard(changed, clip, 2, 0, 2)
    samples, _ = encode_shard(changed, clip, 2, 0, 2, known=known)
    assert samples["sample_id"] == alone["sample_id"]
    assert np.allclose(similarities(samples), similarities(alone), atol=1e-6)
    same, _ = encode_shard(pairs, clip, 2, 0, 2)
    assert encode_shard(pairs, clip, 2, 0, 2, known=earlier)[0].equals(same)
