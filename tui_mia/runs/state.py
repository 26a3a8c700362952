"""What a run's events add up to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from tui_mia.runs.events import Event, Finished, Launched, Loaded, Note, Progress, Skipped, Started


@dataclass(frozen=True)
class RunState:
    """A run as its events tell it; `finished` is None while it goes on, or where its worker died."""

    started: Started | None = None
    loaded: Loaded | None = None
    progress: Progress | None = None
    notes: tuple[Note, ...] = ()
    skipped: dict[str, str] = field(default_factory=dict)
    finished: Finished | None = None

    @classmethod
    def of(cls, events: Iterable[Event]) -> RunState:
        state = cls()
        for event in events:
            state = state.after(event)
        return state

    def after(self, event: Event) -> RunState:
        """The state once `event` has happened; a start forgets how the attempt before it ended."""
        match event:
            case Launched():
                return RunState()
            case Started():
                return RunState(started=event)
            case Loaded():
                return replace(self, loaded=event)
            case Progress():
                return replace(self, progress=event)
            case Note():
                return replace(self, notes=(*self.notes, event))
            case Skipped():
                return replace(self, skipped={**self.skipped, event.attack: event.reason})
            case Finished():
                return replace(self, finished=event)
