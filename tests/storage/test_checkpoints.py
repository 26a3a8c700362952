"""Checkpoints by URL: fetched once, whole, by nobody else to be read."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch

from tests.encoder.conftest import CLIP, save_model
from tui_mia.encoder import ModelError, load_target
from tui_mia.encoder.checkpoints import checkpoints_folder, fetched_checkpoint
from tui_mia.spec import ModelSpec
from tui_mia.storage import Url


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A checkpoint of the architecture `stored`, which open_clip knows; and a cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "model"
    save_model(folder, CLIP)
    (tmp_path / "stored.json").write_text(json.dumps(CLIP))
    open_clip.add_model_config(tmp_path / "stored.json")
    return (folder / "open_clip_model.safetensors").read_bytes()


def spec(url: str) -> ModelSpec:
    return ModelSpec(architecture="stored", pretrained=url, device="cpu")


def files() -> list[Path]:
    """What is in the cache, but for the locks."""
    return sorted(path for path in checkpoints_folder().iterdir() if path.suffix != ".lock")


def test_a_checkpoint_is_fetched_once_and_again_when_it_has_changed(
    s3: Any, between: Any, weights: bytes, tmp_path: Path
) -> None:
    url = s3.put("pool/weights.safetensors", weights)
    local = load_target(ModelSpec(architecture=f"local-dir:{tmp_path / 'model'}", device="cpu"))
    for _ in range(2):
        assert load_target(spec(url)).fingerprint.weights == local.fingerprint.weights
    assert len(between.ranges()) == 1
    [path] = files()
    assert path.read_bytes() == weights
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0
    save_model(tmp_path / "another", CLIP, seed=1)
    s3.put("pool/weights.safetensors", (tmp_path / "another" / "open_clip_model.safetensors").read_bytes())
    assert load_target(spec(url)).fingerprint.weights != local.fingerprint.weights
    assert len(files()) == 2


def test_a_checkpoint_of_which_a_server_tells_nothing_but_the_size_is_fetched_each_time(
    web: Any, weights: bytes
) -> None:
    web.files["/weights.safetensors"] = weights
    web.tags = False
    for _ in range(2):
        load_target(spec(f"{web.endpoint}/weights.safetensors"))
    assert len(files()) == 1
    assert web.asked.count("/weights.safetensors") > 6


def test_a_checkpoint_that_may_carry_code_is_not_loaded(s3: Any, weights: bytes, tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "ran",)

    torch.save({"state_dict": Payload()}, tmp_path / "evil.pt")
    url = s3.put("pool/evil.pt", (tmp_path / "evil.pt").read_bytes())
    with pytest.raises(
        ModelError, match=r"stored s3://pool/evil.pt: the checkpoint is not a plain file of weights"
    ):
        load_target(spec(url))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("status", "words"),
    [(404, "there is no such object"), (403, "access is refused"), (500, "the server fails")],
)
def test_a_checkpoint_that_can_t_be_had_is_an_error_in_words(
    status: int, words: str, s3: Any, between: Any, weights: bytes
) -> None:
    url = s3.put("pool/weights.safetensors", weights)
    between.fault = lambda asked: status
    with pytest.raises(ModelError, match=f"^stored s3://pool/weights.safetensors: {words}"):
        load_target(spec(url))


def test_a_connection_that_breaks_leaves_nothing_half_fetched(
    s3: Any, between: Any, weights: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = s3.put("pool/weights.safetensors", weights)
    between.fault = lambda asked: "cut" if asked.range else None
    with pytest.raises(ModelError, match="the server does not answer"):
        load_target(spec(url))
    assert files() == []


def test_a_full_disk_is_told_with_what_to_do(
    s3: Any, weights: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = s3.put("pool/weights.safetensors", weights)

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("tui_mia.encoder.checkpoints.shutil.copyfileobj", full)
    with pytest.raises(ModelError) as error:
        load_target(spec(url))
    assert f"it can't be kept on this machine: {checkpoints_folder()}: there is no space left: " in str(
        error.value
    )
    assert str(error.value).endswith("make space, or let XDG_CACHE_HOME name a folder elsewhere")
    assert files() == []


def test_what_a_killed_process_left_half_fetched_is_removed_and_what_one_is_at_is_not(
    s3: Any, weights: bytes
) -> None:
    url = s3.put("pool/weights.safetensors", weights)
    checkpoints_folder().mkdir(parents=True)
    left, held = checkpoints_folder() / "a.1.tmp", checkpoints_folder() / "b.2.tmp"
    left.touch()
    with held.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        load_target(spec(url))
    assert held in files()
    assert left not in files()


def test_the_name_in_the_cache_does_not_come_from_the_url(s3: Any, weights: bytes) -> None:
    url = s3.put("pool/..%2f..%2fweights.safetensors", weights)
    load_target(spec(url))
    [path] = files()
    assert path.parent == checkpoints_folder()
    assert len(path.stem) == 32
    assert Url(url).suffix == path.suffix


def test_a_check_fetches_no_weights_and_knows_those_that_are_here(
    s3: Any, between: Any, weights: bytes
) -> None:
    from tui_mia.model_cost import _is_elsewhere, _model

    url = s3.put("pool/weights.safetensors", weights)
    assert _is_elsewhere(spec(url))
    assert _model(spec(url), "model").fingerprint.weights == ""
    assert between.ranges() == []
    loaded = load_target(spec(url))
    assert not _is_elsewhere(spec(url))
    assert _model(spec(url), "model").fingerprint == loaded.fingerprint


def test_of_several_that_load_a_checkpoint_one_fetches_it(s3: Any, between: Any, weights: bytes) -> None:
    url = s3.put("pool/weights.safetensors", weights)
    with ThreadPoolExecutor(4) as threads:
        [path] = set(threads.map(fetched_checkpoint, [Url(url)] * 4))
    assert path.read_bytes() == weights
    assert len(between.ranges()) == 1
