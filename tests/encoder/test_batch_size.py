"""How many pairs go through a model at once: what fills a GPU, and the same for all attempts."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tui_mia.encoder import TargetModel, batch_size
from tui_mia.encoder.batch_size import choose_batch_size, probe


@pytest.fixture
def on_gpu(clip: TargetModel) -> TargetModel:
    """A model that says that it is on a GPU, which nothing here asks for anything."""
    return replace(clip, device=torch.device("cuda:0"))


@pytest.mark.parametrize(("filled_by", "size"), [(32, 32), (100, 128), (256, 256), (5000, 1024)])
def test_the_smallest_batch_that_fills_the_device_is_taken(
    clip: TargetModel, filled_by: int, size: int
) -> None:
    assert probe(clip, lambda model, images: max(images, filled_by) * 1e-5) == size


def test_a_batch_that_the_device_has_no_memory_for_is_not_taken(clip: TargetModel) -> None:
    def seconds_of(model: TargetModel, images: int) -> float:
        if images > 128:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return 0.01

    assert probe(clip, seconds_of) == 128


def test_a_slow_model_is_not_asked_for_long(clip: TargetModel) -> None:
    asked: list[int] = []

    def seconds_of(model: TargetModel, images: int) -> float:
        asked.append(images)
        return 0.3 + images / 1000

    assert probe(clip, seconds_of) == 256
    assert asked == [32, 64, 128, 256]


def test_a_probe_runs_the_model_itself(clip: TargetModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_size, "SIZES", (2, 4))
    assert probe(clip) in (2, 4)


def test_on_a_cpu_nothing_is_probed(clip: TargetModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(batch_size, "probe")
    assert choose_batch_size(clip, {}, []) == 32


def test_a_resumed_or_repeated_run_takes_what_was_found_before(
    on_gpu: TargetModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_size, "probe", lambda model: 64)
    earlier: list[dict[str, object]] = [
        {"weights": "a", "batch size": 512},
        {"weights": "a", "views": 8, "batch size": 256},
        {"weights": "b"},
    ]
    assert choose_batch_size(on_gpu, {"weights": "a", "batch size": 0}, earlier) == 256
    assert choose_batch_size(on_gpu, {"weights": "b"}, earlier) == 64
    assert choose_batch_size(on_gpu, {"weights": "c"}, earlier) == 64
