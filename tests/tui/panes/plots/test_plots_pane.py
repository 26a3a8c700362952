"""The Plots pane: which curves are drawn from where, how they are told apart, what can't be drawn, files."""

from __future__ import annotations

import csv
import io
import stat
import xml.etree.ElementTree as ET
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Label, Static

from tui_mia.runs.tables import TABLES
from tui_mia.store import RocCurve, RunRow, ScoredRun, ScoreHistogram, ingest
from tui_mia.tui.app import TuiMia
from tui_mia.tui.dialogs import AskPath
from tui_mia.tui.panes.plots.choose_series import ChooseSeries, SeriesList
from tui_mia.tui.panes.plots.drawing import (
    LETTERS,
    first_choice,
    histogram_panel,
    linear_ticks,
    log_ticks,
    marks,
    resolved,
    roc_panel,
)
from tui_mia.tui.panes.plots.pane import PlotsPane
from tui_mia.tui.panes.plots.plot import Plot
from tui_mia.tui.panes.plots.plot_files import histogram_csv, roc_csv, svg
from tui_mia.tui.panes.plots.plot_legend import histogram_table, roc_table

MakeApp = Callable[..., TuiMia]
Bring = Callable[..., Awaitable[Any]]
WaitUntil = Callable[..., Awaitable[None]]
ScreenText = Callable[[Pilot[int]], str]

SIZES = [(80, 24), (160, 50)]
HOSTILE = "[/x] \x1b]2;PWNED\x07"


