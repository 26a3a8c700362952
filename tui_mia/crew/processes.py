"""One encoder process a device of this machine."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final

from tui_mia.crew.loaded import About
from tui_mia.crew.member import Broken, Message, Place, serve
from tui_mia.crew.several import Asked
from tui_mia.encoder import cpu_identity
from tui_mia.runs import Note, RunDirectory
from tui_mia.runs.device_lock import device_lock
from tui_mia.runs.reporter import Reporter
from tui_mia.spec import AuditSpec

_PR_SET_PDEATHSIG: Final = 1


class _Process:
    """A process that encodes, and the pipe to it."""

    def __init__(self, spec: AuditSpec, run: Path, place: Place) -> None:
        self.connection, theirs = multiprocessing.Pipe()
        self._process: BaseProcess = multiprocessing.get_context("spawn").Process(
            target=_serve, args=(theirs, spec, run, place, os.getpid()), daemon=True
        )
        self._process.start()
        # With it, the end of the process is the end of what can be read.
        theirs.close()

    def ask(self, what: Asked) -> None:
        with suppress(OSError):  # it is gone, which is heard in its turn
            self.connection.send(what)

    def hear(self) -> Message:
        try:
            message: Message = self.connection.recv()
        except (EOFError, OSError):
            self._process.join()
            return Broken(_death(self._process.exitcode))
        return message

    def close(self) -> None:
        self._process.kill()
        self._process.join()
        self.connection.close()


class Processes:
    """Encoders in processes of this machine, each at the other end of a pipe."""

    def __init__(
        self, spec: AuditSpec, directory: RunDirectory, report: Reporter, places: Sequence[Place]
    ) -> None:
        self.places = places
        self._spec = spec
        self._run = directory.path
        self._report = report

    def start(self, place: Place) -> _Process:
        return _Process(self._spec, self._run, place)

    def wait(self, links: Sequence[_Process]) -> Iterator[tuple[_Process, Message]]:
        by_connection = {link.connection: link for link in links}
        for connection in wait(list(by_connection)):
            link = by_connection[connection]  # type: ignore[index]
            yield link, link.hear()

    def at_work(self, about: About) -> AbstractContextManager[None]:
        if about.device != "cpu":
            return nullcontext()
        return device_lock("cpu", cpu_identity(), lambda message: self._report.tell(Note(message)))

    def close(self) -> None:
        """Nothing is left once the processes are closed."""


def _serve(connection: Connection[Any, Any], spec: AuditSpec, run: Path, place: Place, parent: int) -> None:
    """What a process does: it is an encoder until nobody is at the other end any more."""
    # Two that write the same part would spoil it: an encoder does not outlive whoever asks it.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return

    def receive() -> Asked:
        with _or_end():
            asked: Asked = connection.recv()
        return asked

    def send(message: Message) -> None:
        with _or_end():
            connection.send(message)

    serve(spec, run, place, receive, send)
    connection.close()
    # Not waited for: decoding threads that still run have nothing left to say.
    os._exit(0)


@contextmanager
def _or_end() -> Iterator[None]:
    """End the process where nobody is at the other end any more."""
    try:
        yield
    except (EOFError, OSError):
        os._exit(0)


def _death(exitcode: int | None) -> str:
    if exitcode is None or exitcode >= 0:
        return "the process that encodes ended without a word"
    hint = " (as the system does where memory runs out)" if -exitcode == signal.SIGKILL else ""
    return f"the process that encodes was killed by {signal.Signals(-exitcode).name}{hint}"
