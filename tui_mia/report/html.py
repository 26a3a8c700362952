"""A report as one HTML file that loads nothing and runs nothing."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from tui_mia.clean import printable
from tui_mia.display.check_groups import check_groups, is_amiss
from tui_mia.report import facts
from tui_mia.report.charts import (
    IntervalRow,
    RateInterval,
    histogram_chart,
    interval_chart,
    line_swatch,
    roc_chart,
)
from tui_mia.report.charts.histogram import group_class
from tui_mia.report.charts.intervals import mark_swatch
from tui_mia.report.charts.svg import line_class
from tui_mia.report.contents import NoThumbnail, Report
from tui_mia.report.figure_tables import figure_tables
from tui_mia.report.limits import limits
from tui_mia.report.meaning import headline
from tui_mia.store import CheckRow
from tui_mia.store.rows import FALSE_POSITIVE_RATES

LONGEST_CAPTION: Final = 400
# Beside the words, for those who look for a sign.
_TONE_SIGNS: Final = {"leak": "▲", "clear": "●", "open": "◆"}
_CHECK_SIGNS: Final = {"ok": "✓", "note": "•"}


def html_report(report: Report) -> str:
    """The document. Whatever is from outside is escaped, with its control characters shown."""
    style = files("tui_mia.report").joinpath("page.css").read_text(encoding="utf-8")
    said, bars = headline(report), _bars(report)
    return (
        _environment()
        .get_template("page.html")
        .render(
            report=report,
            run=report.summary.run,
            style=Markup(style),
            policy=_policy(style),
            facts=facts,
            headline=said,
            tone_sign=_TONE_SIGNS[said.tone],
            tables=figure_tables(report),
            intervals=_intervals(report),
            interval_kinds=[(kind, mark_swatch(kind)) for kind in ("attack", "blind", "reference")],
            roc=roc_chart(report.curves, bars) if report.curves else None,
            has_bars=bool(bars),
            roc_legend=[
                (line_swatch(line_class(place, place == 0)), curve)
                for place, curve in enumerate(report.curves)
            ],
            histograms=[(histogram, histogram_chart(histogram)) for histogram in report.histograms],
            groups=_groups(report),
            checks=check_groups(report.summary.checks),
            limits=limits(report),
            is_missing=lambda picture: isinstance(picture, NoThumbnail),
        )
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("tui_mia.report", "."),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"lines": _lines, "short": _short, "check_sign": _check_sign}
    return environment


def _shown(value: object) -> object:
    """Every value on its way into the page; what is markup already was made here."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _lines(text: str) -> Markup:
    return Markup("\n").join(escape(printable(line.rstrip("\r"))) for line in text.split("\n"))


def _short(text: str, longest: int = LONGEST_CAPTION) -> str:
    """A text on one line, cut where it would fill the page."""
    flat = " ".join(text.split())
    return flat if len(flat) <= longest else f"{flat[:longest]} …"


def _check_sign(check: CheckRow) -> str:
    return "▲" if is_amiss(check) else _CHECK_SIGNS[check.outcome]


def _policy(style: str) -> str:
    """Nothing but this very style and the pictures inside the page."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def _intervals(report: Report) -> tuple[Markup, set[str]] | None:
    """The chart of all AUCs, and the kinds of row in it."""
    rows = []
    for attack, figures in report.summary.attacks.items():
        auc = figures.compared_auc
        if auc is not None and auc.value is not None:
            rows.append(IntervalRow(attack, auc.value, auc.low, auc.high, "attack"))
    if not rows:
        return None
    for name, check in report.summary.blind.items():
        if check.value is not None:
            rows.append(IntervalRow(name, check.value, check.low, check.high, "blind"))
    rows += [
        IntervalRow(check.attack or "reference", check.value, check.low, check.high, "reference")
        for check in report.summary.checks
        if check.check == "reference" and check.value is not None
    ]
    return interval_chart(rows, report.decided_by), {row.kind for row in rows}


def _bars(report: Report) -> list[RateInterval]:
    """The stored intervals of the true positive rates on the first curve."""
    if not report.curves:
        return []
    figures = report.summary.attacks[report.curves[0].attack].figures
    found = ((float(rate), figures.get(f"tpr_at_fpr_{rate}")) for rate in FALSE_POSITIVE_RATES)
    return [
        RateInterval(fpr, figure.low, figure.high)
        for fpr, figure in found
        if figure is not None and figure.low is not None and figure.high is not None
    ]


def _groups(report: Report) -> list[tuple[str, Markup]]:
    """The groups of samples that any histogram has, for the legend."""
    names = dict.fromkeys(name for histogram in report.histograms for name in histogram.counts)
    return [(name, line_swatch(group_class(name))) for name in names]
