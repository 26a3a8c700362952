"""Repeats the experiment of Ko, Jin, Wang and Jia (ICCV 2023, arXiv 2310.00108) in form, on the sample world.

    python benchmarks/paper.py
    python benchmarks/paper.py --folder FOLDER

Trains CLIPs of two sizes for two lengths on the 800 members, audits them and
the control on the matched candidates and on the shifted ones, and writes the
tables of docs/paper.md. What is in FOLDER already, models and audits, is not
made again; without one, everything is made anew in a temporary folder.
"""

from __future__ import annotations

import argparse
import json
import logging
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch

from tui_mia.evidence.auc import auc_difference, placements

ROOT = Path(__file__).resolve().parent.parent
WORLD = ROOT / "sample_data"
sys.path.insert(0, str(WORLD))
import train as recipe  # noqa: E402

DOCUMENT = ROOT / "docs" / "paper.md"
BEGIN, END = "<!-- tables: written by benchmarks/paper.py -->", "<!-- end of tables -->"
ATTACKS = ("csa", "aea", "wsa")
KINDS = ("crop", "rotation", "flip", "blur", "colour")
SEED = 0
BOOTSTRAP = 2000
SHIPPED = recipe.MODEL_CONFIG
SMALL = {
    **SHIPPED,
    "vision_cfg": {**SHIPPED["vision_cfg"], "width": 64, "layers": 2},
    "text_cfg": {**SHIPPED["text_cfg"], "width": 32, "layers": 2},
}
SHIFTED = ("--set", f"pools.candidates.keys={WORLD / 'shifted' / 'candidates.txt'}")
REFERENCE = ("--reference", f"local-dir:{WORLD / 'models' / 'reference'}")
SETTINGS = {"matched": (), "shifted": SHIFTED, "shifted, with a reference": (*SHIFTED, *REFERENCE)}

# The mean drop of a pair under the views of a kind; then how far members' drops lie above the others'.
DROPS = """
  WITH drops AS (
    SELECT number, (augmented.view - 1) % {kinds} AS kind, member,
           avg(plain.cosine - augmented.cosine) AS fall
    FROM similarities plain JOIN similarities augmented USING (run_id, number)
         JOIN samples USING (run_id, number)
    WHERE run_id = '{run}' AND pool = 'candidates' AND plain.view = 0 AND augmented.view > 0 GROUP BY ALL)
  SELECT kind, (avg(fall) FILTER (member) - avg(fall) FILTER (NOT member))
         / sqrt((var_samp(fall) FILTER (member) + var_samp(fall) FILTER (NOT member)) / 2) AS difference
  FROM drops GROUP BY kind ORDER BY kind"""
SCORES = """
  SELECT member, csa, wsa FROM sample_scores WHERE run_id = '{run}' AND pool = 'candidates' ORDER BY number"""


@dataclass(frozen=True)
class Model:
    name: str
    folder: Path
    config: dict[str, Any]
    epochs: int = 20


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, help="where models and audits are kept")
    folder = parser.parse_args().folder
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    if folder:
        write_tables(folder.resolve())
    else:
        with tempfile.TemporaryDirectory() as name:
            write_tables(Path(name))


def write_tables(folder: Path) -> None:
    models = (
        Model("shipped size, 20 epochs", WORLD / "models" / "target", SHIPPED),
        Model("shipped size, 8 epochs", folder / "shipped-8", SHIPPED, epochs=8),
        Model("small, 20 epochs", folder / "small-20", SMALL),
        Model("small, 8 epochs", folder / "small-8", SMALL, epochs=8),
        Model("control: saw none", WORLD / "models" / "control", SHIPPED),
    )
    for model in models:
        train(model)
    # All audits of a model before the next one, so that an early end leaves whole rows.
    found = {(model.name, way): audit(folder, model, way) for model in models for way in SETTINGS}
    names = [model.name for model in models]
    text = sizes() + paper_table(names, found) + shift_table(names, found)
    text += gain_table(folder, names, found) + drop_table(folder, names, found)
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    DOCUMENT.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}")
    print(text)


def train(model: Model) -> None:
    """Train and save a model with the recipe of the shipped target, unless it is there."""
    if (model.folder / "open_clip_model.safetensors").exists():
        return
    logging.info("training %s", model.name)
    torch.set_num_threads(recipe.THREADS)
    # Its functions read the size of the model from the module.
    recipe.MODEL_CONFIG = model.config
    pairs = recipe.training_pairs("target", WORLD, SEED)
    recipe.save(recipe.train(pairs, recipe.Recipe(epochs=model.epochs), SEED), model.folder)


def audit(folder: Path, model: Model, way: str) -> dict[str, Any]:
    """The JSON document of one run, kept in the folder."""
    kept = folder / f"{model.name}, {way}.json".replace(": ", " ").replace(", ", "_").replace(" ", "-")
    if not kept.exists():
        logging.info("auditing %s, %s", model.name, way)
        options = ("--model", f"local-dir:{model.folder}", "--attacks", ",".join(ATTACKS), *SETTINGS[way])
        document = tui_mia(folder, "run", str(WORLD / "audit.toml"), *options)
        kept.write_text(json.dumps(document, indent=2))
    document: dict[str, Any] = json.loads(kept.read_text())
    return document


