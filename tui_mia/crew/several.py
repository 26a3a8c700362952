"""Several encoders that are as one: each takes the next shard when it is done with one.

What becomes of a message, of a shard whose encoder died and of the encoder itself is decided here,
wherever they are; how they are started, asked and heard is a `Transport`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Final, Generic, Literal, Protocol, TypeAlias, TypeVar

from tui_mia.crew.encoders import CrewError
from tui_mia.crew.loaded import About
from tui_mia.crew.member import Broken, Encoded, Lost, Message, Place, Refused, Told
from tui_mia.crew.tally import Tally
from tui_mia.encoder import Job, ModelError, Reencoded, ReuseCounts, Schedule, other_models, other_ways
from tui_mia.pools import Shard
from tui_mia.runs import Note
from tui_mia.runs.reporter import Reporter

# How often in a row an encoder may die without a shard in between.
DEATHS_IN_A_ROW: Final = 2

Asked: TypeAlias = Job | list[Shard]


class Link(Protocol):
    """One encoder, as whoever hands out the shards has it."""

    def ask(self, what: Asked) -> None:
        """Give it a shard to encode, or some to repeat; whether it lives is heard in its turn."""
        ...

    def close(self) -> None:
        """Make an end of it, whatever it is at."""
        ...


LinkT = TypeVar("LinkT", bound=Link)


class Transport(Protocol[LinkT]):
    """Where encoders are and how they are reached."""

    @property
    def places(self) -> Sequence[Place]: ...

    def start(self, place: Place) -> LinkT: ...

    def wait(self, links: Sequence[LinkT]) -> Iterable[tuple[LinkT, Message]]:
        """What some of them say, as soon as one does; the last of one that is gone is `Broken` or `Lost`."""
        ...

    def at_work(self, about: About) -> AbstractContextManager[None]:
        """Within it the devices are this run's, where the encoders do not see to that themselves."""
        ...

    def close(self) -> None:
        """Make an end of what the encoders were started with, once they are closed."""
        ...


@dataclass
class _Encoder(Generic[LinkT]):
    """An encoder, and what it is at."""

    place: Place
    link: LinkT
    about: About | None = None
    job: Job | None = None
    deaths: int = 0


