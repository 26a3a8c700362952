from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import roc_curve as sklearn_roc_curve

from tui_mia.evidence import FPR_POINTS, figures
from tui_mia.runs.tables import TABLES
from tui_mia.store import (
    DatabaseMissing,
    RocCurve,
    RunRow,
    ScoredRun,
    ScoreHistogram,
    ingest,
    roc_curve,
    score_histogram,
    scored_runs,
)

MakeRun = Callable[..., RunRow]
Scored = Sequence[tuple[bool | None, float | None]]

HOSTILE = [
    "'; DROP TABLE scores; --",
    '"',
    "[/x] \x1b]2;PWNED\x07",
    "csa\n",
    "$attack",
    "{0}",
    "%s",
    "CSA",
    "",
]


def write_tables(folder: Path, candidates: Scored, nonmembers: Scored = (), attack: str = "csa") -> Path:
    """The Parquet files of a run of candidates with labels and scores, and of known non-members."""
    pools = ["candidates"] * len(candidates) + ["nonmembers"] * len(nonmembers)
    samples, scores = [], []
    for number, (pool, (member, score)) in enumerate(zip(pools, [*candidates, *nonmembers], strict=True)):
        name = {"sample_id": f"s{number}", "number": number}
        samples.append({**name, "pool": pool, "member": member})
        scores.append({**name, "attack": attack, "score": score})
    tables = Path(tempfile.mkdtemp(dir=folder))
    for table, rows in {"samples": samples, "scores": scores}.items():
        pq.write_table(pa.Table.from_pylist(rows, schema=TABLES[table]), tables / f"{table}.parquet")
    return tables


def database_of(folder: Path, candidates: Scored) -> Path:
    tables = write_tables(folder, candidates)
    ingest(tables / "audits.duckdb", RunRow(run_id="run-a", status="done"), tables)
    return tables / "audits.duckdb"


def curve_of(folder: Path, candidates: Scored, points: int = 400) -> RocCurve | None:
    return roc_curve(database_of(folder, candidates), "run-a", "csa", points)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("curves")


def on_the_exact_curve(curve: RocCurve, fpr: NDArray[np.float64], tpr: NDArray[np.float64]) -> bool:
    exact = {(round(x * curve.nonmembers), round(y * curve.members)) for x, y in zip(fpr, tpr, strict=True)}
    return all(
        (round(x * curve.nonmembers), round(y * curve.members)) in exact
        for x, y in zip(curve.fpr, curve.tpr, strict=True)
    )


@settings(max_examples=30, deadline=None)
@given(
    candidates=st.lists(
        st.tuples(st.booleans(), st.sampled_from([-1.0, 0.0, 0.1, 0.25, 0.5, 0.7, 1e9, math.pi])),
        min_size=2,
        max_size=60,
    ).filter(lambda pairs: len({member for member, _ in pairs}) == 2)
)
def test_a_curve_has_the_figures_and_the_corners_that_sklearn_finds_ties_or_not(
    folder: Path, candidates: Scored
) -> None:
    member, scores = (np.array(column) for column in zip(*candidates, strict=True))
    curve, expected = curve_of(folder, candidates), figures(member.astype(bool), scores.astype(float))
    assert curve is not None
    assert expected is not None
    assert curve.auc == pytest.approx(expected.auc, abs=1e-12)
    assert curve.tpr_at_fpr == pytest.approx(expected.tpr_at_fpr)
    assert (curve.members, curve.nonmembers) == (expected.members, expected.nonmembers)
    fpr, tpr, _ = sklearn_roc_curve(member, scores, drop_intermediate=False)
    assert on_the_exact_curve(curve, fpr, tpr)
    # Straight lines between its points lose nothing.
    assert np.trapezoid(curve.tpr, curve.fpr) == pytest.approx(expected.auc, abs=1e-12)
    assert (curve.fpr[0], curve.tpr[0], curve.fpr[-1], curve.tpr[-1]) == (0, 0, 1, 1)
    assert (np.diff(curve.fpr) >= 0).all()
    assert (np.diff(curve.tpr) >= 0).all()


