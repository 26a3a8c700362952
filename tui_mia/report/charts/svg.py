"""Elements of SVG with everything in them escaped, and scales from values to places."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from tui_mia.clean import printable

WIDTH: Final = 360
# As many as page.css has classes line-0, line-1, ... for; more share colours and differ in width.
LINE_STYLES: Final = 9


@dataclass(frozen=True, slots=True)
class Scale:
    """From values of `low` to `high` to places from `start` to `stop`; others are put at the ends."""

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        # Divided first: the difference of two large values may be too large.
        width = self.high / 2 - self.low / 2
        share = (value / 2 - self.low / 2) / width if width else 0.0
        return self.start + min(1.0, max(0.0, share)) * (self.stop - self.start)


def element(name: str, content: str | Markup = "", **attributes: object) -> Markup:
    """An element; `class_` is the attribute `class`, an underscore within a name is a hyphen."""
    written = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), _value(value))
        for key, value in attributes.items()
        if value is not None
    )
    text = content if isinstance(content, Markup) else printable(content)
    return Markup("<{}{}>{}</{}>").format(Markup(name), written, text, Markup(name))


def chart(title: str, height: float, parts: Iterable[Markup], width: float = WIDTH) -> Markup:
    """A chart with a title for those who can't see it."""
    inside = Markup("").join([element("title", title), *parts])
    return element(
        "svg",
        inside,
        class_="chart",
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
        xmlns="http://www.w3.org/2000/svg",
        aria_label=printable(title),
    )


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def text(x: float, y: float, words: str, class_: str = "label", anchor: str = "middle") -> Markup:
    """A line of text; `anchor` is start, middle or end."""
    return element("text", words, x=x, y=y, class_=class_, text_anchor=anchor)


def path(points: Sequence[tuple[float, float]], class_: str, closed: bool = False) -> Markup:
    """A line through points."""
    steps = " ".join(f"{'L' if place else 'M'}{x:.1f},{y:.1f}" for place, (x, y) in enumerate(points))
    return element("path", d=f"{steps}Z" if closed else steps, class_=class_)


def line_class(place: int, is_first: bool = False) -> str:
    """How the line of the attack at a place is drawn; the first is the one that matters."""
    return f"line line-{place % LINE_STYLES}" + (" line-main" if is_first else "")


def line_swatch(class_: str) -> Markup:
    """A piece of a line for a legend."""
    return element("svg", line(1, 5, 31, 5, class_), class_="swatch", viewBox="0 0 32 10", aria_hidden="true")


def ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round values from `low` to `high`, about as many as asked for."""
    span = high - low
    if not (math.isfinite(span) and span > 0):
        return [low]
    rough = span / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [step * number for number in range(first, last + 1)]


def _value(value: object) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)
