"""Runs of every kind, in real databases, with the pictures that they were made from."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.store.conftest import Rows, run_row, write_rows
from tui_mia.pools import sample_id
from tui_mia.spec import AuditSpec, PoolSpec, PoolsSpec, ReferenceSpec
from tui_mia.spec.audit_spec import ModelSpec
from tui_mia.spec.writing import dump_spec
from tui_mia.store import ingest

StoreRun = Callable[..., Path]

HOSTILE = (
    "</style><script>alert(1)</script>\x1b[31m<img src=x onerror=alert(2)>"
    " {{ 7*7 }} \u202e| `tick` @someone\n# x"
)
ATTACKS = ("csa", "wsa_rich")
LEAK = "leak"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "audits.duckdb"


@pytest.fixture
def store_run(tmp_path: Path, database: Path) -> StoreRun:
    """Put a run into the database as `run-a` and return the database.

    `labelled` candidates and `nonmembers` decide what there is to compare;
    `outcome` is the verdict of the run and of csa, None for none.
    """

    def make(
        *,
        labelled: bool = True,
        nonmembers: int = 20,
        outcome: str | None = LEAK,
        captions: Callable[[int], str] = lambda number: f"a photo of {number} things",
        checks: Rows | None = None,
        reference: bool = False,
        attacks: tuple[str, ...] = ATTACKS,
        **columns: Any,
    ) -> Path:
        spec = _spec(tmp_path, reference)
        rows = _rows(tmp_path / "pictures", labelled, nonmembers, captions, attacks)
        rows["checks"] = [_check(**check) for check in (_checks() if checks is None else checks)]
        rows["verdicts"] = _verdicts(outcome, attacks)
        tables = write_rows(tmp_path / "run" / "tables", **rows)
        versions = {"python": "3.11.7", "tui-mia": "0.1.0"}
        row = {
            "spec": dump_spec(spec),
            "seconds": {"encode": 65.0},
            "versions": versions,
            "architecture": "ViT-B-32",
            "weights_sha256": "5a" * 32,
        }
        ingest(database, run_row(**{**row, **columns}), tables)
        return database

    return make


def picture(number: int) -> bytes:
    """A JPEG of a colour of its own, with EXIF and a comment that are nobody's business."""
    image = Image.new("RGB", (300, 200), (number * 37 % 256, number * 91 % 256, 120))
    exif = Image.Exif()
    exif[0x010E] = "secret place"
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", exif=exif, comment=b"secret comment")
    return buffer.getvalue()


def _spec(folder: Path, reference: bool) -> AuditSpec:
    return AuditSpec(
        model=ModelSpec(architecture="ViT-B-32"),
        pools=PoolsSpec(candidates=PoolSpec(source=[str(folder / "pictures")])),
        reference=ReferenceSpec(architecture="RN50") if reference else None,
    )


def _rows(
    folder: Path,
    labelled: bool,
    nonmembers: int,
    captions: Callable[[int], str],
    attacks: tuple[str, ...],
) -> dict[str, Rows]:
    folder.mkdir()
    random = np.random.default_rng(5)
    samples: Rows = []
    scores: Rows = []
    for number in range(40 + nonmembers):
        is_candidate = number < 40
        image, caption = picture(number), captions(number)
        if is_candidate:
            (folder / f"{number:05}.jpg").write_bytes(image)
        identity = sample_id(image, caption)
        samples.append(
            {
                "sample_id": identity,
                "pool": "candidates" if is_candidate else "nonmembers",
                "key": f"{number:05}",
                "source": str(folder),
                "caption": caption,
                "member": number % 2 == 0 if is_candidate and labelled else None,
                "width": 300,
                "height": 200,
            }
        )
        for attack in attacks:
            score = float(random.normal(is_candidate and number % 2 == 0))
            compared = is_candidate and nonmembers > 0
            scores.append(
                {
                    "sample_id": identity,
                    "attack": attack,
                    "score": score,
                    "p_value": max(1 / (nonmembers + 1), 0.5 - score / 6) if compared else None,
                    "q_value": 0.2 if compared else None,
                }
            )
    pools: Rows = [
        {"pool": "candidates", "source": str(folder), "fingerprint": "c0" * 32, "samples": 40, "rejects": 2}
    ]
    if nonmembers:
        pools.append({"pool": "nonmembers", "source": "recent.tar", "samples": nonmembers, "rejects": 0})
    kinds = _labelled_figures() if labelled else _group_figures() if nonmembers else {}
    metrics: Rows = [
        {"attack": attack, "metric": metric, "value": value, "low": low, "high": high, "n": 40}
        for attack in attacks
        for metric, (value, low, high) in kinds.items()
    ]
    rejects = [{"pool": "candidates", "source": "x", "key": key, "reason": "not an image"} for key in "ab"]
    return {"pools": pools, "samples": samples, "scores": scores, "metrics": metrics, "rejects": rejects}


def _labelled_figures() -> dict[str, tuple[float | None, float | None, float | None]]:
    return {
        "auc": (0.74, 0.61, 0.84),
        "auc_adjusted": (0.71, 0.55, 0.83),
        "auc_above_blind": (0.21, 0.05, 0.37),
        "balanced_accuracy": (0.7, None, None),
        "tpr_at_fpr_0.1": (0.3, 0.1, 0.6),
        "tpr_at_fpr_0.01": (None, None, None),
        "tpr_at_fpr_0.001": (None, None, None),
        "tpr_at_p_0.1": (0.25, 0.09, 0.49),
        "fpr_at_p_0.1": (0.1, 0.01, 0.32),
        "bank": (16, None, None),
    }


def _group_figures() -> dict[str, tuple[float | None, float | None, float | None]]:
    return {
        "group_auc": (0.66, 0.53, 0.77),
        "group_p_value": (0.0123, None, None),
        "member_share": (None, 0.125, None),
        "survivors_fdr_0.05": (3, None, None),
        "survivors_fdr_0.1": (7, None, None),
    }


def _checks() -> Rows:
    return [
        {"check": "power", "value": 0.7, "outcome": "underpowered", "words": "20 against 20 are too few."},
        {"check": "blind_all", "value": 0.53, "low": 0.35, "high": 0.71, "words": "No more than chance."},
        {"check": "negative_control", "attack": "csa", "value": 0.5, "words": "As it must be."},
        {
            "check": "duplicates_within_candidates",
            "value": 2.0,
            "outcome": "note",
            "words": "2 of 40 samples.",
        },
    ]


def _check(**check: Any) -> dict[str, Any]:
    return {"attack": None, "value": None, "low": None, "high": None, "n": 40, "outcome": "ok", **check}


def _verdicts(outcome: str | None, attacks: tuple[str, ...]) -> Rows:
    if outcome is None:
        return []
    reasons = [f"{attacks[0]}: AUC 0.740 (0.610 to 0.840), above chance."]
    of_attacks: Rows = [{"attack": attack, "outcome": outcome, "reasons": ["because"]} for attack in attacks]
    return [{"attack": None, "outcome": outcome, "reasons": reasons}, *of_attacks]