@pytest.mark.parametrize("points", [8, 9, 50, 400])
def test_a_long_curve_is_thinned_to_points_of_it_that_are_dense_at_low_fpr(folder: Path, points: int) -> None:
    generator = np.random.default_rng(1)
    member = np.arange(6000) % 2 == 0
    scores = generator.normal(size=6000) + 0.8 * member
    candidates: Scored = [(bool(label), float(score)) for label, score in zip(member, scores, strict=True)]
    curve, expected = curve_of(folder, candidates, points), figures(member, scores)
    assert curve is not None
    assert expected is not None
    assert len(curve.fpr) <= points
    fpr, tpr, _ = sklearn_roc_curve(member, scores, drop_intermediate=False)
    assert on_the_exact_curve(curve, fpr, tpr)
    assert (curve.fpr[0], curve.tpr[0], curve.fpr[-1], curve.tpr[-1]) == (0, 0, 1, 1)
    assert curve.auc == pytest.approx(expected.auc, abs=1e-12)
    assert curve.tpr_at_fpr == pytest.approx(expected.tpr_at_fpr)
    if points == 400:
        assert len(curve.fpr) > 150
        assert (curve.fpr <= 0.01).sum() >= 20
        assert np.trapezoid(curve.tpr, curve.fpr) == pytest.approx(expected.auc, abs=1e-3)


def test_too_few_points_for_a_curve_are_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="at least 8 points"):
        curve_of(folder, [(True, 1.0), (False, 0.0)], points=7)


def test_the_rates_of_the_room_of_evidence_are_those_of_a_curve(folder: Path) -> None:
    curve = curve_of(folder, [(True, 1.0), (False, 0.0)])
    assert curve is not None
    assert tuple(curve.tpr_at_fpr) == FPR_POINTS


@pytest.mark.parametrize(("nonmembers", "resolution"), [(4, 1.0), (10, 1.0), (40, 0.25), (1000, 0.01)])
def test_a_curve_knows_below_which_rate_it_is_chance(
    folder: Path, nonmembers: int, resolution: float
) -> None:
    curve = curve_of(folder, [(True, 1.0), *((False, float(n)) for n in range(nonmembers))])
    assert curve is not None
    assert curve.resolution == resolution
    assert {rate for rate, tpr in curve.tpr_at_fpr.items() if tpr is not None} == {
        rate for rate in FPR_POINTS if rate >= resolution
    }


@pytest.mark.parametrize(
    "candidates",
    [
        [],
        [(None, 0.5), (None, 0.4)],
        [(True, 0.5), (None, 0.4)],
        [(False, 0.5), (False, 0.4)],
        [(True, 0.5), (False, None)],
        [(True, math.nan), (False, 0.5)],
    ],
)
def test_there_is_no_curve_without_scores_of_both_labels(folder: Path, candidates: Scored) -> None:
    assert curve_of(folder, candidates) is None


def test_a_score_that_is_infinite_counts_and_one_that_is_no_number_does_not(folder: Path) -> None:
    curve = curve_of(
        folder, [(True, math.inf), (True, math.nan), (False, 0.0), (False, None), (False, -math.inf)]
    )
    assert curve is not None
    assert (curve.members, curve.nonmembers, curve.auc) == (1, 2, 1.0)


def test_known_nonmembers_and_unlabelled_candidates_are_not_in_the_curve(one_run: Path) -> None:
    curve = roc_curve(one_run, "run-a", "csa")
    assert curve is not None
    assert (curve.members, curve.nonmembers) == (3, 3)


@pytest.mark.parametrize("attack", HOSTILE)
def test_the_name_of_an_attack_or_run_is_only_a_name(
    one_run: Path, tmp_path: Path, make_run: MakeRun, attack: str
) -> None:
    tables = write_tables(tmp_path, [(True, 1.0), (False, 0.0)], [(None, 0.5)], attack)
    ingest(one_run, make_run(f"run of {attack}", day=1), tables)
    curve = roc_curve(one_run, f"run of {attack}", attack)
    histogram = score_histogram(one_run, f"run of {attack}", attack)
    assert curve is not None
    assert histogram is not None
    assert (curve.auc, curve.attack, curve.run_id) == (1.0, attack, f"run of {attack}")
    assert list(histogram.counts) == ["members", "non-members", "known non-members"]
    assert roc_curve(one_run, "run-a", attack) is None
    assert scored_runs(one_run)[0] == ScoredRun(f"run of {attack}", attack)


def test_what_can_be_plotted_is_listed_from_the_newest_run(
    one_run: Path, tmp_path: Path, make_run: MakeRun
) -> None:
    tables = write_tables(tmp_path, [(None, 1.0)], attack="wsa")
    for day, run_id in [(2, "run-new"), (-1, "run-old")]:
        ingest(one_run, make_run(run_id, day=day), tables)
    ingest(one_run, make_run("run without scores", day=3), tmp_path)
    assert scored_runs(one_run) == [
        ScoredRun("run-new", "wsa"),
        ScoredRun("run-a", "aea"),
        ScoredRun("run-a", "csa"),
        ScoredRun("run-old", "wsa"),
    ]


