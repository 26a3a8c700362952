"""Plots as files: a picture as SVG, and its points as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Final
from xml.sax.saxutils import escape

from tui_mia.clean import printable
from tui_mia.store import RocCurve, ScoreHistogram
from tui_mia.tui.panes.plots.drawing import Line, Panel, linear_ticks, log_ticks, marks

WIDTH: Final = 760
PANEL_HEIGHT: Final = 440
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 40, 50

# Those of Okabe and Ito remain apart to those who see fewer colours; lines are also dashed and lettered.
COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#999999")
DASHES: Final = ("", "8 3", "2 3", "8 3 2 3", "14 4", "4 2", "1 2", "10 2 2 2")


def roc_csv(curves: Iterable[RocCurve]) -> str:
    """The points of curves, a line each; `resolved` says where ten false positives or more are expected."""
    rows = (
        (curve.run_id, curve.attack, repr(float(fpr)), repr(float(tpr)), str(fpr >= curve.resolution).lower())
        for curve in curves
        for fpr, tpr in zip(curve.fpr, curve.tpr, strict=True)
    )
    return _csv(("run_id", "attack", "fpr", "tpr", "resolved"), rows)


def histogram_csv(histograms: Iterable[ScoreHistogram]) -> str:
    """The bins of histograms, a line each."""
    rows = (
        (histogram.run_id, histogram.attack, group, repr(float(low)), repr(float(high)), str(count))
        for histogram in histograms
        for group, counts in histogram.counts.items()
        for low, high, count in zip(histogram.edges, histogram.edges[1:], counts, strict=False)
    )
    return _csv(("run_id", "attack", "group", "low", "high", "samples"), rows)


def svg(panels: Sequence[Panel], legend: Sequence[str]) -> str:
    """The panels below one another, and under them lines of text that say what is what."""
    height = PANEL_HEIGHT * len(panels) + 18 * len(legend) + 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}"'
        f' viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
    ]
    for index, panel in enumerate(panels):
        parts.append(f'<g transform="translate(0 {index * PANEL_HEIGHT})">')
        parts += _panel(panel)
        parts.append("</g>")
    for index, text in enumerate(legend):
        y = PANEL_HEIGHT * len(panels) + 18 * index + 14
        parts.append(f'<text x="{LEFT}" y="{y}" xml:space="preserve">{_text(text)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel) -> Iterable[str]:
    width, height = WIDTH - LEFT - RIGHT, PANEL_HEIGHT - TOP - BOTTOM

    def x_of(value: float) -> float:
        return LEFT + width * (value - panel.x_range[0]) / (panel.x_range[1] - panel.x_range[0])

    def y_of(value: float) -> float:
        return TOP + height * (1 - (value - panel.y_range[0]) / (panel.y_range[1] - panel.y_range[0]))

    def points(line: Line) -> str:
        return " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in zip(line.x, line.y, strict=True))

    yield f'<text x="{LEFT}" y="{TOP - 14}" font-weight="bold">{_text(panel.title)}</text>'
    for value, label in _ticks(panel.x_range, panel.is_log_x):
        x = x_of(value)
        yield f'<path d="M{x:.1f} {TOP}v{height}" stroke="#dddddd"/>'
        yield f'<text x="{x:.1f}" y="{TOP + height + 16}" text-anchor="middle">{label}</text>'
    for value, label in _ticks(panel.y_range, panel.is_log_y):
        y = y_of(value)
        yield f'<path d="M{LEFT} {y:.1f}h{width}" stroke="#dddddd"/>'
        yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>'
    yield f'<rect x="{LEFT}" y="{TOP}" width="{width}" height="{height}" fill="none" stroke="black"/>'
    yield (
        f'<text x="{LEFT + width / 2}" y="{TOP + height + 36}" text-anchor="middle">'
        f"{_text(panel.x_label)}</text>"
    )
    yield (
        f'<text transform="translate(18 {TOP + height / 2}) rotate(-90)" text-anchor="middle">'
        f"{_text(panel.y_label)}</text>"
    )
    if panel.reference is not None:
        at = points(panel.reference)
        yield f'<polyline points="{at}" fill="none" stroke="#888888" stroke-dasharray="2 4"/>'
    for index, line in enumerate(panel.lines):
        colour, dash = COLOURS[index % len(COLOURS)], DASHES[index % len(DASHES)]
        yield (
            f'<polyline points="{points(line)}" fill="none" stroke="{colour}" stroke-width="2"'
            f' stroke-dasharray="{dash}"/>'
        )
        for x, y in zip(*marks(panel, index, panel.x_range), strict=True):
            yield (
                f'<text x="{x_of(x):.1f}" y="{y_of(y) - 4:.1f}" fill="{colour}" font-weight="bold"'
                f' text-anchor="middle">{_text(line.letter)}</text>'
            )


def _ticks(limits: tuple[float, float], is_log: bool) -> list[tuple[float, str]]:
    if is_log:
        return [(tick, f"{10**tick:g}") for tick in log_ticks(*limits)]
    return [(tick, f"{tick:.6g}") for tick in linear_ticks(*limits)]


def _csv(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def _text(text: str) -> str:
    return escape(printable(text))
