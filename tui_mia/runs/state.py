"""What a run's events add up to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from tui_mia.runs.events import (
    Event,
    Finished,
    Launched,
    Loaded,
    Note,
    Progress,
    ReferenceLoaded,
    ShardEncoded,
    Skipped,
    Started,
)

NOTES_KEPT = 200


@dataclass(frozen=True)
class Phase:
    """A phase of an attempt at a run: from its first word to its latest, as seconds since the epoch."""

    name: str
    began: float
    told: float
    samples: int = 0
    rejects: int = 0

    @property
    def seconds(self) -> float:
        return max(0.0, self.told - self.began)


@dataclass(frozen=True)
class RunState:
    """A run as its events tell it; `finished` is None while it goes on, or where its worker died.

    Of the notes the newest are kept: a run that says something of every pair must fill no memory.
    """

    launched: Launched | None = None
    started: Started | None = None
    loaded: Loaded | None = None
    reference: ReferenceLoaded | None = None
    progress: Progress | None = None
    phases: tuple[Phase, ...] = ()
    notes: tuple[Note, ...] = ()
    skipped: dict[str, str] = field(default_factory=dict)
    finished: Finished | None = None

    @classmethod
    def of(cls, events: Iterable[Event]) -> RunState:
        state = cls()
        for event in events:
            state = state.after(event)
        return state

    @property
    def rejects(self) -> int:
        """The pairs that this attempt could not use, over its phases so far."""
        return sum(phase.rejects for phase in self.phases)

    def after(self, event: Event) -> RunState:
        """The state once `event` has happened; a start forgets how the attempt before it ended."""
        match event:
            case Launched():
                return RunState(launched=event)
            case Started():
                return RunState(launched=self.launched, started=event)
            case Loaded():
                return replace(self, loaded=event)
            case ReferenceLoaded():
                return replace(self, reference=event)
            case Progress():
                return replace(self, progress=event, phases=_phases(self.phases, event))
            case ShardEncoded():
                return self
            case Note():
                return replace(self, notes=(*self.notes[1 - NOTES_KEPT :], event))
            case Skipped():
                return replace(self, skipped={**self.skipped, event.attack: event.reason})
            case Finished():
                return replace(self, finished=event)


def _phases(phases: tuple[Phase, ...], event: Progress) -> tuple[Phase, ...]:
    """The phases once `event` was told: its own goes on, or begins where the one before it ends."""
    if phases and phases[-1].name == event.phase:
        last = replace(phases[-1], told=event.time, samples=event.samples, rejects=event.rejects)
        return (*phases[:-1], last)
    ended = tuple(replace(phase, told=event.time) for phase in phases[-1:])
    new = Phase(event.phase, event.time, event.time, event.samples, event.rejects)
    return (*phases[:-1], *ended, new)