def tui_mia(folder: Path, *arguments: str) -> Any:
    """What a command prints with --json."""
    command = [sys.executable, "-m", "tui_mia", *arguments, "--json", "--db", str(folder / "paper.duckdb")]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def sizes() -> str:
    """What the two sizes are, in words."""
    said = []
    for name, config in (("shipped size", SHIPPED), ("small", SMALL)):
        model = open_clip.CLIP(**config)
        millions = [sum(w.numel() for w in part.parameters()) / 1e6 for part in (model, model.visual)]
        said.append(
            f"{name}: {millions[0]:.1f} million parameters, {millions[1]:.2f} million of them for images"
        )
    return f"\n{'; '.join(said)}.\n"


def paper_table(names: list[str], found: dict[tuple[str, str], dict[str, Any]]) -> str:
    rows = []
    for way in ("matched", "shifted"):
        for name in names:
            for attack in ATTACKS:
                figures = found[name, way]["attacks"][attack]
                rates = [_rate(figures, rate) for rate in ("0.01", "0.1")]
                verdicts = [figures["verdict"]]
                if way == "shifted":
                    verdicts.append(found[name, "shifted, with a reference"]["attacks"][attack]["verdict"])
                cells = (_value(figures["auc"], *figures["interval"]), f"{figures['balanced_accuracy']:.3f}")
                rows.append((way, name, attack, *cells, *rates, verdicts[0], *(verdicts[1:] or ["-"])))
    heads = ("pools", "model", "attack", "AUC", "accuracy", "TPR at 1 % FPR", "TPR at 10 % FPR")
    return _table("The paper's table, with verdicts", (*heads, "verdict", "with a reference"), rows)


def shift_table(names: list[str], found: dict[tuple[str, str], dict[str, Any]]) -> str:
    rows = []
    for name in names:
        document = found[name, "shifted, with a reference"]
        unseen = {c["attack"]: c for c in document["checks"] if c["check"] == "reference"}
        for attack in ATTACKS:
            figures = document["attacks"][attack]
            above = figures["figures"]
            adjusted = figures["adjusted_auc"]
            rows.append(
                (
                    name,
                    attack,
                    f"{found[name, 'matched']['attacks'][attack]['auc']:.3f}",
                    f"{figures['auc']:.3f}",
                    f"{unseen[attack]['value']:.3f}" if attack in unseen else "-",
                    _difference(above.get("auc_above_reference")),
                    _difference(above.get("auc_above_blind")),
                    "-" if adjusted is None else _value(adjusted, *figures["adjusted_interval"]),
                )
            )
    heads = ("model", "attack", "matched AUC", "shifted AUC", "the reference's AUC", "above the reference")
    blind = found[names[0], "shifted"]["blind"]
    best = max(blind, key=lambda baseline: blind[baseline]["auc"])
    title = f"The shifted pools (best blind baseline: `{best}`, AUC {blind[best]['auc']:.3f})"
    return _table(title, (*heads, "above the best blind", "adjusted AUC"), rows)


def gain_table(folder: Path, names: list[str], found: dict[tuple[str, str], dict[str, Any]]) -> str:
    rows = []
    for way in ("matched", "shifted"):
        for name in names:
            answer = tui_mia(folder, "query", SCORES.format(run=found[name, way]["run_id"]))
            member = np.array([row["member"] for row in answer])
            csa, wsa = (np.array([row[attack] for row in answer]) for attack in ("csa", "wsa"))
            gain = auc_difference(placements(member, wsa), placements(member, csa))
            low = _low_rate_gain(member, csa, wsa) if way == "matched" else "-"
            rows.append(
                (way, name, _difference({"value": gain.value, "low": gain.low, "high": gain.high}), low)
            )
    return _table("WSA minus CSA, on the same pairs", ("pools", "model", "AUC", "TPR at 1 % FPR"), rows)


def drop_table(folder: Path, names: list[str], found: dict[tuple[str, str], dict[str, Any]]) -> str:
    rows = []
    for way in ("matched", "shifted"):
        for name in names:
            drops = DROPS.format(run=found[name, way]["run_id"], kinds=len(KINDS))
            answer = tui_mia(folder, "query", drops)
            rows.append((way, name, *(f"{row['difference']:+.2f}" for row in answer)))
    title = "The drop under transformations: members minus non-members, in standard deviations"
    return _table(title, ("pools", "model", *KINDS), rows)


def _low_rate_gain(member: np.ndarray, csa: np.ndarray, wsa: np.ndarray) -> str:
    """WSA's true-positive rate at 1 % FPR minus CSA's, with a paired bootstrap of members and non-members."""
    draw = np.random.default_rng(SEED)
    yes, no = np.flatnonzero(member), np.flatnonzero(~member)

    def gain(yes: np.ndarray, no: np.ndarray) -> float:
        # The share of members above all but the highest 1 % of non-members.
        rates = [np.mean(s[yes] > np.sort(s[no])[-(len(no) // 100) - 1]) for s in (wsa, csa)]
        return float(rates[0] - rates[1])

    drawn = [gain(draw.choice(yes, len(yes)), draw.choice(no, len(no))) for _ in range(BOOTSTRAP)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return _difference({"value": gain(yes, no), "low": float(low), "high": float(high)})


def _rate(figures: dict[str, Any], rate: str) -> str:
    value, interval = figures["tpr_at_fpr"][rate], figures["tpr_intervals"][rate]
    return "-" if value is None or interval is None else _value(value, *interval)


def _value(value: float, low: float, high: float) -> str:
    return f"{value:.3f} ({low:.3f} to {high:.3f})"


def _difference(figure: dict[str, float] | None) -> str:
    return f"{figure['value']:+.3f} ({figure['low']:+.3f} to {figure['high']:+.3f})" if figure else "-"


def _table(title: str, heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *rows]
    return f"\n{title}:\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


if __name__ == "__main__":
    main()
