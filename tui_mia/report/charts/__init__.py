"""Numbers come in, inline SVG goes out: small pure functions, styled by the classes of page.css.

A chart is 360 units wide, which are pixels on a phone, so that its letters can
be read there; anywhere else it is larger. Lines differ in colour and in dashes.
"""

from tui_mia.report.charts.histogram import histogram_chart
from tui_mia.report.charts.intervals import IntervalRow, interval_chart
from tui_mia.report.charts.roc import RateInterval, roc_chart
from tui_mia.report.charts.svg import line_swatch

__all__ = [
    "IntervalRow",
    "RateInterval",
    "histogram_chart",
    "interval_chart",
    "line_swatch",
    "roc_chart",
]
