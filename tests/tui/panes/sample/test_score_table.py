from __future__ import annotations

from dataclasses import replace

import pytest
from textual.app import App, ComposeResult

from tui_mia.store import AttackScore
from tui_mia.tui.panes.sample.score_table import ScoreTable, meaning_lines, probability, score_lines

CSA = AttackScore("csa", 0.31239, 0.0123, 0.0004, 12, 2000, 99.4)
LOSS = AttackScore("loss", -3.12345, None, None, 2000, 2000, 0.0)


def test_with_room_everything_is_said_in_full() -> None:
    assert score_lines([CSA, LOSS], "candidates", 90) == [
        "attack    score             rank   percentile   p-value   q-value",
        "csa      0.3124      12 of 2,000         99.4     0.012      4e-4",
        "loss     -3.123   2,000 of 2,000          0.0         -         -",
        "among 2,000 candidates; percentile: share below",
    ]


def test_at_half_a_small_terminal_the_pool_is_named_once() -> None:
    scores = [replace(CSA, attack="aea_standardised", rank=1_999, of=2_000), LOSS]
    lines = score_lines(scores, "nonmembers", 47)
    assert lines == [
        "attack            score rank    %     p    q",
        "aea_standardised 0.3124 1999 99.4 0.012 4e-4",
        "loss             -3.123 2000  0.0     -    -",
        "among 2,000 known non-members; %: share below",
    ]


@pytest.mark.parametrize("width", range(0, 120, 7))
def test_lines_are_aligned_and_fit_as_well_as_they_can(width: int) -> None:
    lines = score_lines([CSA, LOSS], "candidates", width)
    table = lines[:-1]
    assert len({len(line) for line in table}) == 1
    assert len(table[0]) <= max(width, 13)


def test_names_from_outside_are_shortened_and_shown_not_obeyed() -> None:
    name = "\x1b]2;PWNED" + "界" * 30
    _, row, _ = score_lines([replace(CSA, attack=name)], "candidates", 90)
    assert row.startswith("\\x1b]2;PWNED界")
    assert "…" in row
    assert "\x1b" not in row


def test_p_and_q_are_explained_where_there_are_any() -> None:
    assert "share of known non-members that score as high" in " ".join(meaning_lines([CSA, LOSS], 47))
    assert max(map(len, meaning_lines([CSA], 47))) <= 47
    assert meaning_lines([LOSS], 47) == []


def test_q_stands_beside_p_also_where_names_and_scores_are_long() -> None:
    long = replace(CSA, attack="aea_standardised", score=-0.008535)
    assert score_lines([long], "candidates", 43)[0].split() == ["attack", "score", "rank", "p", "q"]


def test_a_sample_without_scores_says_so() -> None:
    assert score_lines([], "general", 40) == ["No attack scored the general pool."]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, "-"), (float("nan"), "-"), (1.0, "1.000"), (0.05, "0.050"), (0.0004, "4e-4"), (0.0, "0.000")],
)
def test_probabilities_take_five_characters(value: float | None, expected: str) -> None:
    assert probability(value) == expected
    assert len(probability(1.2e-12)) == 5


async def test_the_widget_shows_markup_as_it_is() -> None:
    class Scores(App[int]):
        CSS = "ScoreTable { height: auto; }"

        def compose(self) -> ComposeResult:
            yield ScoreTable()

    app = Scores()
    async with app.run_test() as pilot:
        app.query_one(ScoreTable).show([replace(CSA, attack="[/x][red]")], "candidates")
        await pilot.pause()
        assert app.query_one(ScoreTable).size.height == 3 + len(meaning_lines([CSA], 80))
        assert "[/x][red]" in app.screen._compositor.render_strips()[1].text