def make_run(
    database: Path,
    run_id: str,
    day: int,
    attacks: list[str],
    labels: bool = True,
    precision: str = "exact (fp32)",
) -> None:
    """A run of 400 candidates, half of them members, and 100 known non-members."""
    generator = np.random.default_rng(day)
    samples = [
        {"sample_id": f"s{n}", "number": n, "pool": "candidates", "member": n % 2 == 0 if labels else None}
        for n in range(400)
    ] + [{"sample_id": f"s{n}", "number": n, "pool": "nonmembers"} for n in range(400, 500)]
    scores = [
        {
            "sample_id": sample["sample_id"],
            "number": sample["number"],
            "attack": attack,
            "score": float(generator.normal() + (2.0 if sample.get("member") else 0.0)),
        }
        for attack in attacks
        for sample in samples
    ]
    tables = database.parent / f"tables-{day}"
    tables.mkdir()
    for table, rows in {"samples": samples, "scores": scores}.items():
        pq.write_table(pa.Table.from_pylist(rows, schema=TABLES[table]), tables / f"{table}.parquet")
    created = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=day)
    row = RunRow(run_id=run_id, status="done", created_at=created, architecture="RN50", precision=precision)
    ingest(database, row, tables)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs with labels and one, the oldest, without."""
    path = tmp_path_factory.mktemp("plots") / "audits.duckdb"
    make_run(path, "run-new", 3, ["csa", "wsa"])
    make_run(path, "run-old", 2, ["csa", HOSTILE], precision="fast (bf16)")
    make_run(path, "run-unlabelled", 1, ["csa"], labels=False)
    return path


@pytest.fixture
def opened(bring: Bring, wait_until: WaitUntil) -> Callable[..., Awaitable[PlotsPane]]:
    """Bring the pane to the front, and wait until it has read what it plots."""

    async def open_(pilot: Pilot[int], chosen: list[ScoredRun] | None = None) -> PlotsPane:
        pane: PlotsPane = await bring(pilot, "plots")
        await wait_until(pilot, lambda: pane.chosen and not pane._doing)
        if chosen is not None:
            pane._take(chosen)
            await wait_until(pilot, lambda: all(s in pane.data.curves for s in chosen) and not pane._doing)
        return pane

    return open_


def notes(app: TuiMia) -> str:
    return str(app.query_one("#plots-notes", Static).content)


def title(app: TuiMia) -> str:
    return str(app.query_one("#plots-title", Static).content)


@pytest.mark.parametrize("size", SIZES)
async def test_it_opens_on_the_roc_of_the_newest_run(
    make_app: MakeApp,
    database: Path,
    opened: Callable[..., Awaitable[PlotsPane]],
    screen_text: ScreenText,
    size: tuple[int, int],
) -> None:
    app = make_app(database)
    async with app.run_test(size=size) as pilot:
        pane = await opened(pilot)
        assert pane.chosen == [ScoredRun("run-new", "csa"), ScoredRun("run-new", "wsa")]
        text = screen_text(pilot)
        assert "logarithmic false positive rate" in text
        rows = [line.split() for line in text.splitlines() if "run-new" in line]
        assert [row[:3] for row in rows] == [["A", "csa", "run-new"], ["B", "wsa", "run-new"]]
        counts = ["200/200"] if size == (80, 24) else ["200", "200"]
        assert all(row[-len(counts) :] == counts for row in rows)
        picture = text[: text.index("AUC")]
        assert picture.count("A") >= 3
        assert picture.count("B") >= 3
        assert "0.05" in picture
        assert "curves begin at FPR 0.05 (A B), where 10 false positives are expected" in text


async def test_two_runs_lie_over_one_another(
    make_app: MakeApp,
    database: Path,
    opened: Callable[..., Awaitable[PlotsPane]],
    wait_until: WaitUntil,
    screen_text: ScreenText,
) -> None:
    app = make_app(database)
    async with app.run_test() as pilot:
        pane = await opened(pilot)
        app.show_plots(["run-new", "run-old"])
        await wait_until(pilot, lambda: len(pane.curves) == 2 and not pane._doing)
        assert pane.chosen == [ScoredRun("run-new", "csa"), ScoredRun("run-old", "csa")]
        assert "run-old" in screen_text(pilot)


async def test_the_run_that_was_chosen_in_another_pane_is_plotted(
    make_app: MakeApp, database: Path, bring: Bring, wait_until: WaitUntil
) -> None:
    app = make_app(database)
    async with app.run_test() as pilot:
        await bring(pilot, "runs")
        await wait_until(pilot, lambda: app.looked_at == "run-new")
        await pilot.press("j")
        await wait_until(pilot, lambda: app.looked_at == "run-old")
        await pilot.press("5")
        pane = app.query_one(PlotsPane)
        await wait_until(pilot, lambda: len(pane.curves) == 2 and not pane._doing)
        assert {series.run_id for series in pane.chosen} == {"run-old"}
        await bring(pilot, "runs")
        await pilot.press("k")
        await bring(pilot, "plots")
        await wait_until(pilot, lambda: {series.run_id for series in pane.chosen} == {"run-new"})


async def test_curves_that_were_laid_out_by_hand_stay_until_others_are_asked_for(
    make_app: MakeApp,
    database: Path,
    opened: Callable[..., Awaitable[PlotsPane]],
    wait_until: WaitUntil,
) -> None:
    app = make_app(database)
    by_hand = [ScoredRun("run-old", "csa"), ScoredRun("run-new", "wsa")]
    async with app.run_test() as pilot:
        pane = await opened(pilot, by_hand)
        app.looked_at = "run-old"
        await opened(pilot)
        assert pane.chosen == by_hand
        app.show_plots(["run-unlabelled"])
        await wait_until(pilot, lambda: pane.chosen == [ScoredRun("run-unlabelled", "csa")])
        assert app.looked_at == "run-unlabelled"
        app.looked_at = "run-new"
        await opened(pilot)
        await wait_until(pilot, lambda: {series.run_id for series in pane.chosen} == {"run-new"})


async def test_a_run_without_scores_leaves_what_is_plotted_and_is_named(
    make_app: MakeApp,
    database: Path,
    opened: Callable[..., Awaitable[PlotsPane]],
    wait_until: WaitUntil,
) -> None:
    app = make_app(database)
    async with app.run_test() as pilot:
        pane = await opened(pilot)
        app.looked_at = "run-failed"
        await opened(pilot)
        await wait_until(pilot, lambda: "run run-failed has no scores to plot" in notes(app))
        assert {series.run_id for series in pane.chosen} == {"run-new"}


async def test_what_is_plotted_is_chosen_with_marks(
    make_app: MakeApp,
    database: Path,
    opened: Callable[..., Awaitable[PlotsPane]],
    wait_until: WaitUntil,
    screen_text: ScreenText,
) -> None:
    app = make_app(database)
    async with app.run_test() as pilot:
        pane = await opened(pilot)
        await pilot.press("a")
        await wait_until(pilot, lambda: isinstance(app.screen, ChooseSeries))
        text = screen_text(pilot)
        assert "[x] csa              run-new RN50" in text
        assert "[ ] csa              run-old RN50" in text
        assert "[ ] [/x] \\x1b]2;PWNED" in text
        await pilot.press("c", "enter")
        assert "mark at least one" in str(app.screen.query_one("#series-problem", Label).content)
        await pilot.press("space", "G", "x", "enter")
        await wait_until(pilot, lambda: len(pane.curves) == 1 and not pane._doing)
        assert pane.chosen == [ScoredRun("run-new", "csa"), ScoredRun("run-unlabelled", "csa")]
        await pilot.press("a", "c", "escape")
        assert len(pane.chosen) == 2


async def test_series_are_found_by_a_part_of_their_names(
    make_app: MakeApp,
    database: Path,
    opened: Callable[..., Awaitable[PlotsPane]],
    wait_until: WaitUntil,
) -> None:
    app = make_app(database)
    async with app.run_test() as pilot:
        pane = await opened(pilot)
        await pilot.press("a", "c", "slash", *"old csa", "enter")
        await wait_until(pilot, lambda: app.screen.query_one(SeriesList).option_count == 1)
        await pilot.press("space", "enter")
        await wait_until(pilot, lambda: pane.chosen == [ScoredRun("run-old", "csa")])


async def test_no_more_are_plotted_than_have_letters(
    make_app: MakeApp,
    tmp_path: Path,
    opened: Callable[..., Awaitable[PlotsPane]],
    wait_until: WaitUntil,
) -> None:
    make_run(tmp_path / "audits.duckdb", "run-a", 1, [f"attack-{n}" for n in range(len(LETTERS) + 1)])
    app = make_app()
    async with app.run_test() as pilot:
        await opened(pilot)
        await pilot.press("a", "c", *["space", "j"] * (len(LETTERS) + 1), "enter")
        assert isinstance(app.screen, ChooseSeries)
        problem = app.screen.query_one("#series-problem", Label)
        assert "9 are marked, and 8 can be plotted at once" in str(problem.content)


@pytest.mark.parametrize("size", SIZES)
async def test_a_run_without_labels_has_no_roc_and_shows_its_scores_instead(
    make_app: MakeApp,
    database: Path,
    opened: Callable[..., Awaitable[PlotsPane]],
    screen_text: ScreenText,
    size: tuple[int, int],
) -> None:
    app = make_app(database)
    async with app.run_test(size=size) as pilot:
        pane = await opened(pilot, [ScoredRun("run-unlabelled", "csa")])
        assert str(pane.drawn_kind) == "histogram"
        assert "no ROC for A" in notes(app)
        assert "the scores are shown instead" in notes(app)
        assert "Scores: % of each group" in screen_text(pilot)
        (histogram,) = pane.histograms.values()
        assert list(histogram.counts) == ["candidates", "known non-members"]
        await opened(pilot, [ScoredRun("run-new", "csa"), ScoredRun("run-unlabelled", "csa")])
        assert str(pane.drawn_kind) == "roc"
        assert "no ROC for B" in notes(app)
        assert "t shows the scores" in notes(app)


async def test_scores_of_different_precision_are_not_compared_silently(
    make_app: MakeApp,
    database: Path,
    opened: Callable[..., Awaitable[PlotsPane]],
    wait_until: WaitUntil,
) -> None:
    app = make_app(database)
    async with app.run_test() as pilot:
        await wait_until(pilot, lambda: app.board_ready.is_set())
        await opened(pilot, [ScoredRun("run-new", "csa"), ScoredRun("run-old", "csa")])
        assert "differ by that alone: exact (fp32) (A), fast (bf16) (B)" in notes(app)
        await opened(pilot, [ScoredRun("run-new", "csa"), ScoredRun("run-new", "wsa")])
        assert "precision" not in notes(app)


async def test_scores_of_one_attack_are_on_one_axis_a_page_each_on_a_small_screen(
    make_app: MakeApp,
    database: Path,
    opened: Callable[..., Awaitable[PlotsPane]],
    wait_until: WaitUntil,
    screen_text: ScreenText,
) -> None:
    app = make_app(database)
    async with app.run_test() as pilot:
        pane = await opened(pilot, [ScoredRun("run-new", "csa"), ScoredRun("run-old", "csa")])
        await pilot.press("t")
        await wait_until(pilot, lambda: pane.histograms and not pane._doing)
        assert "A (1 of 2: ] and [ turn)" in title(app)
        first = pane.histograms["A"]
        await pilot.press("right_square_bracket")
        assert "B (2 of 2" in title(app)
        assert pane.histograms["B"].edges.tolist() == first.edges.tolist()
        await pilot.press("right_square_bracket", "left_square_bracket")
        assert "B (2 of 2" in title(app)
        text = screen_text(pilot)
        assert all(letter in text for letter in "MNK")
        await pilot.press("t")
        await wait_until(pilot, lambda: title(app).startswith("ROC"))


async def test_tails_of_scores_are_left_out_and_counted_until_all_is_asked_for(
    make_app: MakeApp,
    database: Path,
    opened: Callable[..., Awaitable[PlotsPane]],
    wait_until: WaitUntil,
) -> None:
    app = make_app(database)
    async with app.run_test() as pilot:
        pane = await opened(pilot, [ScoredRun("run-new", "csa")])
        await pilot.press("t")
        await wait_until(pilot, lambda: pane.histograms and not pane._doing)
        outside = pane.histograms["A"].outside
        assert 0 < outside < 20
        assert f"scores outside of what is shown: {outside} of A" in notes(app)
        await pilot.press("s")
        await wait_until(pilot, lambda: pane.histograms["A"].outside == 0 and not pane._doing)
        assert "outside" not in notes(app)


async def test_a_wide_screen_shows_histograms_beside_one_another_with_their_names(
    make_app: MakeApp,
    database: Path,
    opened: Callable[..., Awaitable[PlotsPane]],
    wait_until: WaitUntil,
    screen_text: ScreenText,
) -> None:
    app = make_app(database)
    chosen = [ScoredRun("run-new", "csa"), ScoredRun("run-new", "wsa"), ScoredRun("run-old", HOSTILE)]
    async with app.run_test(size=(160, 50)) as pilot:
        pane = await opened(pilot, chosen)
        await pilot.press("t")
        await wait_until(pilot, lambda: len(pane.histograms) == 3 and not pane._doing)
        assert sum(plot.display for plot in app.query(Plot)) == 3
        text = screen_text(pilot)
        assert "B  wsa  run-new" in text
        assert "C  [/x] \\x1b]2;PWNED\\x07  run-old" in text
        assert "\x1b" not in text


async def test_the_axes_can_be_logarithmic_both_or_none(
    make_app: MakeApp,
    database: Path,
    opened: Callable[..., Awaitable[PlotsPane]],
    wait_until: WaitUntil,
) -> None:
    app = make_app(database)
    async with app.run_test() as pilot:
        await opened(pilot)
        plot = app.query_one("#plot-0", Plot)
        for scale in ["both logarithmic", "over false positive rate", "over logarithmic"]:
            await pilot.press("s")
            assert scale in title(app)
            assert plot.panel is not None
            assert plot.panel.is_log_x == ("logarithmic" in title(app))
            assert plot.panel.is_log_y == ("both" in title(app))
            assert ("curves begin" in notes(app)) == plot.panel.is_log_x


async def test_the_plot_is_zoomed_moved_and_shown_whole_again(
    make_app: MakeApp, database: Path, opened: Callable[..., Awaitable[PlotsPane]]
) -> None:
    app = make_app(database)
    async with app.run_test() as pilot:
        await opened(pilot)
        plot = app.query_one("#plot-0", Plot)
        assert plot.has_focus
        whole = (plot._x_min, plot._x_max)
        await pilot.press("plus")
        zoomed = (plot._x_min, plot._x_max)
        assert zoomed[1] - zoomed[0] < whole[1] - whole[0]
        await pilot.press("l")
        assert (plot._x_min, plot._x_max) != zoomed
        await pilot.press("minus", "r")
        assert (plot._x_min, plot._x_max) == whole


async def test_a_picture_and_its_points_are_written_and_nothing_is_written_over(
    make_app: MakeApp,
    database: Path,
    tmp_path: Path,
    opened: Callable[..., Awaitable[PlotsPane]],
    wait_until: WaitUntil,
) -> None:
    app = make_app(database)
    async with app.run_test() as pilot:
        pane = await opened(pilot, [ScoredRun("run-new", "csa"), ScoredRun("run-old", HOSTILE)])
        await pilot.press("w")
        await wait_until(pilot, lambda: isinstance(app.screen, AskPath))
        app.screen.query_one(Input).value = str(tmp_path / "out.svg")
        await pilot.press("enter")
        await wait_until(pilot, (tmp_path / "out.csv").exists)
        pane._write(tmp_path / "out.svg")
        assert "out.csv exists already" in app.journal[-1].message
    picture = ET.fromstring((tmp_path / "out.svg").read_text())
    assert picture.tag.endswith("svg")
    assert "\x1b" not in (tmp_path / "out.svg").read_text()
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text())))
    assert {(row["run_id"], row["attack"]) for row in rows} == {("run-new", "csa"), ("run-old", HOSTILE)}
    for name in ("out.svg", "out.csv"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


async def test_the_points_are_copied(
    make_app: MakeApp,
    database: Path,
    opened: Callable[..., Awaitable[PlotsPane]],
    wait_until: WaitUntil,
) -> None:
    app = make_app(database)
    async with app.run_test() as pilot:
        pane = await opened(pilot)
        await pilot.press("y")
        await wait_until(
            pilot, lambda: app.clipboard.startswith("run_id,attack,fpr,tpr,resolved\nrun-new,csa,")
        )
        await pilot.press("t")
        await wait_until(pilot, lambda: pane.histograms and not pane._doing)
        await pilot.press("y")
        await wait_until(pilot, lambda: app.clipboard.startswith("run_id,attack,group,low,high,samples\n"))


async def test_a_database_that_is_not_there_or_has_no_scores_is_told(
    make_app: MakeApp, tmp_path: Path, bring: Bring, wait_until: WaitUntil
) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await bring(pilot, "plots")
        await wait_until(pilot, lambda: "there is no database" in notes(app))
        await pilot.press("a", "t", "s", "w", "y", "right_square_bracket", "plus")
        assert "nothing to plot yet" in app.journal[-1].message
        ingest(tmp_path / "audits.duckdb", RunRow(run_id="run-a", status="failed"), tmp_path)
        await bring(pilot, "plots")
        await wait_until(pilot, lambda: "no scores in this database yet" in notes(app))


async def test_a_run_that_is_deleted_or_added_is_noticed_when_the_pane_is_shown_again(
    make_app: MakeApp,
    tmp_path: Path,
    opened: Callable[..., Awaitable[PlotsPane]],
    bring: Bring,
    wait_until: WaitUntil,
) -> None:
    database = tmp_path / "audits.duckdb"
    make_run(database, "run-a", 1, ["csa"])
    app = make_app(database)
    async with app.run_test() as pilot:
        pane = await opened(pilot)
        await bring(pilot, "log")
        make_run(database, "run-b", 2, ["csa"])
        await bring(pilot, "plots")
        await wait_until(pilot, lambda: len(pane.data.available) == 2 and not pane._doing)
        assert pane.chosen == [ScoredRun("run-a", "csa")]


def curve(fpr: list[float], tpr: list[float], nonmembers: int = 100) -> RocCurve:
    return RocCurve(
        run_id="run",
        attack="csa",
        fpr=np.array(fpr),
        tpr=np.array(tpr),
        members=10,
        nonmembers=nonmembers,
        auc=0.5,
        tpr_at_fpr={0.1: 0.5, 0.01: None, 0.001: None},
    )


def test_what_is_below_the_resolution_of_a_curve_is_not_drawn_on_a_logarithmic_axis() -> None:
    steep = curve([0, 0, 0.05, 0.1, 0.1, 1], [0, 0.2, 0.2, 0.3, 0.4, 1])
    fpr, tpr = resolved(steep)
    assert (fpr[0], tpr[0]) == (0.1, 0.4)
    assert (fpr[-1], tpr[-1]) == (1.0, 1.0)
    # Straight between its corners on a linear axis, and so curved on a logarithmic one.
    assert tpr == pytest.approx(0.4 + (fpr - 0.1) * 0.6 / 0.9)
    assert roc_panel({"A": steep}, "log").x_range == (-1.0, 0.0)
    assert roc_panel({"A": steep}, "linear").lines[0].x.tolist() == steep.fpr.tolist()


def test_a_curve_of_too_few_nonmembers_is_a_point_on_a_logarithmic_axis() -> None:
    few = curve([0, 0.5, 1], [0, 0.5, 1], nonmembers=4)
    fpr, tpr = resolved(few)
    assert set(fpr) == {1.0}
    assert set(tpr) == {1.0}
    x, _ = marks(roc_panel({"A": few}, "log"), 0, (-1.0, 0.0))
    assert len(x) == 0


def test_on_two_logarithmic_axes_nothing_is_below_the_axis() -> None:
    panel = roc_panel({"A": curve([0, 0.1, 1], [0, 0.0, 1])}, "log-log")
    assert panel.y_range == (-1.0, 0.0)
    assert (panel.lines[0].y >= -1.0).all()


def test_the_legend_has_the_interval_of_each_auc_as_far_as_there_is_one() -> None:
    known, without = replace(curve([0, 1], [0, 1]), auc_interval=(0.41, 0.59)), curve([0, 1], [0, 1])
    rows = [(letter, ScoredRun("run", "csa"), each, "run") for letter, each in (("A", known), ("B", without))]
    for is_wide in (False, True):
        columns = {
            str(column.header): list(column.cells) for column in roc_table(rows, is_wide=is_wide).columns
        }
        assert [str(cell) for cell in columns["95 %"]] == ["0.410-0.590", "-"]


def histogram(counts: dict[str, list[int]], outside: dict[str, int] | None = None) -> ScoreHistogram:
    bins = len(next(iter(counts.values())))
    return ScoreHistogram(
        run_id="run",
        attack="csa",
        edges=np.arange(bins + 1.0),
        counts={group: np.array(found) for group, found in counts.items()},
        totals={group: sum(found) + (outside or {}).get(group, 0) for group, found in counts.items()},
        middle=(0.0, float(bins)),
    )


def test_a_histogram_shows_the_share_of_each_group() -> None:
    panel = histogram_panel(histogram({"members": [1, 3], "known non-members": [300, 100]}), "title")
    assert [line.letter for line in panel.lines] == ["M", "K"]
    assert panel.lines[0].x.tolist() == [0, 1, 1, 2]
    assert panel.lines[0].y.tolist() == [25, 25, 75, 75]
    assert panel.lines[1].y.tolist() == [75, 75, 25, 25]
    assert panel.y_range[1] > 75


def test_letters_of_histograms_stand_on_their_highest_bins_and_not_on_one_another() -> None:
    panel = histogram_panel(histogram({"members": [1, 5, 2, 9], "non-members": [1, 5, 2, 9]}), "title")
    places = [marks(panel, which, panel.x_range)[0].tolist() for which in range(2)]
    assert places == [[2.5, 0.5], [3.5, 1.5]]
    assert marks(panel, 0, (0.0, 1.0))[0].tolist() == [0.5]


def test_scores_outside_of_what_is_shown_belong_to_their_group_all_the_same() -> None:
    found = histogram({"members": [1, 3], "known non-members": [300, 100]}, {"members": 16})
    panel = histogram_panel(found, "title")
    assert panel.lines[0].y.tolist() == [5, 5, 15, 15]
    assert panel.lines[1].y.tolist() == [75, 75, 25, 25]
    cells = [list(column.cells) for column in histogram_table([("A", found, "run")]).columns[-2:]]
    assert [[str(cell) for cell in column] for column in cells] == [["20"], ["400"]]


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (-3, 0, ["0.001", "0.01", "0.1", "1"]),
        (-1, 0, ["0.1", "0.2", "0.5", "1"]),
        (-5.5, -3, ["1e-05", "0.0001", "0.001"]),
        (-0.3, 0, ["0.6", "0.7", "0.8", "0.9", "1"]),
    ],
)
def test_a_logarithmic_axis_has_round_numbers(low: float, high: float, labels: list[str]) -> None:
    assert [f"{10**tick:g}" for tick in log_ticks(low, high)] == labels


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0, 40.95, [0, 10, 20, 30, 40]),
        (-0.8654, 0.971, [-0.5, 0, 0.5]),
        (-3e-7, 3e-7, [-3e-7, -2e-7, -1e-7, 0, 1e-7, 2e-7, 3e-7]),
        (5, 5, [5]),
    ],
)
def test_a_linear_axis_has_round_numbers(low: float, high: float, ticks: list[float]) -> None:
    assert linear_ticks(low, high) == pytest.approx(ticks)
    assert "-0.0" not in map(str, linear_ticks(low, high))


def test_the_best_attacks_of_one_run_are_chosen_first_and_the_same_of_several() -> None:
    available = [ScoredRun(run, attack) for run in ("a", "b") for attack in ("p", "q", "r", "s", "t")]
    available.append(ScoredRun("b", "only"))
    auc = {
        ScoredRun("a", attack): value
        for attack, value in zip("pqrst", [0.5, 0.9, 0.6, 0.8, 0.7], strict=True)
    }
    assert [series.attack for series in first_choice(available, ["a"], auc)] == ["q", "s", "t", "r"]
    both = first_choice(available, ["a", "b"], auc)
    assert both == [ScoredRun(run, attack) for attack in ("q", "s", "t") for run in ("a", "b")]
    assert first_choice(available, ["c"], auc) == []
    many = [ScoredRun(str(n), "csa") for n in range(20)]
    assert len(first_choice(many, [series.run_id for series in many], {})) == len(LETTERS)
    apart = [ScoredRun("a", "p"), ScoredRun("b", "q")]
    assert first_choice(apart, ["a", "b"], {}) == apart


def test_files_say_what_is_resolved_and_survive_hostile_names() -> None:
    first = curve([0, 0.05, 0.1, 1], [0, 0.2, 0.3, 1])
    rows = list(csv.DictReader(io.StringIO(roc_csv([first]))))
    assert [row["resolved"] for row in rows] == ["false", "false", "true", "true"]
    counts = histogram({"members": [1, 3], "candidates": [2, 2]})
    rows = list(csv.DictReader(io.StringIO(histogram_csv([counts]))))
    assert [(row["group"], row["low"], row["samples"]) for row in rows][1] == ("members", "1.0", "3")
    panels = [roc_panel({"A": first}, "log"), histogram_panel(counts, f"<b>&{HOSTILE}")]
    picture = ET.fromstring(svg(panels, [f"<script>{HOSTILE}"]))
    texts = [element.text for element in picture.iter() if element.tag.endswith("text")]
    assert "<b>&[/x] \\x1b]2;PWNED\\x07" in texts
    assert "<script>[/x] \\x1b]2;PWNED\\x07" in texts
