from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tui_mia.store import AttackScore, RunRow, SampleNotFound, StoredRun, ingest, read_sample

MakeRun = Callable[..., RunRow]
WriteTables = Callable[..., Path]


def test_a_sample_comes_with_all_that_is_known(one_run: Path) -> None:
    sample = read_sample(StoredRun(one_run, "run-a"), 2)
    assert (sample.row.sample_id, sample.row.caption) == ("candidates-2", "a photo of 2 things")
    assert (sample.source, sample.width, sample.height, sample.metadata) == ("candidates.tar", 64, 48, "{}")
    assert sample.similarities == pytest.approx([0.32, 0.31, 0.30])
    assert [score.attack for score in sample.scores] == ["aea", "csa"]
    assert (sample.scores[0].p_value, sample.scores[1].p_value, sample.scores[1].q_value) == (
        None,
        0.04,
        0.05,
    )


def test_a_sample_without_scores_is_a_sample(one_run: Path) -> None:
    sample = read_sample(StoredRun(one_run, "run-a"), 10)
    assert (sample.row.pool, sample.scores) == ("general", [])


@pytest.mark.parametrize("number", [-1, 12, 2**40])
def test_a_number_that_no_sample_has_is_an_error(one_run: Path, number: int) -> None:
    with pytest.raises(SampleNotFound, match=f"run-a has no sample #{number}"):
        read_sample(StoredRun(one_run, "run-a"), number)


@pytest.mark.parametrize("scattered", [False, True])
def test_a_rank_is_among_the_scores_of_the_pool(
    database: Path, write_tables: WriteTables, make_run: MakeRun, scattered: bool
) -> None:
    """Equal scores share a rank, and what is no number is not counted; also where pools are mixed."""
    scores = [3.0, 1.0, math.nan, 2.0, 2.0, math.inf, None]
    pool_of = [(place, pool) for pool in ("candidates", "nonmembers") for place in range(len(scores))]
    if scattered:
        pool_of = sorted(pool_of)
    samples: list[dict[str, Any]] = [
        {"sample_id": f"{pool}-{place}", "pool": pool} for place, pool in pool_of
    ]
    score_rows = [
        {"sample_id": f"{pool}-{place}", "attack": "csa", "score": scores[place], "p_value": math.nan}
        for place, pool in pool_of
    ]
    ingest(database, make_run(), write_tables(samples=samples, scores=score_rows))
    number = {sample["sample_id"]: number for number, sample in enumerate(samples)}

    def scores_of(sample_id: str) -> list[AttackScore]:
        return read_sample(StoredRun(database, "run-a"), number[sample_id]).scores

    assert scores_of("candidates-0") == [AttackScore("csa", 3.0, None, None, 2, 5, 60.0)]
    assert scores_of("nonmembers-3") == scores_of("nonmembers-4")
    assert scores_of("nonmembers-3") == [AttackScore("csa", 2.0, None, None, 3, 5, 20.0)]
    assert scores_of("candidates-5") == [AttackScore("csa", math.inf, None, None, 1, 5, 80.0)]
    assert scores_of("candidates-2") == scores_of("candidates-6") == []