def test_a_histogram_counts_members_nonmembers_and_known_nonmembers_apart(one_run: Path) -> None:
    histogram = score_histogram(one_run, "run-a", "csa", bins=4)
    assert isinstance(histogram, ScoreHistogram)
    assert histogram.edges == pytest.approx([0.2, 0.235, 0.27, 0.305, 0.34], abs=1e-6)
    assert {group: counts.tolist() for group, counts in histogram.counts.items()} == {
        "members": [0, 0, 1, 2],
        "non-members": [2, 1, 0, 0],
        "known non-members": [4, 0, 0, 0],
    }
    assert histogram.outside == 0


def histogram_of(
    folder: Path, scores: list[float], bins: int, low: float | None = None, high: float | None = None
) -> ScoreHistogram | None:
    database = database_of(folder, [(None, score) for score in scores])
    return score_histogram(database, "run-a", "csa", bins, low, high)


@settings(max_examples=30, deadline=None)
@given(scores=st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=40))
@example(scores=[1.7976931348623157e308, -2.996155224770525e307])
def test_every_score_is_in_a_bin_or_counted_as_outside(folder: Path, scores: list[float]) -> None:
    histogram = histogram_of(folder, scores, bins=7)
    finite = [score for score in scores if math.isfinite(score)]
    if not finite:
        assert histogram is None
        return
    assert histogram is not None
    assert histogram.counts["candidates"].sum() == len(finite)
    assert histogram.outside == len(scores) - len(finite)
    assert len(histogram.edges) == 8
    assert np.isfinite(histogram.edges).all()
    assert (np.diff(histogram.edges) > 0).all()
    assert histogram.edges[0] <= min(finite)
    assert histogram.edges[-1] >= max(finite)


def test_limits_put_two_runs_on_one_axis_and_what_is_beyond_them_is_counted(folder: Path) -> None:
    histogram = histogram_of(folder, [-5.0, 0.0, 0.5, 1.0, 1.5], bins=2, low=0.0, high=1.0)
    assert histogram is not None
    assert histogram.edges.tolist() == [0.0, 0.5, 1.0]
    assert histogram.counts["candidates"].tolist() == [1, 2]
    assert histogram.outside == 2


def test_a_few_members_are_no_tail_of_many_known_nonmembers(tmp_path: Path, make_run: MakeRun) -> None:
    generator = np.random.default_rng(1)
    members, nonmembers = generator.normal(4, 1, 100), generator.normal(0, 1, 20_000)
    nonmembers[0] = 1e6
    tables = write_tables(
        tmp_path, [(True, float(x)) for x in members], [(None, float(x)) for x in nonmembers]
    )
    database = tmp_path / "audits.duckdb"
    ingest(database, make_run("run-a"), tables)
    whole = score_histogram(database, "run-a", "csa")
    assert whole is not None
    low, high = whole.middle
    assert -3 < low < -2.2
    assert members.max() - 1 < high <= members.max()
    assert whole.outside == 0
    shown = score_histogram(database, "run-a", "csa", 60, low, high)
    assert shown is not None
    assert shown.counts["members"].sum() >= 99
    assert 0.985 * 20_000 < shown.counts["known non-members"].sum() < 20_000
    assert shown.totals == {"members": 100, "known non-members": 20_000}
    assert shown.outside == 20_100 - sum(counts.sum() for counts in shown.counts.values())
    assert (shown.counts["known non-members"] > 0).sum() > 20


def test_scores_that_are_all_the_same_have_a_histogram_around_them(folder: Path) -> None:
    histogram = histogram_of(folder, [3.0] * 4, bins=3)
    assert histogram is not None
    assert histogram.counts["candidates"].tolist() == [0, 4, 0]


def test_a_run_or_an_attack_that_is_not_there_has_nothing_to_plot(one_run: Path) -> None:
    for run_id, attack in [("run-x", "csa"), ("run-a", "wsa"), ("run-a", "CSA")]:
        assert roc_curve(one_run, run_id, attack) is None
        assert score_histogram(one_run, run_id, attack) is None


def test_a_database_that_is_not_there_is_said_to_be_missing(database: Path) -> None:
    for read in (scored_runs, lambda path: roc_curve(path, "run-a", "csa")):
        with pytest.raises(DatabaseMissing, match="run an audit first"):
            read(database)
