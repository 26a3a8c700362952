"""One encoder a GPU of a Ray cluster, or one a share of its CPUs; the only module that imports Ray.

Actors have the run directory and the pairs on paths that all machines share. Only descriptions
of shards and what is told of them go through Ray.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, chdir, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from tui_mia.crew.encoders import CrewError
from tui_mia.crew.finding_ray import LOCAL, ray_address
from tui_mia.crew.loaded import About
from tui_mia.crew.member import Broken, Lost, Message, Place, serve
from tui_mia.crew.several import Asked
from tui_mia.encoder.machine import cores
from tui_mia.network import environment_of
from tui_mia.private import keep_private
from tui_mia.runs import Note, RunDirectory
from tui_mia.runs.files import private_folder
from tui_mia.runs.reporter import Reporter
from tui_mia.spec import AuditSpec

# Only descriptions of shards go through it; the least that Ray takes is 75 MB.
_OBJECT_STORE_BYTES: Final = 100 * 2**20
# So long a signal may wait to be heard.
_SECONDS_A_WAIT: Final = 0.2
_SECONDS_UNTIL_A_NOTE: Final = 30.0
_SECONDS_BETWEEN_LOOKS: Final = 2.0
_SECONDS_TO_CONNECT: Final = 10.0
# Of the path of a socket the system takes 107 bytes, of which Ray needs about 70 below its folder.
_LONGEST_BASE: Final = 16
_FOLDER: Final = "tui-mia-ray-"


@dataclass(frozen=True)
class _Node:
    """A machine of the cluster and what Ray has of it to give."""

    id: str
    name: str
    cpus: int
    gpus: int


class _Actor:
    """An encoder in an actor: one thread encodes, while others take and give messages."""

    def __init__(self, spec: AuditSpec, run: Path, place: Place) -> None:
        keep_private()
        self._asked: SimpleQueue[Asked] = SimpleQueue()
        self._said: SimpleQueue[Message] = SimpleQueue()
        arguments = (spec, run, place, self._asked.get, self._said.put)
        threading.Thread(target=serve, args=arguments, daemon=True).start()

    def ask(self, what: Asked) -> None:
        self._asked.put(what)

    def hear(self) -> list[Message]:
        """What there is to tell; waits until there is something."""
        messages = [self._said.get()]
        while not self._said.empty():
            messages.append(self._said.get())
        return messages


class _Link:
    """An actor, and the call in which it is listened to."""

    def __init__(self, actor: Any, node: _Node) -> None:
        self.node = node
        self._actor = actor
        self.heard = actor.hear.remote()

    def ask(self, what: Asked) -> None:
        self._actor.ask.remote(what)

    def hear(self) -> list[Message]:
        """What it has said; that it is gone where it can't be reached."""
        try:
            messages: list[Message] = ray.get(self.heard)
            self.heard = self._actor.hear.remote()
        except RayError as error:
            return [Broken(_words(error))]
        return messages

    def close(self) -> None:
        with suppress(RayError):  # it is gone with its machine
            ray.kill(self._actor)


