"""How fast earlier runs were with the same model on the same kind of device."""

from __future__ import annotations

import contextlib
import statistics
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from tui_mia.preflight.model import DeviceKind
from tui_mia.runs import Launched, Note, RunDirectory
from tui_mia.spec import AuditSpec
from tui_mia.store import RunOverview, StoreError, list_runs

# A run of few pairs times how a model warms up.
FEWEST_PAIRS = 50
WAIT_SECONDS = 1.0
# These take as long for one pair as for many.
_CONSTANT = ("start", "plan", "load")
# What follows the encoding has parts that don't grow with the pairs: a run of another size says little.
_ABOUT_AS_MANY = 2.0
# How the log of a run ends that took over parts of another: its time is not that of its pairs.
_REUSED = "are reused"


@dataclass(frozen=True)
class EarlierRuns:
    """Seconds until the encoding, of it a pair and view for the model alone, and of what follows, a pair.

    The median of `runs`; `seconds_after` of those with the same attacks and about as
    many pairs, None where there are none.
    """

    runs: int
    seconds_until: float
    seconds_a_view: float
    seconds_after: float | None


@dataclass(frozen=True)
class _Run:
    views: int
    pairs: int
    alike_after: bool
    until: float
    a_view: float
    after: float


def earlier_runs(
    database: Path, spec: AuditSpec, kind: DeviceKind, reference_share: float, pairs: int | None = None
) -> EarlierRuns | None:
    """What the runs of the database say; None where there is none like this one, or no database to be had.

    `reference_share` is what encoding by the reference costs, the model's own being 1; `pairs` is
    how many the audit has, None while that is not known.
    """
    if not database.is_file():
        return None
    try:
        overviews = list_runs(database, WAIT_SECONDS)
    except StoreError:  # in use, of another version: the check goes on without it
        return None
    runs = [run for overview in overviews for run in _run(overview, spec, kind, reference_share)]
    # Decoding and captions are no part of a view.
    runs = [run for run in runs if run.views == spec.views] or runs
    if not runs:
        return None
    after = [
        run.after
        for run in runs
        if run.alike_after and (pairs is None or 1 / _ABOUT_AS_MANY <= pairs / run.pairs <= _ABOUT_AS_MANY)
    ]
    return EarlierRuns(
        len(runs),
        statistics.median(run.until for run in runs),
        statistics.median(run.a_view for run in runs),
        statistics.median(after) if after else None,
    )


def _run(overview: RunOverview, spec: AuditSpec, kind: DeviceKind, reference_share: float) -> Iterator[_Run]:
    run, pairs = overview.run, sum(overview.samples.values())
    seconds = run.seconds.get("encode")
    if run.status != "done" or not seconds or pairs < FEWEST_PAIRS or run.spec is None:
        return
    if run.architecture != spec.model.architecture or (run.device or "").partition(":")[0] != kind:
        return
    try:
        then = AuditSpec.model_validate(tomllib.loads(run.spec))
    except (ValidationError, tomllib.TOMLDecodeError):
        return
    other_reference = then.reference is not None and (
        spec.reference is None or then.reference.architecture != spec.reference.architecture
    )
    if then.model.precision != spec.model.precision or other_reference or _not_whole(run.run_directory):
        return
    models = 1 + (reference_share if then.reference is not None else 0.0)
    after = sum(took for phase, took in run.seconds.items() if phase not in (*_CONSTANT, "encode"))
    yield _Run(
        views=then.views,
        pairs=pairs,
        alike_after=then.attacks == spec.attacks and (then.reference is None) == (spec.reference is None),
        until=sum(run.seconds.get(phase, 0.0) for phase in _CONSTANT),
        a_view=seconds / (pairs * (1 + then.views) * models),
        after=after / pairs,
    )


def _not_whole(run_directory: str | None) -> bool:
    """Whether the time is of some of its parts only: others were there, from an attempt or a run before."""
    if run_directory is None:
        return False
    with contextlib.suppress(OSError):
        events = RunDirectory(Path(run_directory)).events()
        resumed = sum(isinstance(event, Launched) for event in events) > 1
        return resumed or any(isinstance(event, Note) and event.message.endswith(_REUSED) for event in events)
    return False
