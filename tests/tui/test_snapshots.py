"""A few whole screens, in a small terminal and a large one; `pytest --snapshot-update` takes them anew."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from textual.pilot import Pilot

from tui_mia.runs.tables import TABLES
from tui_mia.store import RunRow, ingest
from tui_mia.tui.app import TuiMia
from tui_mia.tui.pane import PaneName

SIZES = [(80, 24), (160, 50)]
CAPTIONS = ["a red car", "a dog [/x] \x1b[2J on the beach", "一只猫", "two horses in a field of barley"]

SCORES: dict[str, Callable[[int], float]] = {
    "csa": lambda number: number * 7 % 40 / 40,
    "wsa": lambda number: -(number % 3) - number / 90,
}


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def check(
    name: str, attack: str | None, value: float, low: float | None, high: float | None, outcome: str
) -> dict[str, Any]:
    return {
        "check": name,
        "attack": attack,
        "value": value,
        "low": low,
        "high": high,
        "n": 40,
        "outcome": outcome,
        "words": f"What {name} found, in words.",
    }


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One run of forty labelled candidates, the same every time; named as in the current folder."""
    monkeypatch.chdir(tmp_path)
    ids: list[dict[str, Any]] = [{"sample_id": f"{number:032x}", "number": number} for number in range(40)]
    tables: dict[str, list[dict[str, Any]]] = {
        "samples": [
            {
                **one,
                "pool": "candidates",
                "key": f"{one['number']:05}",
                "caption": CAPTIONS[one["number"] % 4],
                "member": one["number"] % 3 == 0,
            }
            for one in ids
        ],
        "scores": [
            {
                **one,
                "attack": attack,
                "score": score(one["number"]),
                "p_value": (one["number"] + 1) / 41,
                "q_value": 0.9,
            }
            for attack, score in SCORES.items()
            for one in ids
        ],
        "metrics": [
            {"attack": attack, "metric": "auc", "value": value, "low": low, "high": high, "n": 40}
            for attack, value, low, high in (("csa", 0.512, 0.325, 0.696), ("wsa", 0.934, 0.81, 0.979))
        ],
        "verdicts": [
            {
                "attack": None,
                "outcome": "leak",
                "reasons": ["wsa: AUC 0.934 (0.810 to 0.979), above chance."],
            },
            {"attack": "csa", "outcome": "inconclusive: underpowered", "reasons": ["AUC 0.512."]},
            {"attack": "wsa", "outcome": "leak", "reasons": ["AUC 0.934 (0.810 to 0.979), above chance."]},
        ],
        "checks": [
            check("power", None, 0.78, None, None, "underpowered"),
            check("blind_all", None, 0.481, 0.297, 0.671, "ok"),
            check("blind_[/x]", None, 0.953, 0.85, 0.987, "shift"),
            check("negative_control", "csa", 0.5, 0.3, 0.7, "ok"),
            check("duplicates_within_candidates", None, 10.0, None, None, "note"),
            check("stability_seed", "wsa", 0.991, None, None, "ok"),
        ],
    }
    for table, rows in tables.items():
        pq.write_table(pa.Table.from_pylist(rows, TABLES[table]), tmp_path / f"{table}.parquet")
    noon = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
    row = RunRow(
        run_id="20260102-120000-cafe",
        status="done",
        architecture="ViT-B-32",
        pretrained="laion2b_s34b_b79k",
        precision="exact (fp32)",
        device="cpu",
        created_at=noon,
        started_at=noon,
        finished_at=noon,
        seconds={"encode": 61.5, "attack": 4.25},
    )
    ingest(Path("audits.duckdb"), row, tmp_path)
    return Path("audits.duckdb")


@pytest.mark.parametrize("size", SIZES, ids=["80x24", "160x50"])
@pytest.mark.parametrize("name", ["audit", "runs", "results", "plots", "checks"])
def test_a_pane_looks_as_it_did(
    snap_compare: Callable[..., bool],
    database: Path,
    make_app: Callable[..., TuiMia],
    bring: Callable[..., Any],
    wait_until: Callable[..., Any],
    name: PaneName,
    size: tuple[int, int],
) -> None:
    app = make_app(database)

    async def before(pilot: Pilot[int]) -> None:
        await bring(pilot, "runs")
        if name in ("results", "plots"):
            await pilot.press("enter" if name == "results" else "p")
            await wait_until(pilot, lambda: name in app._panes)
        await bring(pilot, name)
        shown = {"audit": "needed", "runs": "0.934", "results": "barley", "plots": "wsa", "checks": "shift"}[
            name
        ]
        await wait_until(pilot, lambda: shown in app.export_screenshot().replace("&#160;", " "))
        await pilot.pause(0.5)

    assert snap_compare(app, terminal_size=size, run_before=before)
