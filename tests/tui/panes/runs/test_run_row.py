"""A run as a line of the list: what fits, and words for every state."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import get_args

import pytest
from rich.cells import cell_len

from tui_mia.board import BoardRun, RunStatus
from tui_mia.runs import Progress, RunState
from tui_mia.tui.panes.runs.run_row import (
    SYMBOLS,
    columns_for,
    header_line,
    result_words,
    run_line,
    short_count,
)

SPEC = """
[model]
architecture = "ViT-B-32"
pretrained = "laion2b_s34b_b79k"
[pools.candidates]
source = ["a.tar"]
[pools.nonmembers]
source = ["b.tar"]
[attacks.csa]
[attacks.wsa]
"""
SAMPLES = {"general": 600, "candidates": 14_000, "nonmembers": 3_000}
DONE = BoardRun(
    run_id="20261123-171010-5e16",
    status="done",
    created_at=datetime(2026, 11, 23, 17, 10, tzinfo=UTC),
    device="cuda:0",
    samples=SAMPLES,
    auc={"csa": 0.75, "wsa_rich": 0.91},
    verdict="inconclusive: distribution shift",
    spec_text=SPEC,
    in_database=True,
)


def a_run(status: RunStatus, progress: Progress | None = None, problem: str | None = None) -> BoardRun:
    return BoardRun(
        run_id="20261123-171010-5e16",
        status=status,
        device="cpu",
        spec_text=SPEC,
        state=RunState(progress=progress),
        problem=problem,
    )


def test_in_80_columns_a_line_has_state_model_figures_and_verdict() -> None:
    columns = columns_for(78)
    assert header_line(columns).split() == ["status", "run", "model", "result", "verdict"]
    assert run_line(DONE, columns) == (
        "✓ done       20261123-171010-5e16 ViT-B-32 l… 0.910 wsa_rich of 2 shift       "
    )


def test_with_more_room_it_has_the_attacks_and_when_and_where_too() -> None:
    assert "csa wsa" in run_line(DONE, columns_for(118))
    line = run_line(DONE, columns_for(150))
    assert "csa wsa" in line
    assert "cuda:0" in line
    assert "11-23 " in line
    assert "ViT-B-32 laion2b_s34b_b79k" in line


@pytest.mark.parametrize("width", [0, 1, 13, 20, 40, 60, 78, 94, 118, 200])
def test_a_line_is_as_wide_as_its_place(width: int) -> None:
    columns = columns_for(width)
    for run in (DONE, a_run("failed", problem="一只猫" * 30)):
        assert cell_len(run_line(run, columns)) == cell_len(header_line(columns)) == max(width, 13)


@pytest.mark.parametrize(
    ("verdict", "word"),
    [
        ("leak", "leak"),
        ("no evidence", "no evidence"),
        ("inconclusive: underpowered", "underpowered"),
        ("inconclusive: no comparison set", "uncompared"),
        (None, "-"),
    ],
)
def test_a_verdict_is_one_word_of_its_own(verdict: str | None, word: str) -> None:
    assert run_line(replace(DONE, verdict=verdict), columns_for(77)).rstrip().endswith(f" {word}")


def test_every_state_has_a_word_and_a_symbol_that_takes_one_cell() -> None:
    assert set(SYMBOLS) == set(get_args(RunStatus))
    for status, symbol in SYMBOLS.items():
        assert cell_len(symbol) == 1
        assert status in run_line(a_run(status), columns_for(78))


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (a_run("queued"), "waits for cpu"),
        (a_run("starting"), ""),
        (a_run("running", Progress("encode", 0.435, eta_seconds=75)), "encode 44% 1m15s left"),
        (a_run("running", Progress("attack", 0.0)), "attack 0%"),
        (a_run("cancelling", Progress("encode", 0.5)), ""),
        (a_run("saving"), "into the database"),
        (a_run("saving", problem="held by process 7"), "waits for database"),
        (a_run("failed", problem="out of memory\nof the GPU"), "out of memory"),
        (a_run("cut off"), ""),
        (a_run("cancelled"), "r resumes it"),
        (a_run("done"), "not in database"),
        (DONE, "0.910 wsa_rich of 2"),
        (BoardRun("a", "done", in_database=True), "no labels"),
    ],
)
def test_the_result_says_how_far_how_good_or_why_not(run: BoardRun, words: str) -> None:
    assert result_words(run) == words


def test_text_from_outside_is_shown_and_not_obeyed() -> None:
    line = run_line(a_run("failed", problem="\x1b[2J[bold]"), columns_for(120))
    assert r"\x1b[2J[bold]" in line
    assert "\x1b" not in line


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, "0"), (999, "999"), (1000, "1.0k"), (9_949, "9.9k"), (15_400, "15k"), (3_400_000, "3.4M")],
)
def test_counts_are_short(number: int, words: str) -> None:
    assert short_count(number) == words
