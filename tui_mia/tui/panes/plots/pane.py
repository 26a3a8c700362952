"""The Plots pane: ROC curves and score histograms of any attacks of any runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import ClassVar, Final, Literal, TypeAlias

from rich.table import Table
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Grid, VerticalScroll
from textual.widget import Widget
from textual.widgets import Static

from tui_mia.clean import printable
from tui_mia.store import RocCurve, ScoredRun, ScoreHistogram, StoreError
from tui_mia.tui.background import in_background
from tui_mia.tui.dialogs import AskPath, shown
from tui_mia.tui.pane import Pane
from tui_mia.tui.panes.plots.choose_series import ChooseSeries
from tui_mia.tui.panes.plots.drawing import (
    LETTERS,
    SCALES,
    Panel,
    Scale,
    first_choice,
    histogram_panel,
    roc_panel,
)
from tui_mia.tui.panes.plots.plot import Plot
from tui_mia.tui.panes.plots.plot_data import PlotData
from tui_mia.tui.panes.plots.plot_files import histogram_csv, roc_csv, svg
from tui_mia.tui.panes.plots.plot_legend import histogram_table, roc_table

Kind: TypeAlias = Literal["roc", "histogram"]

PLOTS_ON_A_WIDE_SCREEN: Final = 4
WIDE: Final = 120
TALL: Final = 40
AXES: Final[dict[Scale, str]] = {
    "log": "true positive rate over logarithmic false positive rate",
    "log-log": "true positive rate over false positive rate, both logarithmic",
    "linear": "true positive rate over false positive rate",
}
GROUPS_OF_ALL: Final = "M members, N non-members, C candidates without a label, K known non-members"
LONGEST_MODEL: Final = 26


class PlotsPane(Pane):
    HELP = f"""
**ROC curves and score histograms**, of any attacks of any runs: `a` chooses up to {len(LETTERS)} of them, so
that two runs or two models can be laid over one another. Each line carries its letter.
Without such a choice it is the run that was looked at last.

The *ROC* is that of the candidates with a known label. Its false positive rate is logarithmic, as an
audit is about few false accusations; `s` makes both axes logarithmic, or none. A logarithmic curve
begins where ten false positives are expected: what it does below that is chance, and is not drawn. The
dotted line is what guessing would give. Below is each AUC with its 95 % interval; on a narrow screen
`M/N` is how many members and non-members the curve is of.

The *histograms* (`t`) show what share of each group has which score: members and non-members among
the candidates, candidates without a label, and known non-members. At either end half a percent
of each group is left out, or nothing (`s`); the shares are those of whole groups. `]` and `[` turn to
other series.