class Several(Generic[LinkT]):
    """The models of an audit at each of several places.

    Raises:
        ModelError: if the models can't be loaded.
        CrewError: if no encoder comes as far.
    """

    def __init__(self, report: Reporter, transport: Transport[LinkT]) -> None:
        self.reuse = ReuseCounts()
        self._report = report
        self._transport = transport
        self._tally = Tally(report)
        self._why_gone = ""
        self._ways: set[str] = set()
        self._reencoded: Reencoded | None = None
        self._encoders: list[_Encoder[LinkT]] = []
        try:
            for place in transport.places:
                self._encoders.append(self._started(place))
            self.about = self._first_about()
        except BaseException:
            self._close()
            raise

    @contextmanager
    def at_work(self) -> Iterator[None]:
        try:
            with self._transport.at_work(self.about):
                yield
        finally:
            self._close()

    def encode(self, schedule: Schedule) -> None:
        while not schedule.is_done:
            for encoder in self._encoders:
                if encoder.about and not encoder.job and (job := schedule.next()):
                    encoder.job = job
                    encoder.link.ask(job)
            self._hear(schedule)

    def repeat(self, shards: Sequence[Shard]) -> Reencoded:
        asked: _Encoder[LinkT] | None = None
        while self._reencoded is None:
            if asked not in self._encoders:
                asked = next((each for each in self._encoders if each.about), None)
                if asked:
                    asked.link.ask(list(shards))
            self._hear(None)
        return self._reencoded

    def _first_about(self) -> About:
        """What the first says that is ready: the others may take longer, or not come at all."""
        while True:
            for encoder in self._encoders:
                if encoder.about:
                    return encoder.about
            self._hear(None)

    def _hear(self, schedule: Schedule | None) -> None:
        """Wait for what encoders have to say, and see to it."""
        if not self._encoders:
            raise CrewError(f"no encoder is left: {self._why_gone}")
        for link, message in self._transport.wait([encoder.link for encoder in self._encoders]):
            encoder = next((each for each in self._encoders if each.link is link), None)
            if encoder:
                self._see_to(message, encoder, schedule)

    def _see_to(self, message: Message, encoder: _Encoder[LinkT], schedule: Schedule | None) -> None:
        match message:
            case str():
                self._note(message)
            case About():
                self._require_the_same_models(message, encoder)
                encoder.about = message
            case Told():
                self._tell(message, encoder, schedule)
            case Encoded():
                self._tell(message.told, encoder, schedule)
                self.reuse += message.reuse
                encoder.deaths = 0
                assert schedule is not None
                assert encoder.job is not None
                schedule.done(encoder.job, self._tally.pace)
                encoder.job = None
            case Reencoded():
                self._reencoded = message
            case Refused() if encoder.about is None:
                # It is for the words of the model itself, which are the same everywhere.
                self._drop(encoder, message.words)
                if not self._encoders:
                    raise ModelError(message.words)
            case Refused() if schedule is not None and encoder.job is not None:
                self._note(message.words, "warning")
                schedule.fail(encoder.job, message.words)
                encoder.job = None
            case Refused():
                raise CrewError(message.words)
            case Broken() | Lost():
                self._gone(encoder, message, schedule)

    def _tell(self, told: Told, encoder: _Encoder[LinkT], schedule: Schedule | None) -> None:
        for warning in told.warnings:
            self._note(warning, "warning")
        if schedule is None or encoder.job is None:
            return
        self._tally.hear(encoder.place.name, told)
        schedule.found(encoder.job, told.found_samples, told.found_rejects)
        schedule.encoded(encoder.job, told.samples, told.rejects, told.position, self._tally.pace)

    def _gone(self, encoder: _Encoder[LinkT], message: Broken | Lost, schedule: Schedule | None) -> None:
        """See to it that what an encoder had in hand is done by another, or by its successor."""
        tried_enough = False
        if schedule is not None and encoder.job is not None:
            tried_enough = not schedule.give_back(encoder.job, message.words)
        # A shard that kills whoever takes it says nothing against the device.
        deaths = 0 if tried_enough else encoder.deaths + 1
        if isinstance(message, Lost) or deaths == DEATHS_IN_A_ROW:
            self._drop(encoder, message.words)
            return
        self._note(f"{encoder.place.name}: {message.words}; it is started again", "warning")
        encoder.link.close()
        again = self._started(encoder.place)
        again.deaths = deaths
        self._encoders[self._encoders.index(encoder)] = again

    def _drop(self, encoder: _Encoder[LinkT], why: str) -> None:
        self._encoders.remove(encoder)
        encoder.link.close()
        self._why_gone = f"{encoder.place.name}: {why}"
        self._tally.lost(encoder.place.name)
        if any(each.about for each in self._encoders):
            self._note(f"{self._why_gone}; the run goes on without it", "warning")

    def _require_the_same_models(self, about: About, encoder: _Encoder[LinkT]) -> None:
        first = next((each.about for each in self._encoders if each.about), None)
        if first is None:
            return
        if others := other_models(first.encoding, about.encoding):
            raise CrewError(
                f"the models that {encoder.place.name} loaded are not those of the others "
                f"({', '.join(others)}); the files were changed meanwhile, or are not the same on all "
                f"machines: mend that and start the run again"
            )
        if ways := set(other_ways(first.encoding, about.encoding)) - self._ways:
            self._ways |= ways
            self._note(
                f"{encoder.place.name} has another {', '.join(sorted(ways))} than the others: "
                f"the last digits of scores may differ",
                "warning",
            )

    def _started(self, place: Place) -> _Encoder[LinkT]:
        self._tally.started(place)
        return _Encoder(place, self._transport.start(place))

    def _close(self) -> None:
        for encoder in self._encoders:
            encoder.link.close()
        self._encoders.clear()
        self._transport.close()

    def _note(self, message: str, level: Literal["info", "warning"] = "info") -> None:
        self._report.tell(Note(message, level))
