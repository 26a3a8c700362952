"""Limits that the engine's rooms hold as their own, which no front end may import; a test compares them."""

from __future__ import annotations

from typing import Final

# encoder; what fills a GPU is found when a run starts, and this is what is assumed of it
BATCH_SIZE: Final = {"cpu": 32, "cuda": 256}
PART_ENTRIES: Final = 16_384
REPEATED_ONE_IN: Final = 32
FEWEST_REPEATED: Final = 16
MOST_REPEATED: Final = 128
LARGEST_IMAGE_PIXELS: Final = 100_000_000
LARGEST_ASPECT_RATIO: Final = 100
# attacks
FOLDS: Final = 5
SMALLEST_CLASS: Final = 20
LARGEST_CLASS: Final = 100_000
BANK_SIZE: Final = 4096
BLOCK: Final = 4096
SCORES: Final = {"csa": 1, "aea": 3, "wsa": 2, "loss": 1}
WSA_BATCH: Final = 32
WSA_STEPS_AN_EPOCH: Final = 512
WSA_HELD_OUT: Final = 0.1
# evidence
BLIND_DRAWN: Final = 62_500
LONGEST_CAPTION: Final = 500
FPR_POINTS: Final = (0.1, 0.01, 0.001)
FEWEST_FALSE_POSITIVES: Final = 10