`+` and `-` zoom, the arrows move, `r` shows all again. `w` writes the picture as SVG and its points as
CSV, `y` copies the points.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "choose", "Choose", tooltip="Choose attacks and runs", id="plots.choose"),
        Binding("t", "turn", "ROC/scores", tooltip="ROC, or histograms of the scores", id="plots.turn"),
        Binding("s", "scale", "Scale", tooltip="Logarithmic axes: one, both, none", id="plots.scale"),
        Binding("right_square_bracket", "page(1)", "The next histograms", show=False, id="plots.next"),
        Binding("left_square_bracket", "page(-1)", "The histograms before", show=False, id="plots.previous"),
        Binding("w", "write", "Write", tooltip="Write SVG and CSV files", id="plots.write"),
        Binding("y", "copy", "Copy", tooltip="Copy the points as CSV", id="plots.copy"),
    ]

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.chosen: list[ScoredRun] = []
        self.kind: Kind = "roc"
        self.scale: Scale = "log"
        self.leaves_out_tails = True
        self._is_laid_out = False
        self._page = 0
        self._problem = ""
        self._doing = ""

    def compose(self) -> ComposeResult:
        yield Static(id="plots-title", markup=False)
        with Grid(id="plots-grid"):
            for number in range(PLOTS_ON_A_WIDE_SCREEN):
                yield Plot(id=f"plot-{number}")
        with VerticalScroll(id="plots-below", can_focus=False):
            yield Static(id="plots-legend")
            yield Static(id="plots-notes", markup=False)

    @cached_property
    def data(self) -> PlotData:
        return PlotData(self.tui.database, self._tell)

    async def on_show_pane(self) -> None:
        self._load()

    async def show(self, run_ids: list[str]) -> None:
        """Plot these runs, whose attacks are chosen so that they can be compared."""
        self.chosen, self._page = [], 0
        if len(run_ids) == 1:
            self.tui.looked_at = run_ids[0]
        self._load(run_ids)

    def first_focus(self) -> Widget:
        return self.query_one("#plot-0")

    def on_resize(self) -> None:
        self._draw()

    # What is plotted

    @property
    def drawn_kind(self) -> Kind:
        """Histograms, where not one of the chosen has a ROC."""
        known = [series for series in self.chosen if series in self.data.curves]
        no_roc = len(known) == len(self.chosen) > 0 and not any(self.data.curves[series] for series in known)
        return "histogram" if no_roc else self.kind

    @property
    def letters(self) -> dict[ScoredRun, str]:
        return dict(zip(self.chosen, LETTERS, strict=False))

    @property
    def curves(self) -> dict[str, RocCurve]:
        found = ((self.letters[series], self.data.curves.get(series)) for series in self.chosen)
        return {letter: curve for letter, curve in found if curve is not None}

    @property
    def histograms(self) -> dict[str, ScoreHistogram]:
        """Those on this page, on one axis if they are of one attack."""
        size = self._page_size()
        on_page = self.chosen[self._page * size : (self._page + 1) * size]
        found = ((self.letters[series], self.data.histograms.get(series)) for series in on_page)
        return {letter: histogram for letter, histogram in found if histogram is not None}

    def _page_size(self) -> int:
        return PLOTS_ON_A_WIDE_SCREEN if self.app.size.width >= WIDE and self.app.size.height >= TALL else 1

    def _panels(self) -> list[Panel]:
        if self.drawn_kind == "roc":
            return [roc_panel(self.curves, self.scale)] if self.curves else []
        return [
            histogram_panel(
                histogram,
                f"{letter}  {printable(histogram.attack)}  {printable(self._run_name(histogram.run_id))}",
            )
            for letter, histogram in self.histograms.items()
        ]

    # Reading

    def _load(self, run_ids: Sequence[str] = ()) -> None:
        in_background(self, partial(self._read, run_ids), in_place_of="plots")

    async def _read(self, run_ids: Sequence[str]) -> None:
        try:
            self._problem = ""
            await self.data.refresh()
            self._choose(run_ids)
            await self.data.read_curves(self.chosen)
            if self.drawn_kind == "histogram":
                await self.data.read_histograms(self.chosen, leaves_out_tails=self.leaves_out_tails)
        except StoreError as error:
            self._problem = str(error)
        finally:
            self._tell("")

    def _choose(self, run_ids: Sequence[str]) -> None:
        """What is asked for, or the run that was looked at last; what was laid out by hand stays."""
        self.chosen = [series for series in self.chosen if series in self.data.available]
        looked_at, runs = self.tui.looked_at, self.data.runs
        if run_ids:
            wanted = list(run_ids)
        elif looked_at in runs and not (self.chosen and self._is_laid_out):
            wanted = [looked_at]
        elif not self.chosen:
            wanted = runs[:1]
        else:
            return
        if not self.chosen or {series.run_id for series in self.chosen} != set(wanted):
            self.chosen, self._page = first_choice(self.data.available, wanted, self._known_auc()), 0
            self._is_laid_out = len(wanted) > 1

    # Drawing

    def _tell(self, doing: str) -> None:
        self._doing = doing
        self._draw()

    def _draw(self) -> None:
        panels = self._panels()
        plots = list(self.query(Plot))
        for plot, panel in zip(plots, [*panels, *([None] * len(plots))], strict=False):
            plot.display = panel is not None or (plot is plots[0])
            plot.show(panel)
        self.query_one("#plots-grid").set_class(len(panels) > 1, "-several")
        self.query_one("#plots-title", Static).update(self._title())
        self.query_one("#plots-legend", Static).update(self._legend())
        self.query_one("#plots-notes", Static).update(shown("\n".join(self._notes())))

    def _title(self) -> str:
        if self.drawn_kind == "roc":
            what = f"ROC: {AXES[self.scale]}"
        else:
            pages = -(-len(self.chosen) // self._page_size())
            turns = f" ({self._page + 1} of {pages}: ] and [ turn)" if pages > 1 else ""
            what = f"Scores: % of each group over score, {' '.join(self.histograms)}{turns}"
        return f"{what}  {self._doing}".rstrip()

    def _legend(self) -> Table:
        is_wide = self.app.size.width >= WIDE
        name = self._run_name if is_wide else str
        if self.drawn_kind == "roc":
            return roc_table(
                [
                    (letter, series, self.data.curves.get(series), name(series.run_id))
                    for series, letter in self.letters.items()
                ],
                is_wide=is_wide,
            )
        return histogram_table(
            [(letter, found, name(found.run_id)) for letter, found in self.histograms.items()]
        )

    def _notes(self) -> Iterator[str]:
        if self._problem:
            yield self._problem
            return
        if not self.data.available:
            yield "" if self._doing else "there are no scores in this database yet: run an audit first"
            return
        looked_at = self.tui.looked_at
        if looked_at is not None and looked_at not in self.data.runs and not self._is_laid_out:
            yield f"run {looked_at} has no scores to plot"
        if not self.chosen:
            yield "nothing is chosen: a chooses attacks and runs"
            return
        without = [
            self.letters[s] for s in self.chosen if s in self.data.curves and self.data.curves[s] is None
        ]
        if without:
            instead = (
                "the scores are shown instead" if self.drawn_kind == "histogram" else "t shows the scores"
            )
            yield f"no ROC for {', '.join(without)}: its candidates have no labels of both kinds; {instead}"
        yield from self._precisions()
        if self.drawn_kind == "roc" and self.scale != "linear" and self.curves:
            yield from self._starts()
        if self.drawn_kind == "histogram":
            yield GROUPS_OF_ALL
            outside = [
                f"{each.outside:,} of {letter}" for letter, each in self.histograms.items() if each.outside
            ]
            if outside:
                yield f"scores outside of what is shown: {', '.join(outside)}; s shows all"

    def _precisions(self) -> Iterator[str]:
        """In what precision scores were computed, where that differs: it makes a difference by itself."""
        found: dict[str, list[str]] = {}
        for series, letter in self.letters.items():
            run = self.tui.board.run(series.run_id) if self.tui.board_ready.is_set() else None
            if run is not None and run.row is not None and run.row.precision:
                found.setdefault(run.row.precision, []).append(letter)
        if len(found) > 1:
            each = ", ".join(f"{precision} ({' '.join(letters)})" for precision, letters in found.items())
            yield f"scores of different precision differ by that alone: {each}"

    def _starts(self) -> Iterator[str]:
        """Where the curves begin, as far as that differs."""
        starts: dict[str, list[str]] = {}
        for letter, curve in self.curves.items():
            starts.setdefault(f"{curve.resolution:.2g}", []).append(letter)
        where = ", ".join(f"{start} ({' '.join(letters)})" for start, letters in starts.items())
        yield f"curves begin at FPR {where}, where 10 false positives are expected"

    def _run_name(self, run_id: str) -> str:
        """A run with its model, where the board knows it."""
        run = self.tui.board.run(run_id) if self.tui.board_ready.is_set() else None
        if run is None:
            return run_id
        model = " ".join(filter(None, [run.architecture, run.pretrained]))
        return f"{run_id} {model if len(model) <= LONGEST_MODEL else '…' + model[1 - LONGEST_MODEL :]}"

    def _known_auc(self) -> dict[ScoredRun, float]:
        runs = self.tui.board.runs() if self.tui.board_ready.is_set() else []
        return {ScoredRun(run.run_id, attack): auc for run in runs for attack, auc in run.auc.items()}

    # Keys

    def action_choose(self) -> None:
        if not self.data.available:
            self.tui.say("there is nothing to plot yet", "warning", toast=True)
            return
        names = {
            series: f"{series.attack:<16} {self._run_name(series.run_id)}" for series in self.data.available
        }
        self.app.push_screen(ChooseSeries(names, self.chosen, len(LETTERS)), self._take)

    def _take(self, chosen: list[ScoredRun] | None) -> None:
        if chosen is not None:
            self.chosen, self._page, self._is_laid_out = chosen, 0, True
            self._load()

    def action_turn(self) -> None:
        self.kind = "histogram" if self.kind == "roc" else "roc"
        self._load()

    def action_scale(self) -> None:
        if self.drawn_kind == "roc":
            self.scale = SCALES[(SCALES.index(self.scale) + 1) % len(SCALES)]
            self._draw()
        else:
            self.leaves_out_tails = not self.leaves_out_tails
            self._load()

    def action_page(self, by: int) -> None:
        pages = max(1, -(-len(self.chosen) // self._page_size()))
        self._page = (self._page + by) % pages
        self._draw()

    def action_write(self) -> None:
        if self._panels():
            name = "roc.svg" if self.drawn_kind == "roc" else "scores.svg"
            question = "Write the picture to this file, and its points beside it as .csv:"
            self.app.push_screen(AskPath(question, name, [".svg"]), self._write)

    def _write(self, path: Path | None) -> None:
        if path is None:
            return
        if path.with_suffix(".csv").exists():
            self.tui.say(
                f"{path.with_suffix('.csv')} exists already: choose another name", "error", toast=True
            )
            return
        self.tui.write_text(path, svg(self._panels(), self._lines_of_text()))
        self.tui.write_text(path.with_suffix(".csv"), self._points())

    async def action_copy(self) -> None:
        if self._panels():
            await self.tui.copy(self._points(), "the points as CSV")

    def _points(self) -> str:
        if self.drawn_kind == "roc":
            return roc_csv(self.curves.values())
        return histogram_csv(self.histograms.values())

    def _lines_of_text(self) -> list[str]:
        """The legend and the notes, for a picture."""
        lines = []
        if self.drawn_kind == "roc":
            for letter, curve in self.curves.items():
                name = self._run_name(curve.run_id)
                counts = f"{curve.members:,} members, {curve.nonmembers:,} non-members"
                ends = curve.auc_interval
                interval = f" (95 %: {ends[0]:.3f} to {ends[1]:.3f})" if ends else ""
                lines.append(f"{letter}  {curve.attack}, {name}: AUC {curve.auc:.3f}{interval}, {counts}")
        else:
            lines.append(GROUPS_OF_ALL)
        return [*lines, *self._notes()]
