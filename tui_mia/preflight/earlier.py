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
from tui_mia.runs import Launched, RunDirectory
from tui_mia.spec import AuditSpec
from tui_mia.store import RunOverview, StoreError, list_runs

# A run of few pairs times how a model warms up.
FEWEST_PAIRS = 50
WAIT_SECONDS = 1.0
# These take as long for one pair as for many.
_CONSTANT = ("start", "plan", "load")


@dataclass(frozen=True)
class EarlierRuns:
    """Seconds of the encoding a pair and view, for the model alone, and of all that follows it, a sample.

    The median of `runs`.
    """

    runs: int
    seconds_a_view: float
    seconds_after: float


def earlier_runs(
    database: Path, spec: AuditSpec, kind: DeviceKind, reference_share: float
) -> EarlierRuns | None:
    """What the runs of the database say; None where there is none like this one, or no database to be had.

    `reference_share` is what encoding by the reference costs, the model's own being 1.
    """
    if not database.is_file():
        return None
    try:
        overviews = list_runs(database, WAIT_SECONDS)
    except StoreError:  # in use, of another version: the check goes on without it
        return None
    rates = [rate for overview in overviews for rate in _rate(overview, spec, kind, reference_share)]
    if not rates:
        return None
    encode, after = zip(*rates, strict=True)
    return EarlierRuns(len(rates), statistics.median(encode), statistics.median(after))


def _rate(
    overview: RunOverview, spec: AuditSpec, kind: DeviceKind, reference_share: float
) -> Iterator[tuple[float, float]]:
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
    if then.model.precision != spec.model.precision or other_reference or _was_resumed(run.run_directory):
        return
    models = 1 + (reference_share if then.reference is not None else 0.0)
    after = sum(took for phase, took in run.seconds.items() if phase not in (*_CONSTANT, "encode"))
    yield seconds / (pairs * (1 + then.views) * models), after / pairs


def _was_resumed(run_directory: str | None) -> bool:
    """Whether the time is that of a last attempt only, which found some parts done."""
    if run_directory is None:
        return False
    with contextlib.suppress(OSError):
        events = RunDirectory(Path(run_directory)).events()
        return sum(isinstance(event, Launched) for event in events) > 1
    return False
