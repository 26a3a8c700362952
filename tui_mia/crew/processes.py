"""One encoder process a device of this machine; each takes the next shard when it is done with one."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final, TypeAlias

from tui_mia.crew.encoders import CrewError
from tui_mia.crew.loaded import About
from tui_mia.crew.member import Broken, Encoded, Member, Place, Refused, Told
from tui_mia.crew.tally import Tally
from tui_mia.encoder import Job, ModelError, Reencoded, ReuseCounts, Schedule, cpu_identity, other_models
from tui_mia.pools import PoolError, Shard
from tui_mia.runs import Note, RunDirectory
from tui_mia.runs.device_lock import device_lock
from tui_mia.runs.reporter import Reporter
from tui_mia.spec import AuditSpec

# How often in a row an encoder may die without a shard in between.
DEATHS_IN_A_ROW: Final = 2
_PR_SET_PDEATHSIG: Final = 1

_Message: TypeAlias = About | Told | Encoded | Reencoded | Refused | Broken | str


@dataclass
class _Encoder:
    """A process that encodes, and what it is at."""

    place: Place
    process: BaseProcess
    connection: Connection[Any, Any]
    about: About | None = None
    job: Job | None = None
    deaths: int = 0
    last_words: str = ""


class Processes:
    """The models of an audit in a process for each of several places.

    Raises:
        ModelError: if the models can't be loaded.
        CrewError: if no process comes as far.
    """

    def __init__(
        self, spec: AuditSpec, directory: RunDirectory, report: Reporter, places: Sequence[Place]
    ) -> None:
        self.reuse = ReuseCounts()
        self._spec = spec
        self._directory = directory
        self._report = report
        self._tally = Tally(report)
        self._why_gone = ""
        self._reencoded: Reencoded | None = None
        self._encoders = [self._started(place) for place in places]
        try:
            self.about = self._first_about()
        except BaseException:
            self._close()
            raise

    @contextmanager
    def at_work(self) -> Iterator[None]:
        cpu = self.about.device == "cpu"
        lock = device_lock("cpu", cpu_identity(), self._note) if cpu else nullcontext()
        try:
            with lock:
                yield
        finally:
            self._close()

    def encode(self, schedule: Schedule) -> None:
        while not schedule.is_done:
            for encoder in self._encoders:
                if encoder.about and not encoder.job and (job := schedule.next()):
                    encoder.job = job
                    self._ask(encoder, job)
            self._hear(schedule)

    def repeat(self, shards: Sequence[Shard]) -> Reencoded:
        asked: _Encoder | None = None
        while self._reencoded is None:
            if asked not in self._encoders:
                asked = next((each for each in self._encoders if each.about), None)
                if asked:
                    self._ask(asked, list(shards))
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
        by_connection = {encoder.connection: encoder for encoder in self._encoders}
        for connection in wait(list(by_connection)):
            encoder = by_connection[connection]  # type: ignore[index]
            try:
                message: _Message = encoder.connection.recv()
            except (EOFError, OSError):
                self._gone(encoder, schedule)
            else:
                self._see_to(message, encoder, schedule)

    def _see_to(self, message: _Message, encoder: _Encoder, schedule: Schedule | None) -> None:
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
            case Broken():
                encoder.last_words = message.words

    def _tell(self, told: Told, encoder: _Encoder, schedule: Schedule | None) -> None:
        for warning in told.warnings:
            self._note(warning, "warning")
        if schedule is None or encoder.job is None:
            return
        self._tally.hear(encoder.place.name, told)
        schedule.found(encoder.job, told.found_samples, told.found_rejects)
        schedule.encoded(encoder.job, told.samples, told.rejects, told.position, self._tally.pace)

    def _gone(self, encoder: _Encoder, schedule: Schedule | None) -> None:
        """See to it that what a process had in hand is done by another, or by its successor."""
        encoder.process.join()
        why = encoder.last_words or _death(encoder.process.exitcode)
        tried_enough = False
        if schedule is not None and encoder.job is not None:
            tried_enough = not schedule.give_back(encoder.job, why)
        # A shard that kills whoever takes it says nothing against the device.
        encoder.deaths = 0 if tried_enough else encoder.deaths + 1
        if encoder.deaths == DEATHS_IN_A_ROW:
            self._drop(encoder, why)
            return
        self._note(f"{encoder.place.name}: {why}; it is started again", "warning")
        encoder.connection.close()
        again = self._started(encoder.place)
        again.deaths = encoder.deaths
        self._encoders[self._encoders.index(encoder)] = again

    def _drop(self, encoder: _Encoder, why: str) -> None:
        self._encoders.remove(encoder)
        encoder.connection.close()
        self._why_gone = f"{encoder.place.name}: {why}"
        self._tally.lost(encoder.place.name)
        if any(each.about for each in self._encoders):
            self._note(f"{self._why_gone}; the run goes on without it", "warning")

    def _ask(self, encoder: _Encoder, what: object) -> None:
        with suppress(OSError):  # it is gone, which is heard in its turn
            encoder.connection.send(what)

    def _require_the_same_models(self, about: About, encoder: _Encoder) -> None:
        first = next((each.about for each in self._encoders if each.about), None)
        if first and (others := other_models(first.encoding, about.encoding)):
            raise CrewError(
                f"the models that {encoder.place.name} loaded are not those of the others "
                f"({', '.join(others)}); the files were changed meanwhile: start the run again"
            )

    def _started(self, place: Place) -> _Encoder:
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(
            target=_serve,
            args=(theirs, self._spec, self._directory.path, place, os.getpid()),
            daemon=True,
        )
        process.start()
        # With it, the end of the process is the end of what can be read.
        theirs.close()
        self._tally.started(place)
        return _Encoder(place, process, ours)

    def _close(self) -> None:
        for encoder in self._encoders:
            encoder.process.kill()
            encoder.connection.close()
        for encoder in self._encoders:
            encoder.process.join()
        self._encoders.clear()

    def _note(self, message: str, level: Any = "info") -> None:
        self._report.tell(Note(message, level))


def _serve(connection: Connection[Any, Any], spec: AuditSpec, run: Path, place: Place, parent: int) -> None:
    """What a process does: load, and encode what it is given until nobody is there any more."""
    # Two that write the same part would spoil it: an encoder does not outlive whoever asks it.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return
    try:
        try:
            member = Member(spec, run, place)
        except ModelError as error:
            connection.send(Refused(str(error)))
            return
        connection.send(member.about)
        with member.lock(connection.send):
            while True:
                asked = connection.recv()
                try:
                    answer: object
                    if isinstance(asked, Job):
                        answer = member.encode(asked, connection.send)
                    else:
                        answer = member.repeat(asked)
                except (PoolError, ModelError) as error:
                    answer = Refused(str(error))
                connection.send(answer)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except Exception as error:
        traceback.print_exc()
        connection.send(Broken(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"))
    finally:
        connection.close()
        # Not waited for: decoding threads that still run have nothing left to say.
        os._exit(0)


def _death(exitcode: int | None) -> str:
    if exitcode is None or exitcode >= 0:
        return "the process that encodes ended without a word"
    hint = " (as the system does where memory runs out)" if -exitcode == signal.SIGKILL else ""
    return f"the process that encodes was killed by {signal.Signals(-exitcode).name}{hint}"
