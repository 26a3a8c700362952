"""Events: written, read, and followed line by line."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_mia.runs import Event, Finished, Launched, Loaded, Note, Progress, RunState, Skipped, Started
from tui_mia.runs.events import (
    append_event,
    decode_event,
    encode_event,
    last_attempt,
    read_events,
    read_last_event,
)

EVENTS: list[Event] = [
    Launched(),
    Started(17, {"torch": "2"}),
    Loaded("cuda:0", "fp16", "a", "b", "c"),
    Progress("encode", 0.25, 10, 1, 3.5, 2.0, "candidates", "cuda:0", 2**30, None),
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
        "started": EVENTS[1],
        "loaded": EVENTS[2],
        "progress": EVENTS[3],
        "notes": (EVENTS[4],),
        "skipped": {"wsa": "needs known non-members"},
        "finished": EVENTS[6],
    }


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
