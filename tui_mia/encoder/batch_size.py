"""How many pairs go through a model at once.

On a CPU it hardly matters: 32 images keep the cores as busy as 128 do. A GPU is
asked, since what fills it depends on the model, the number format and the card.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

import torch

from tui_mia.encoder.encoding import BATCH_SIZE, SEED, VIEWS
from tui_mia.encoder.model import TargetModel
from tui_mia.encoder.operations import image_side

ON_CPU = 32
SIZES = (32, 64, 128, 256, 512, 1024)
# A batch twice the size has to be so much faster an image, or the smaller one, of half the memory, will do.
WORTH_IT = 1.03
# A larger batch than one that takes so long is filled by any GPU, and would tell of its progress too rarely.
LONGEST_SECONDS = 0.5
_TIMES = 3


def choose_batch_size(
    model: TargetModel, encoding: Mapping[str, object], earlier: Iterable[Mapping[str, object]]
) -> int:
    """32 on a CPU; on a GPU what was found before, else what a probe finds.

    A probe that came out otherwise would have a resumed run mix two sizes, and a
    repeated one encode everything anew. `encoding` is all that goes into the
    embeddings of this run, `earlier` what attempts and runs before wrote down of
    theirs, the newest last.
    """
    if model.device.type == "cpu":
        return ON_CPU
    return found_before(encoding, earlier) or probe(model)


def found_before(encoding: Mapping[str, object], earlier: Iterable[Mapping[str, object]]) -> int | None:
    """The batch of the newest run of those that encode the same, be it with other views."""
    same = [of for of in earlier if _model_and_device(of) == _model_and_device(encoding)]
    found = [size for of in same if isinstance(size := of.get(BATCH_SIZE), int)]
    return found[-1] if found else None


def probe(model: TargetModel, seconds_of: Callable[[TargetModel, int], float] | None = None) -> int:
    """The batch beyond which images go through a model hardly faster; a second or two."""
    seconds_of = seconds_of or _seconds
    best_rate, best_size = 0.0, SIZES[0]
    for size in SIZES:
        try:
            seconds = seconds_of(model, size)
        except torch.OutOfMemoryError:
            break
        if size / seconds < WORTH_IT * best_rate:
            break
        best_rate, best_size = size / seconds, size
        if seconds > LONGEST_SECONDS:
            break
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return best_size


def _model_and_device(encoding: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in encoding.items() if name not in (BATCH_SIZE, VIEWS, SEED)}


def _seconds(model: TargetModel, size: int) -> float:
    """The least seconds that a batch of grey images takes, of a few; the first time is a warm-up."""
    side = image_side(model.network)
    images = torch.full((size, 3, side, side), 0.5, device=model.device)
    took = []
    for _ in range(1 + _TIMES):
        began = time.perf_counter()
        model.encode_images(images).sum().item()  # waits for the device
        took.append(time.perf_counter() - began)
    return min(took[1:])
