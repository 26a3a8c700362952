"""What the database says about a run, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, Literal, TypeAlias

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"

FALSE_POSITIVE_RATES: Final = ("0.1", "0.01", "0.001")
LOW_P_VALUES: Final = ("0.05", "0.01")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """A row of the table `runs`: one execution of a spec.

    Times carry a time zone. `spec` is TOML, `seconds` is by phase, `skipped`
    gives the reason for each attack that did not run.
    """

    run_id: str
    status: Literal["done", "failed", "cancelled"]
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    architecture: str | None = None
    pretrained: str | None = None
    precision: str | None = None
    device: str | None = None
    weights_sha256: str | None = None
    preprocess_sha256: str | None = None
    tokenizer_sha256: str | None = None
    spec: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None
    run_directory: str | None = None


@dataclass(frozen=True, slots=True)
class RunOverview:
    """A run in a list of runs: its row, the samples in each pool and the AUC of each attack that has one."""

    run: RunRow
    samples: dict[str, int]
    auc: dict[str, float]

    def document(self) -> dict[str, Json]:
        """An entry of `tui-mia runs --json`."""
        return {
            "run_id": self.run.run_id,
            "status": self.run.status,
            "created_at": None if self.run.created_at is None else self.run.created_at.isoformat(),
            "architecture": self.run.architecture,
            "pretrained": self.run.pretrained,
            "samples": {**self.samples},
            "auc": {**self.auc},
        }


def _no_rates() -> dict[str, float | None]:
    return dict.fromkeys(FALSE_POSITIVE_RATES)


@dataclass(frozen=True, slots=True)
class AttackFigures:
    """How well an attack told members from others among the labelled candidates; None where nobody can say.

    `tpr_at_fpr` has the true positive rate at each of `FALSE_POSITIVE_RATES`.
    `facts` are the other numbers an attack reports, such as `pseudo_members`.
    `compared` candidates have p-values; `low_p_values` says how many of them are
    no larger than each of `LOW_P_VALUES`.
    """

    auc: float | None = None
    balanced_accuracy: float | None = None
    tpr_at_fpr: dict[str, float | None] = field(default_factory=_no_rates)
    facts: dict[str, float] = field(default_factory=dict)
    compared: int = 0
    low_p_values: dict[str, int] = field(default_factory=lambda: dict.fromkeys(LOW_P_VALUES, 0))


@dataclass(frozen=True, slots=True)
class RejectReason:
    """Why some of a pool's pairs could not be used, and how many."""

    pool: str | None
    reason: str | None
    count: int


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run at a glance; `reject_reasons` are the most common ones, at most ten."""

    database: Path
    run: RunRow
    samples: dict[str, int]
    rejects: int
    reject_reasons: list[RejectReason]
    attacks: dict[str, AttackFigures]

    def document(self) -> dict[str, Json]:
        """The JSON document of `tui-mia run --json`; null where a figure can't be had, never NaN."""
        return {
            "run_id": self.run.run_id,
            "status": self.run.status,
            "database": str(self.database),
            "run_directory": self.run.run_directory,
            "samples": {**self.samples},
            "rejects": self.rejects,
            "seconds": {**self.run.seconds},
            "attacks": {
                attack: {
                    "auc": figures.auc,
                    "balanced_accuracy": figures.balanced_accuracy,
                    "tpr_at_fpr": {**figures.tpr_at_fpr},
                    "facts": {**figures.facts},
                }
                for attack, figures in self.attacks.items()
            },
            "skipped": {**self.run.skipped},
            "error": self.run.error,
        }
