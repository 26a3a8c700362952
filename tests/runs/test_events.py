"""Events: written, read, and followed line by line."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_mia.runs import (
    Event,
    Finished,
    Launched,
    Loaded,
    Note,
    Phase,
    Progress,
    ReferenceLoaded,
    RunState,
    Skipped,
    Started,
)
from tui_mia.runs.events import (
    append_event,
    decode_event,
    encode_event,
    last_attempt,
    read_events,
    read_last_event,
)
from tui_mia.runs.state import NOTES_KEPT

EVENTS: list[Event] = [
    Launched(),
    Started(17, {"torch": "2"}),
    Loaded("cuda:0", "fp16", "a", "b", "c"),
    ReferenceLoaded("fp32", "a", "b", "c"),
    Progress(
        "encode", 0.25, 10, 1, 3.5, 2.0, "candidates", "cuda:0", 2**30, None, 21.0, 24.5, 0.375, "decoding"
    ),
    Note("watch\x1b[2J out\n[bold]", "warning"),
    Skipped("wsa", "needs known non-members"),
    Finished("failed", "no\nmore", {"encode": 1.5}),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_is_one_line_and_reads_back_as_it_was(event: Event) -> None:
    line = encode_event(event)
    assert "\n" not in line
    assert line.isascii()
    assert decode_event(line) == event


@given(message=st.text())
def test_any_text_survives_also_half_a_surrogate_pair(message: str) -> None:
    note = Note(message)
    assert decode_event(encode_event(note).encode().decode()) == note


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{",
        '{"event": "fin',
        "null",
        "[]",
        "3",
        "{}",
        '{"event": "exploded"}',
        '{"event": ["a"]}',
        '{"event": "note"}',
    ],
)
def test_a_line_that_is_no_event_is_none(line: str) -> None:
    assert decode_event(line) is None


def test_what_a_later_version_added_to_an_event_is_passed_over() -> None:
    assert decode_event('{"event": "note", "message": "a", "colour": "red", "time": 1}') == Note("a", time=1)


def test_progress_of_an_earlier_version_says_nothing_of_the_speed_of_encoding() -> None:
    line = '{"event": "progress", "phase": "encode", "fraction": 0.5, "per_second": 3.0, "time": 1}'
    assert decode_event(line) == Progress("encode", 0.5, per_second=3.0, time=1)
    assert Progress("encode", 0.5).bottleneck is None


def test_an_event_after_a_torn_line_is_on_a_line_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    append_event(path, EVENTS[1])
    with path.open("a") as file:
        file.write('{"event": "progress", "fra')
    append_event(path, EVENTS[-1])
    assert read_events(path) == [EVENTS[1], EVENTS[-1]]


def test_bytes_that_are_not_utf8_cost_only_their_line(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    append_event(path, EVENTS[1])
    with path.open("ab") as file:
        file.write(b'{"event": "\xff\x00\n')
    append_event(path, EVENTS[-1])
    assert read_events(path) == [EVENTS[1], EVENTS[-1]]


def test_a_run_without_events_has_none(tmp_path: Path) -> None:
    assert read_events(tmp_path / "events.jsonl") == []
    assert last_attempt(tmp_path / "events.jsonl") == 0


def test_the_latest_attempt_begins_at_its_launch(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    for event in (Launched(), Finished("cancelled"), Note("torn"), Launched(), Note("a")):
        append_event(path, event)
    rest = path.read_bytes()[last_attempt(path) :].decode().splitlines()
    assert [type(decode_event(line)) for line in rest] == [Launched, Note]


def test_a_state_is_what_the_events_add_up_to() -> None:
    state = RunState.of(EVENTS)
    found: dict[str, Any] = {field.name: getattr(state, field.name) for field in dataclasses.fields(state)}
    assert found == {
        "launched": EVENTS[0],
        "started": EVENTS[1],
        "loaded": EVENTS[2],
        "reference": EVENTS[3],
        "progress": EVENTS[4],
        "phases": (Phase("encode", EVENTS[4].time, EVENTS[4].time, 10, 1),),
        "notes": (EVENTS[5],),
        "skipped": {"wsa": "needs known non-members"},
        "finished": EVENTS[7],
    }


def test_a_phase_lasts_until_the_next_one_or_its_latest_word() -> None:
    told = [("encode", 0, 0, 10.0), ("encode", 8, 2, 14.0), ("sort", 0, 0, 15.0), ("sort", 0, 1, 15.5)]
    state = RunState.of(Progress(name, 0.5, samples, rejects, time=at) for name, samples, rejects, at in told)
    assert state.phases == (Phase("encode", 10.0, 15.0, 8, 2), Phase("sort", 15.0, 15.5, 0, 1))
    assert [phase.seconds for phase in state.phases] == [5.0, 0.5]
    assert state.rejects == 3


def test_of_many_notes_the_newest_are_kept() -> None:
    state = RunState.of(Note(str(number)) for number in range(3 * NOTES_KEPT))
    assert [note.message for note in state.notes] == [str(n) for n in range(2 * NOTES_KEPT, 3 * NOTES_KEPT)]


def test_a_launch_of_an_older_version_chose_no_gpu() -> None:
    assert decode_event('{"event": "launched", "time": 1}') == Launched(None, 1)


@pytest.mark.parametrize("again", [Launched(), Started(18, {})])
def test_a_new_attempt_forgets_how_the_one_before_ended(again: Event) -> None:
    state = RunState.of([*EVENTS, again])
    assert state.finished is None
    assert state.skipped == {}
    assert state.notes == ()


def test_the_newest_event_is_read_from_the_end_past_a_line_that_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    assert read_last_event(path) is None
    for event in EVENTS:
        append_event(path, event)
    assert read_last_event(path) == EVENTS[-1]
    with path.open("a") as file:
        file.write('{"event": "prog')
    assert read_last_event(path) == EVENTS[-1]
