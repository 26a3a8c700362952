"""What is told of the database, of directories that can't be read, and of how runs end."""

from __future__ import annotations

from typing import Literal

import pytest

from tui_mia.board.news import ending, problems
from tui_mia.board.sight import Sight
from tui_mia.runs import Finished, RunState

LOCKED = Sight(database_problem="the file is locked", is_locked=True)
BROKEN = Sight(database_problem="no database", bad_runs=("run-a can't be read",))


def test_a_problem_is_told_once_and_as_bad_as_it_is() -> None:
    told = list(problems(Sight(), BROKEN, is_writing=False))
    assert told == [("no database", "error"), ("run-a can't be read", "warning")]
    assert list(problems(BROKEN, BROKEN, is_writing=False)) == []


def test_a_lock_is_told_only_if_it_is_not_ours() -> None:
    ((sentence, level),) = problems(Sight(), LOCKED, is_writing=False)
    assert (sentence, level) == ("the file is locked; it is tried again every few seconds", "warning")
    assert list(problems(Sight(), LOCKED, is_writing=True)) == []


@pytest.mark.parametrize(
    ("status", "words", "level"),
    [
        ("done", "run-a is done", "info"),
        ("failed", "run-a failed: no room", "error"),
        ("cancelled", "it can be resumed", "info"),
    ],
)
def test_an_end_is_told_in_words(
    status: Literal["done", "failed", "cancelled"], words: str, level: str
) -> None:
    sentence, how_bad = ending("run-a", RunState().after(Finished(status, "no room")))
    assert words in sentence
    assert how_bad == level