class RayActors:
    """Encoders in actors of a Ray cluster; each belongs to one of its machines.

    Raises:
        CrewError: if there is no such cluster, or it has nothing to encode with.
    """

    def __init__(self, spec: AuditSpec, directory: RunDirectory, report: Reporter) -> None:
        self._spec = spec
        self._run = directory.path
        self._report = report
        self._own_folder = ExitStack()
        self._nodes: Mapping[str, _Node] = {}
        # Nobody has spoken yet; None once somebody has, or it was told.
        self._silent_since: float | None = time.monotonic()
        self._looked_at = 0.0
        try:
            self._connect()
            self.places = self._find_places(directory.writer)
        except BaseException:
            self.close()
            raise

    def start(self, place: Place) -> _Link:
        node = self._nodes[place.name]
        is_gpu = place.device != "cpu"
        actor = ray.remote(_Actor).options(
            num_cpus=0 if is_gpu else place.threads,
            num_gpus=1 if is_gpu else 0,
            max_concurrency=2,
            max_restarts=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False),
            runtime_env={"env_vars": self._environment()},
        )
        return _Link(actor.remote(self._spec, self._run, place), node)

    def wait(self, links: Sequence[_Link]) -> Iterator[tuple[_Link, Message]]:
        by_call = {link.heard: link for link in links}
        while not self._any_has_spoken(by_call):
            if lost := self._lost(links):
                yield from lost
                return
        said, _ = ray.wait(list(by_call), num_returns=len(by_call), timeout=0)
        for call in said:
            link = by_call[call]
            for message in link.hear():
                yield link, message

    def at_work(self, about: About) -> AbstractContextManager[None]:
        """Ray gives each GPU and CPU to one; who is not of the cluster is kept off a GPU by its actor."""
        return nullcontext()

    def close(self) -> None:
        ray.shutdown()
        # What it does not let go of, the next one removes.
        with suppress(OSError):
            self._own_folder.close()

    def _connect(self) -> None:
        address = ray_address(self._spec)
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        if address == LOCAL:
            # Ray opens its own folder to everybody: it is in a private one.
            private = self._own_folder.enter_context(private_folder(_temporary_folder(), _FOLDER))
            options |= {
                "num_cpus": cores(),
                "object_store_memory": _OBJECT_STORE_BYTES,
                "include_dashboard": False,
                "_temp_dir": str(private / "ray"),
            }
        else:
            _require_an_answer(address)
        before = signal.getsignal(signal.SIGTERM)
        try:
            # Actors look for modules in the current folder: in this one there are none.
            with chdir(self._run):
                ray.init(address, **options)
        except (RayError, RuntimeError, OSError, ValueError) as error:
            raise CrewError(f"run.address: no Ray at {address}: {_first_line(error)}") from error
        except SystemExit:
            # Ray has its own way to hear that it should stop.
            signal.signal(signal.SIGTERM, before)
            signal.raise_signal(signal.SIGTERM)
            raise
        finally:
            signal.signal(signal.SIGTERM, before)

    def _find_places(self, writer: str) -> list[Place]:
        nodes = _alive_nodes()
        wish, most = self._spec.model.device, self._spec.run.actors
        with_gpus = [] if wish == "cpu" else [node for node in nodes if node.gpus]
        if wish == "cuda" and not with_gpus:
            raise CrewError("model.device: no machine of the Ray cluster has a GPU")
        threads, places, numbers = self._spec.run.threads, list[Place](), Counter[str]()
        named: dict[str, _Node] = {}
        for node in with_gpus or nodes:
            if with_gpus:
                share = threads or max(1, node.cpus // node.gpus)
                of_node = [("cuda:0", share)] * node.gpus
            else:
                share = threads or node.cpus
                of_node = [("cpu", share)] * (node.cpus // share if share else 0)
            for device, share in of_node:
                # Machines may have the same name: numbers go on.
                numbers[node.name] += 1
                name = f"{node.name}-{numbers[node.name]}"
                places.append(Place(name, device, share, f"{writer}-{name}" if writer else name))
                named[name] = node
        if not places:
            most_cpus = max((node.cpus for node in nodes), default=0)
            raise CrewError(
                f"no machine of the Ray cluster has a GPU, or {threads or 1} CPUs for an actor "
                f"(the largest has {most_cpus}); lower run.threads, or add machines"
            )
        self._nodes = named
        return places[:most]

    def _environment(self) -> dict[str, str]:
        """What an actor has in its environment before anything is loaded."""
        return environment_of(self._spec) | {"OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE")}

    def _any_has_spoken(self, calls: Mapping[Any, _Link]) -> bool:
        said, _ = ray.wait(list(calls), num_returns=1, timeout=_SECONDS_A_WAIT)
        if said:
            self._silent_since = None
        elif self._silent_since and time.monotonic() - self._silent_since > _SECONDS_UNTIL_A_NOTE:
            self._silent_since = None
            first = self.places[0]
            needs = f"{first.threads} CPU" if first.device == "cpu" else "a GPU"
            told = f"still waiting for Ray: {len(calls)} actors need {needs} each, which others may be using"
            self._report.tell(Note(told))
        return bool(said)

    def _lost(self, links: Sequence[_Link]) -> list[tuple[_Link, Message]]:
        """Those whose machine is gone: where Ray was to start them there again, it says nothing of that."""
        if time.monotonic() - self._looked_at < _SECONDS_BETWEEN_LOOKS:
            return []
        self._looked_at = time.monotonic()
        there = {node.id for node in _alive_nodes()}
        return [
            (link, Lost(f"{link.node.name} is not in the Ray cluster any more"))
            for link in links
            if link.node.id not in there
        ]


def _alive_nodes() -> list[_Node]:
    found: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [_node(each) for each in found if each["Alive"]]


def _node(found: Mapping[str, Any]) -> _Node:
    resources = found["Resources"]
    name = re.sub(r"[^A-Za-z0-9_.-]", "-", found["NodeManagerHostname"])
    return _Node(found["NodeID"], name, int(resources.get("CPU", 0)), int(resources.get("GPU", 0)))


def _require_an_answer(address: str) -> None:
    """Raise `CrewError` where nobody answers: Ray itself would try for minutes, or end the process."""
    host, _, port = address.rpartition(":")
    if not host or "://" in address or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _SECONDS_TO_CONNECT).close()
    except (OSError, OverflowError) as error:
        raise CrewError(
            f"run.address: nothing answers at {address} ({error}); `ray status` on a machine of the "
            f"cluster says where it is"
        ) from error


def _temporary_folder() -> Path:
    base = Path(tempfile.gettempdir())
    return base if len(os.fsencode(base)) <= _LONGEST_BASE else Path("/tmp")


def _words(error: RayError) -> str:
    """How an actor ended: the first sentence of the last line, where Ray does not yet describe itself."""
    last = str(error).strip().splitlines()[-1]
    first = last.partition(" Worker exit type")[0].partition(". ")[0].rstrip(".")
    return f"the actor that encodes is gone: {first}"


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
