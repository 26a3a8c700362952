"""What becomes of shards and encoders when some of these die, wherever they are."""

from __future__ import annotations

import tarfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from tui_mia.crew.encoders import CrewError
from tui_mia.crew.loaded import About, ModelFacts
from tui_mia.crew.member import Broken, Encoded, Lost, Message, Place, Refused, Told
from tui_mia.crew.several import Asked, Several
from tui_mia.encoder import Job, ModelError, ReuseCounts, Schedule
from tui_mia.encoder.fingerprint import Fingerprint
from tui_mia.pools import plan_shards
from tui_mia.runs import Note, RunDirectory
from tui_mia.runs.reporter import Reporter
from tui_mia.spec import AuditSpec

ENCODING: dict[str, object] = {
    **{"weights": "1", "structure": "2", "preprocess": "3", "tokenizer": "4", "reference": None},
    **{"precision": "exact", "precision of the reference": None, "device": "cpu"},
    **{"number of threads": 1, "versions": {}, "code of tui-mia": "5"},
}
ENCODED = Encoded(Told(), ReuseCounts())


def about(**others: object) -> About:
    facts = ModelFacts("fp32", Fingerprint("1", "2", "3", "4"), 1.0)
    return About("cpu", facts, None, ENCODING | others)


# What an encoder has to say when it is started, and of each shard; the last is said again and again.
Script = Callable[[Job | None], Message]


class FakeLink:
    def __init__(self, script: Script) -> None:
        self.script = script
        self.says: deque[Message] = deque([script(None)])
        self.is_closed = False

    def ask(self, what: Asked) -> None:
        assert isinstance(what, Job)
        self.says.append(self.script(what))

    def close(self) -> None:
        self.is_closed = True


class FakeTransport:
    """Encoders that do as their scripts say: one a place, in the order in which they are started there."""

    def __init__(self, **scripts: list[Script]) -> None:
        self.places = [Place(name, "cpu", 1, name) for name in scripts]
        self.started: list[FakeLink] = []
        self.is_closed = False
        self._scripts = scripts

    def start(self, place: Place) -> FakeLink:
        scripts = self._scripts[place.name]
        self.started.append(FakeLink(scripts.pop(0) if len(scripts) > 1 else scripts[0]))
        return self.started[-1]

    def wait(self, links: Sequence[FakeLink]) -> Iterator[tuple[FakeLink, Message]]:
        assert any(link.says for link in links), "waits for ever"
        yield from [(link, link.says.popleft()) for link in links if link.says]

    def at_work(self, about: About) -> AbstractContextManager[None]:
        return nullcontext()

    def close(self) -> None:
        assert all(link.is_closed for link in self.started)
        self.is_closed = True


def good(job: Job | None) -> Message:
    return about() if job is None else ENCODED


def refuses(job: Job | None) -> Message:
    return Refused("no such weights")


def breaks_on(index: int, with_: type[Broken] | type[Lost] = Broken) -> Script:
    def script(job: Job | None) -> Message:
        return with_("it broke") if job and index in (job.shard.index, -1) else good(job)

    return script


@pytest.fixture
def spec(tmp_path: Path) -> AuditSpec:
    for name in "abcd":
        tarfile.open(tmp_path / f"{name}.tar", "w").close()
    return AuditSpec.model_validate(
        {
            "model": {"architecture": "local-dir:x"},
            "pools": {"candidates": {"source": [str(tmp_path / f"{name}.tar") for name in "abcd"]}},
            "output": {"database": str(tmp_path / "audits.duckdb")},
        }
    )


@pytest.fixture
def schedule(spec: AuditSpec) -> Schedule:
    shards = {pool: plan_shards(pool, of_pool) for pool, of_pool in spec.pool_specs().items()}
    return Schedule(shards, spec.pool_specs(), lambda *told: None, lambda told: None)


@pytest.fixture
def directory(spec: AuditSpec) -> RunDirectory:
    return RunDirectory.create(spec, "")


@pytest.fixture
def encode(directory: RunDirectory, schedule: Schedule) -> Callable[[FakeTransport], Schedule]:
    def run(transport: FakeTransport) -> Schedule:
        try:
            encoders = Several(Reporter(directory), transport)
            with encoders.at_work():
                encoders.encode(schedule)
        finally:
            assert transport.is_closed
        return schedule

    return run


def notes(directory: RunDirectory) -> list[str]:
    return [event.message for event in directory.events() if isinstance(event, Note)]


Encode = Callable[[FakeTransport], Schedule]


def test_an_encoder_that_dies_is_started_again_and_all_shards_are_done(
    encode: Encode, directory: RunDirectory
) -> None:
    transport = FakeTransport(one=[breaks_on(0), good], two=[good])
    assert encode(transport).is_done
    assert notes(directory) == ["one: it broke; it is started again"]
    assert len(transport.started) == 3


def test_one_whose_machine_is_gone_is_not_started_again(encode: Encode, directory: RunDirectory) -> None:
    transport = FakeTransport(one=[breaks_on(0, Lost)], two=[good])
    schedule = encode(transport)
    assert schedule.is_done
    assert not schedule.failed
    assert notes(directory) == ["one: it broke; the run goes on without it"]
    assert len(transport.started) == 2


def test_without_any_machine_the_run_ends_with_the_reason(encode: Encode) -> None:
    with pytest.raises(CrewError, match=r"no encoder is left: (one|two): it broke"):
        encode(FakeTransport(one=[breaks_on(-1, Lost)], two=[breaks_on(-1, Lost)]))


def test_one_that_dies_twice_in_a_row_is_done_without(encode: Encode, directory: RunDirectory) -> None:
    def dead(job: Job | None) -> Message:
        return Broken("no memory")

    assert encode(FakeTransport(one=[dead], two=[good])).is_done
    assert notes(directory) == [
        "one: no memory; it is started again",
        "one: no memory; the run goes on without it",
    ]


def test_a_shard_that_breaks_whoever_takes_it_is_left_out(encode: Encode) -> None:
    schedule = encode(FakeTransport(one=[breaks_on(2)], two=[breaks_on(2)]))
    assert schedule.failed == {"candidates 2 (c.tar)": "it broke"}


def test_a_model_that_nobody_can_load_ends_the_run_in_its_words(encode: Encode) -> None:
    with pytest.raises(ModelError, match="no such weights"):
        encode(FakeTransport(one=[refuses], two=[refuses]))


def test_encoders_with_other_models_do_not_work_on_one_run(encode: Encode) -> None:
    def other(job: Job | None) -> Message:
        return about(weights="another") if job is None else ENCODED

    with pytest.raises(CrewError, match=r"that two loaded are not those of the others \(weights\)"):
        encode(FakeTransport(one=[good], two=[other]))


def test_another_way_to_encode_is_told_once(encode: Encode, directory: RunDirectory) -> None:
    def other(job: Job | None) -> Message:
        return about(versions={"torch": "1"}) if job is None else ENCODED

    assert encode(FakeTransport(one=[good], two=[other], three=[other])).is_done
    assert notes(directory) == [
        "two has another versions than the others: the last digits of scores may differ"
    ]
