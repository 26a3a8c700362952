"""What a check says in advance is what the engine holds itself to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tui_mia.attacks import classifier, loss, make_attacks, scoring, wsa
from tui_mia.encoder import batch_size, images, parts, stability
from tui_mia.encoder.reuse import Reuse
from tui_mia.evidence import blind, blind_features, roc
from tui_mia.preflight import earlier, limits
from tui_mia.preflight.headers import image_problem
from tui_mia.spec import AttacksSpec


def test_the_limits_are_those_of_the_engine() -> None:
    assert limits.BATCH_SIZE["cpu"] == batch_size.ON_CPU
    assert limits.BATCH_SIZE["cuda"] in batch_size.SIZES
    assert parts.PART_ENTRIES == limits.PART_ENTRIES
    assert stability.ONE_IN == limits.REPEATED_ONE_IN
    assert stability.FEWEST_SAMPLES == limits.FEWEST_REPEATED
    assert stability.SAMPLES == limits.MOST_REPEATED
    assert images.LARGEST_IMAGE_PIXELS == limits.LARGEST_IMAGE_PIXELS
    assert images.LARGEST_ASPECT_RATIO == limits.LARGEST_ASPECT_RATIO
    assert scoring.FOLDS == limits.FOLDS
    assert scoring.BLOCK == limits.BLOCK
    assert wsa.SMALLEST_CLASS == limits.SMALLEST_CLASS
    assert wsa.LARGEST_CLASS == limits.LARGEST_CLASS
    for name, scores in limits.SCORES.items():
        assert len(make_attacks(AttacksSpec.model_validate({name: {}}))) == scores
    assert loss.BANK_SIZE == limits.BANK_SIZE
    assert classifier.BATCH == limits.WSA_BATCH
    assert classifier.STEPS_AN_EPOCH == limits.WSA_STEPS_AN_EPOCH
    assert classifier.HELD_OUT == limits.WSA_HELD_OUT
    assert blind.DRAWN_AT_MOST == limits.BLIND_DRAWN
    assert blind_features.LONGEST_CAPTION == limits.LONGEST_CAPTION
    assert roc.FPR_POINTS == limits.FPR_POINTS
    assert roc.FEWEST_FALSE_POSITIVES == limits.FEWEST_FALSE_POSITIVES


def test_a_run_that_took_over_parts_is_known_by_the_words_of_the_encoder(tmp_path: Path) -> None:
    counts = Reuse(tmp_path, [], {}).counts
    assert counts.summary() is None
    assert (replace(counts, taken=1).summary() or "").endswith(earlier._REUSED)


@pytest.mark.parametrize("size", [(48, 40), (1, 101), (1, 100), (3, 301)])
@pytest.mark.parametrize("image_format", ["PNG", "EPS", "TGA", "JPEG"])
def test_an_image_is_rejected_in_the_words_of_the_encoder(
    image_bytes: Callable[..., bytes], size: tuple[int, int], image_format: str
) -> None:
    content = image_bytes(1, size, image_format=image_format)
    decoded = images.decode(content, lambda image: image)  # type: ignore[arg-type, return-value]
    assert image_problem(content) == (decoded if isinstance(decoded, str) else None)


@pytest.mark.parametrize("content", [b"", b"no image", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff" * 9])
def test_hostile_bytes_are_rejected_in_the_words_of_the_encoder_or_left_to_it(content: bytes) -> None:
    decoded = images.decode(content, lambda image: image)  # type: ignore[arg-type, return-value]
    assert isinstance(decoded, str)
    assert image_problem(content) in (decoded, None)


def test_what_only_decoding_can_tell_is_left_to_it(image_bytes: Callable[..., bytes]) -> None:
    assert image_problem(image_bytes()[:200]) is None
