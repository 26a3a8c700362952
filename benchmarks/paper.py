"""Repeats the experiment of Ko, Jin, Wang and Jia (ICCV 2023, arXiv 2310.00108) in form, on the sample world.

    python benchmarks/paper.py
    python benchmarks/paper.py --folder FOLDER

Trains CLIPs of two sizes for two lengths on the 800 members, audits them and
the control on the matched candidates and on the shifted ones, and writes the
tables of docs/paper.md: about half an hour on two cores that do other work
too. What is in FOLDER already, models and audits, is not made again; without
one, everything is made anew in a temporary folder.
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
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from scipy.stats import norm

from tui_mia.evidence.auc import auc_difference, placements

ROOT = Path(__file__).resolve().parent.parent
WORLD = ROOT / "sample_data"
sys.path.insert(0, str(WORLD))
import train as recipe  # type: ignore[import-not-found]  # noqa: E402

DOCUMENT = ROOT / "docs" / "paper.md"
BEGIN, END = "<!-- tables: written by benchmarks/paper.py -->", "<!-- end of tables -->"
ATTACKS = ("csa", "aea", "wsa")
KINDS = ("crop", "rotation", "flip", "blur", "colour")
SEED = 0
Audits = dict[tuple[str, str], dict[str, Any]]
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
    # Two threads wait for each other at every step, for minutes where something else has a core too.
    torch.set_num_threads(1)
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
        ran = tui_mia(folder, "run", str(WORLD / "audit.toml"), *options)
        kept.write_text(json.dumps(ran, indent=2))
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


def paper_table(names: list[str], found: Audits) -> str:
    rows = []
    for way, name, attack in product(("matched", "shifted"), names, ATTACKS):
        figures = found[name, way]["attacks"][attack]
        referred = found[name, "shifted, with a reference"]["attacks"][attack]["verdict"]
        rows.append(
            (
                *(way, name, attack, _value(figures["auc"], *figures["interval"])),
                f"{figures['balanced_accuracy']:.3f}",
                *(_rate(figures, rate) for rate in ("0.01", "0.1")),
                *(figures["verdict"], referred if way == "shifted" else "-"),
            )
        )
    heads = ("pools", "model", "attack", "AUC", "accuracy", "TPR at 1 % FPR", "TPR at 10 % FPR")
    return _table("The paper's table, with verdicts", (*heads, "verdict", "with a reference"), rows)


def shift_table(names: list[str], found: Audits) -> str:
    rows = []
    for name, attack in product(names, ATTACKS):
        document = found[name, "shifted, with a reference"]
        (unseen,) = (
            check["value"]
            for check in document["checks"]
            if (check["check"], check["attack"]) == ("reference", attack)
        )
        matched, shifted = found[name, "matched"]["attacks"][attack]["auc"], document["attacks"][attack]
        above = [shifted["figures"][f"auc_above_{other}"] for other in ("reference", "blind")]
        adjusted = shifted["adjusted_auc"]
        rows.append(
            (
                *(name, attack, *(f"{auc:.3f}" for auc in (matched, shifted["auc"], unseen))),
                *(_difference(f["value"], f["low"], f["high"]) for f in above),
                "not adjustable" if adjusted is None else _value(adjusted, *shifted["adjusted_interval"]),
                f"{norm.ppf(unseen) / norm.ppf(shifted['auc']):.0%}",
                f"{1 - norm.ppf(matched) / norm.ppf(shifted['auc']):.0%}",
            )
        )
    blind = {name: figure["auc"] for name, figure in found[names[0], "shifted"]["blind"].items()}
    best = max(blind, key=lambda name: blind[name])
    heads = ("model", "attack", "matched AUC", "shifted AUC", "reference's AUC", "above reference")
    return _table(
        f"The shifted pools; best blind baseline: `{best}`, AUC {blind[best]:.3f}",
        (*heads, "above blind", "adjusted AUC", "shift by reference", "shift by matched"),
        rows,
    )


def gain_table(folder: Path, names: list[str], found: Audits) -> str:
    rows = []
    for way, name in product(("matched", "shifted"), names):
        answer = tui_mia(folder, "query", SCORES.format(run=found[name, way]["run_id"]))
        member = np.array([row["member"] for row in answer])
        csa, wsa = (np.array([row[attack] for row in answer]) for attack in ("csa", "wsa"))
        gain = auc_difference(placements(member, wsa), placements(member, csa))
        # 1 % of 203 non-members is two: too few for a rate.
        low_rate = _low_rate_gain(member, csa, wsa) if way == "matched" else "-"
        rows.append((way, name, _difference(gain.value, gain.low, gain.high), low_rate))
    return _table("WSA minus CSA, on the same pairs", ("pools", "model", "AUC", "TPR at 1 % FPR"), rows)


def drop_table(folder: Path, names: list[str], found: Audits) -> str:
    rows = []
    for way, name in product(("matched", "shifted"), names):
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
    return _difference(gain(yes, no), float(low), float(high))


def _rate(figures: dict[str, Any], rate: str) -> str:
    value, interval = figures["tpr_at_fpr"][rate], figures["tpr_intervals"][rate]
    return "-" if value is None or interval is None else _value(value, *interval)


def _value(value: float, low: float, high: float) -> str:
    return f"{value:.3f} ({low:.3f} to {high:.3f})"


def _difference(value: float, low: float, high: float) -> str:
    return f"{value:+.3f} ({low:+.3f} to {high:+.3f})"


def _table(title: str, heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *rows]
    return f"\n{title}:\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


if __name__ == "__main__":
    main()
