"""Writes what bench.py measured into docs/performance.md, and the plot beside it."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent.parent / "docs"
BEGIN, END = "<!-- table: written by benchmarks/bench.py -->", "<!-- end of table -->"
# What stands under each plot, and the line that a cost in proportion would follow from the first point.
PLOTS = {
    "pairs": ("pairs in the audit", "flat", "ms a pair, small model"),
    "views": ("views besides the plain image", "views", "ms a pair, ViT-B-32"),
    "gflop": ("GFLOP an image", "proportional", "ms an image, encode only"),
}
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 300, 220, 52, 44, 30


def write_page(document: dict[str, Any]) -> None:
    """Between the marks of docs/performance.md, and docs/performance-growth.svg."""
    page = DOCS / "performance.md"
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n\n{_table(document)}\n{END}{after}", encoding="utf-8")
    (DOCS / "performance-growth.svg").write_text(_svg(document["growth"]), encoding="utf-8")


def _table(document: dict[str, Any]) -> str:
    machine = document["machine"]
    took = f"{document['seconds'] / 60:.0f} minutes and {document['peer_seconds'] / 60:.0f} of the peers"
    lines = [
        f"{machine['cpu']}, {machine['threads']} cores, torch {machine['torch']},"
        f" open_clip {machine['open_clip']}, Python {machine['python']};"
        f" `python benchmarks/bench.py`, {took}.",
        "",
        "| what | measured | target | met |",
        "|---|---|---|---|",
    ]
    for row in document["rows"]:
        target = "" if row["target"] is None else f"{row['target']:,g}"
        met = {None: "", True: "yes", False: "**no**"}[row["met"]]
        lines.append(f"| {row['name']} | {_number(row['measured'])} {row['unit']} | {target} | {met} |")
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _svg(growth: dict[str, list[list[float]]]) -> str:
    """Three plots side by side, from 0; dots are measured, the line is what the first would lead to."""
    plots = [
        f'<g transform="translate({place * _WIDTH} 0)">{_plot(growth[name], *PLOTS[name])}</g>'
        for place, name in enumerate(PLOTS)
    ]
    size = f'viewBox="0 0 {_WIDTH * len(PLOTS)} {_HEIGHT}" width="{_WIDTH * len(PLOTS)}" height="{_HEIGHT}"'
    style = "text{font:11px sans-serif;fill:#444}.title{font-weight:bold;fill:#111}"
    background = '<rect width="100%" height="100%" fill="#fff"/>'
    inside = f"<style>{style}</style>{background}{''.join(plots)}"
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{inside}</svg>\n'


def _plot(points: list[list[float]], across: str, law: str, up: str) -> str:
    most_x = max(x for x, _ in points)
    first_x, first_y = points[0]

    def expected(x: float) -> float:
        share = {"flat": 1.0, "views": (1 + x) / (1 + first_x), "proportional": x / first_x}[law]
        return first_y * share

    most_y = 1.15 * max(max(y for _, y in points), expected(most_x))

    def place(x: float, y: float) -> tuple[float, float]:
        wide, high = _WIDTH - _LEFT - 20, _HEIGHT - _BOTTOM - _TOP
        return _LEFT + wide * x / most_x, _HEIGHT - _BOTTOM - high * y / most_y

    (left, bottom), (right, top) = place(0, 0), place(most_x, most_y)
    (start_x, start_y), (end_x, end_y) = place(0, expected(0)), place(most_x, expected(most_x))
    line = f"M{start_x:.1f} {start_y:.1f}L{end_x:.1f} {end_y:.1f}"
    middle = f'x="{(left + right) / 2:.0f}" text-anchor="middle"'
    parts = [
        f'<text class="title" x="{left:.0f}" y="18">{html.escape(up)}</text>',
        f'<path d="M{left:.1f} {top:.1f}V{bottom:.1f}H{right:.1f}" fill="none" stroke="#888"/>',
        f'<path d="{line}" stroke="#bbb" stroke-dasharray="4 3"/>',
        f'<text {middle} y="{_HEIGHT - 8}">{html.escape(across)}</text>',
    ]
    for x, y in points:
        dot_x, dot_y = place(x, y)
        parts.append(f'<circle cx="{dot_x:.1f}" cy="{dot_y:.1f}" r="3.5" fill="#1668a8"/>')
        parts.append(
            f'<text x="{dot_x:.1f}" y="{dot_y - 7:.1f}" text-anchor="middle">{_number(1000 * y)}</text>'
        )
        parts.append(f'<text x="{dot_x:.1f}" y="{bottom + 14:.1f}" text-anchor="middle">{_number(x)}</text>')
    return "".join(parts)
