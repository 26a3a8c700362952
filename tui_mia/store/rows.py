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
# Figures that every attack may have; whatever else it says is a fact of its fit.
COMPARED_FIGURES: Final = (
    "auc_adjusted",
    "auc_above_blind",
    "auc_above_reference",
    "auc_without_duplicates",
    "group_auc",
    "group_p_value",
    "member_share",
    "survivors_fdr_0.05",
    "survivors_fdr_0.1",
    *(f"{side}_at_p_{rate}" for rate in FALSE_POSITIVE_RATES for side in ("tpr", "fpr")),
)
BLIND: Final = "blind_"


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
    reference: str | None = None
    reference_weights_sha256: str | None = None
    spec: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None
    run_directory: str | None = None


@dataclass(frozen=True, slots=True)
class RunOverview:
    """A run in a list of runs: its row, samples by pool, the AUC of each attack that has one, its verdict."""

    run: RunRow
    samples: dict[str, int]
    auc: dict[str, float]
    outcome: str | None = None

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
            "verdict": self.outcome,
        }


@dataclass(frozen=True, slots=True)
class Figure:
    """A number, the ends of its 95 % interval as far as there are any, and of how many samples it is."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int | None = None

    @property
    def interval(self) -> list[Json] | None:
        """Both ends, or None."""
        return None if self.low is None or self.high is None else [self.low, self.high]

    def document(self) -> dict[str, Json]:
        return {"value": self.value, "low": self.low, "high": self.high, "n": self.n}


@dataclass(frozen=True, slots=True)
class VerdictRow:
    """What follows from the figures, and why: sentences, the most important first."""

    outcome: str
    reasons: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Json]:
        return {"outcome": self.outcome, "reasons": [*self.reasons]}


@dataclass(frozen=True, slots=True)
class CheckRow:
    """A test of whether the scores can be trusted, of an attack or of the run.

    `outcome` is `ok`, `note`, or what is wrong: `shift`, `defect`, `underpowered`, `unstable`.
    """

    check: str
    attack: str | None
    value: float | None
    low: float | None
    high: float | None
    n: int | None
    outcome: str
    words: str

    def document(self) -> dict[str, Json]:
        return {name: getattr(self, name) for name in self.__slots__}


def _no_rates() -> dict[str, float | None]:
    return dict.fromkeys(FALSE_POSITIVE_RATES)


@dataclass(frozen=True, slots=True)
class AttackFigures:
    """How well an attack told members from others among the labelled candidates; None where nobody can say.

    `tpr_at_fpr` has the true positive rate at each of `FALSE_POSITIVE_RATES`.
    `facts` are the other numbers an attack reports, such as `pseudo_members`.
    `compared` candidates have p-values; `low_p_values` says how many of them are
    no larger than each of `LOW_P_VALUES`. `figures` has the AUC and the rates once
    more, and all of `COMPARED_FIGURES` that there are, with their intervals.
    """

    auc: float | None = None
    balanced_accuracy: float | None = None
    tpr_at_fpr: dict[str, float | None] = field(default_factory=_no_rates)
    facts: dict[str, float] = field(default_factory=dict)
    compared: int = 0
    low_p_values: dict[str, int] = field(default_factory=lambda: dict.fromkeys(LOW_P_VALUES, 0))
    figures: dict[str, Figure] = field(default_factory=dict)
    verdict: VerdictRow | None = None

    @property
    def compared_auc(self) -> Figure | None:
        """The AUC of members against non-members; without labels, of candidates against known non-members."""
        return self.figures.get("auc") or self.figures.get("group_auc")

    def document(self) -> dict[str, Json]:
        """An attack in `tui-mia run --json`."""
        auc, adjusted = self.compared_auc, self.figures.get("auc_adjusted")
        others = [name for name in COMPARED_FIGURES if name in self.figures and name != "auc_adjusted"]
        return {
            "auc": self.auc,
            "interval": auc.interval if auc else None,
            "adjusted_auc": adjusted.value if adjusted else None,
            "adjusted_interval": adjusted.interval if adjusted else None,
            "balanced_accuracy": self.balanced_accuracy,
            "tpr_at_fpr": {**self.tpr_at_fpr},
            "tpr_intervals": {
                rate: self.figures[f"tpr_at_fpr_{rate}"].interval
                for rate in self.tpr_at_fpr
                if f"tpr_at_fpr_{rate}" in self.figures
            },
            "figures": {name: self.figures[name].document() for name in others},
            "facts": {**self.facts},
            "verdict": self.verdict.outcome if self.verdict else None,
            "reasons": [*self.verdict.reasons] if self.verdict else [],
        }


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
    verdict: VerdictRow | None = None
    checks: list[CheckRow] = field(default_factory=list)

    @property
    def blind(self) -> dict[str, CheckRow]:
        """What the blind baselines found, by name."""
        return {
            check.check.removeprefix(BLIND): check for check in self.checks if check.check.startswith(BLIND)
        }

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
            "verdict": self.verdict.document() if self.verdict else None,
            "attacks": {attack: figures.document() for attack, figures in self.attacks.items()},
            "blind": {
                name: {"auc": check.value, "interval": Figure(check.value, check.low, check.high).interval}
                for name, check in self.blind.items()
            },
            "checks": [check.document() for check in self.checks],
            "skipped": {**self.run.skipped},
            "error": self.run.error,
        }
