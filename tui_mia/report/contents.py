"""What a report is made of, before it is a document."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tui_mia.spec import AuditSpec
from tui_mia.store import RocCurve, RunSummary, ScoreHistogram
from tui_mia.store.pool_rows import PoolRow


@dataclass(frozen=True, slots=True)
class Include:
    """What may travel with the report, and how many samples are shown."""

    pictures: bool = True
    captions: bool = True
    samples: int = 12


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A small picture as a data URI, in pixels."""

    uri: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class NoThumbnail:
    """Why a picture is not shown."""

    reason: str


@dataclass(frozen=True, slots=True)
class ExposedSample:
    """A candidate and where it stands; `label` is what the pool says of it, `caption` None if left out.

    `rank` 1 is the highest of `of` scores. `picture` is None where none was asked for.
    """

    number: int
    key: str
    caption: str | None
    label: bool | None
    score: float
    p_value: float | None
    q_value: float | None
    rank: int
    of: int
    picture: Thumbnail | NoThumbnail | None


@dataclass(frozen=True, slots=True)
class Report:
    """All that is told of a run; curves and histograms with the attack that decided first.

    `decided_by` is the attack that the verdict of the run rests on, None where nothing was scored.
    """

    summary: RunSummary
    spec: AuditSpec | None
    pools: list[PoolRow]
    decided_by: str | None
    curves: list[RocCurve]
    histograms: list[ScoreHistogram]
    exposed: list[ExposedSample]
    include: Include
    made_at: datetime

    @property
    def is_labelled(self) -> bool:
        """Whether members are compared with non-members, by labels that the candidates came with."""
        return any(figures.auc is not None for figures in self.summary.attacks.values())

    @property
    def is_group(self) -> bool:
        """Whether candidates are compared as a group with known non-members."""
        return not self.is_labelled and any(
            "group_auc" in figures.figures for figures in self.summary.attacks.values()
        )

    @property
    def has_p_values(self) -> bool:
        """Whether any candidate has a p-value."""
        return any(figures.compared for figures in self.summary.attacks.values())
