"""Limits that the engine's rooms hold as their own, which no front end may import; a test compares them."""

from __future__ import annotations

from typing import Final

# encoder
BATCH_SIZE: Final = {"cpu": 32, "cuda": 256}
PART_ENTRIES: Final = 16_384
LARGEST_IMAGE_PIXELS: Final = 100_000_000
LARGEST_ASPECT_RATIO: Final = 100
NOT_DECODED: Final = frozenset({"EPS", "WMF"})
# attacks
FOLDS: Final = 5
SMALLEST_CLASS: Final = 20
LARGEST_CLASS: Final = 100_000
BANK_SIZE: Final = 4096
BLOCK: Final = 4096
# evidence
FPR_POINTS: Final = (0.1, 0.01, 0.001)
FEWEST_FALSE_POSITIVES: Final = 10
