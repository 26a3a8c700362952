"""What an audit costs on this machine's CPU, beside what the hardware allows and what others do.

    python benchmarks/bench.py
    python benchmarks/bench.py --clip-retrieval ~/clip-retrieval --write-docs

About 12 minutes on two cores that nobody else uses. ViT-B-32 with weights of
chance, saved once and loaded by all, on made-up photographs; nothing is
downloaded. Every ratio is of one run, in which what is compared took turns.
Prints a table and writes benchmarks/results/latest.json; --write-docs puts the
same into docs/performance.md, with a plot of how the cost grows.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

# As the worker does, or threads that wait take turns with those that work.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from measures import (
    Audit,
    EncodeOnly,
    audit,
    audits,
    cpu_seconds_a_sample,
    encode_only,
    ingest_rows_a_second,
    machine,
    program,
    train_wsa,
    warm_cache,
)
from pairs import save_weights, write_pairs
from performance_page import write_page
from rich.console import Console
from rich.table import Table

from tui_mia.demo import sample_world

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "latest.json"
VIEWS = 8
# Captions that differ, of the pairs that are made.
CAPTIONS_A_PAIR = 0.9
OTHERS = 40
# A bank of 1,024 pairs and the fold that each fit leaves out.
SMALL_BANK = 1280
PEERS = ("clip-retrieval", "clip-mia", "clip-mia-bench")
LEAST_PAIRS = 32
# Two forms of WSA, five folds, one seed.
WSA_FITS = 10
# Name of a ratio in the table: what is to be reached.
TARGETS = {
    "end to end over encode only, no views": 0.90,
    f"end to end over encode only, {VIEWS} views": 0.92,
    "csa, exact, over the eager loop": 3.0,
    "csa, fast, over the eager loop": 5.5,
    f"all attacks, {VIEWS} views, exact, over the eager loop": 4.0,
    f"all attacks, {VIEWS} views, fast, over the eager loop": 7.0,
}


@dataclass(frozen=True)
class Row:
    """A line of the table; `met` is None where there is nothing to meet."""

    name: str
    measured: float
    unit: str
    target: float | None
    met: bool | None


class Bench:
    """Collects rows, and says each as it comes."""

    def __init__(self, folder: Path, rounds: int, scale: float) -> None:
        self.folder, self.rounds, self._scale = folder, rounds, scale
        self.rows: list[Row] = []
        # What is shown: [x, y] of each curve.
        self.growth: dict[str, list[tuple[float, float]]] = {}
        self._found: dict[str, list[float]] = {}
        self._began = time.monotonic()
        self.peer_seconds = 0.0

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def pairs(self, pairs: int) -> int:
        return max(LEAST_PAIRS, round(pairs * self._scale))

    def row(
        self, name: str, measured: float, unit: str = "", target: float | None = None, at_most: bool = False
    ) -> None:
        met = None if target is None else bool(measured <= target if at_most else measured >= target)
        self.rows.append(Row(name, measured, unit, target, met))
        print(f"{self.seconds:5.0f} s  {name}: {measured:,.4g} {unit}", flush=True)

    def note(self, name: str, measured: float) -> None:
        """One round's figure; its median becomes a row."""
        self._found.setdefault(name, []).append(measured)

    def rows_of_notes(self, unit: str = "") -> None:
        for name, found in self._found.items():
            self.row(name, statistics.median(found), unit, TARGETS.get(name))
        self._found.clear()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--scale", type=float, default=1.0, help="of how many pairs there are")
    for peer in PEERS:
        parser.add_argument(f"--{peer}", help="a clone of it; left out without one")
    parser.add_argument("--python", default=sys.executable, help="the interpreter that runs peers")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--write-docs", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name), arguments.rounds, arguments.scale)
        peers = ["--python", arguments.python]
        for peer in PEERS:
            clone = getattr(arguments, peer.replace("-", "_"))
            peers += [f"--{peer}", clone] if clone else []
        weights = save_weights(bench.folder)
        tars = write_pairs(bench.folder, "pairs", bench.pairs(384))
        alone = encoders(bench, weights)
        one_attack(bench, weights, tars, alone, peers)
        all_attacks(bench, weights, tars, alone)
        cache(bench)
        growth(bench, weights, tars, alone["exact"])
        database_and_classifier(bench, alone["exact"])
    document = {
        "machine": machine(),
        "seconds": round(bench.seconds - bench.peer_seconds),
        "peer_seconds": round(bench.peer_seconds),
        "rows": [asdict(row) for row in bench.rows],
        "growth": bench.growth,
    }
    arguments.output.parent.mkdir(exist_ok=True)
    arguments.output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    show(document)
    if arguments.write_docs:
        write_page(document)


def encoders(bench: Bench, weights: Path) -> dict[str, EncodeOnly]:
    """Both precisions fed from memory, against the products alone."""
    found = {}
    for precision, target in (("exact", 0.85), ("fast", 0.80)):
        alone = found[precision] = encode_only(weights, precision, 5)
        bench.row(f"matrix product, {alone.number_format}", alone.matmul_flops / 1e9, "GFLOP/s")
        name = f"encode only, {precision}, {alone.number_format}"
        bench.row(name, 1 / alone.seconds(1, CAPTIONS_A_PAIR), "pairs/s")
        bench.row(f"{name}, of the matrix product", alone.share_of_matmul(1, CAPTIONS_A_PAIR), "", target)
        needed = alone.needed_share_of_matmul(1, CAPTIONS_A_PAIR)
        bench.row(f"{name}, of the matrix product, operations that are left", needed)
    return found


def one_attack(
    bench: Bench, weights: Path, tars: str, alone: dict[str, EncodeOnly], peers: list[str]
) -> None:
    """`csa` from tars to scores, against the model alone, the eager loop, and peers."""
    options = [*_model(weights), "--candidates", tars, "--attacks", "csa"]
    size = bench.pairs(384)
    loop = ["--tars", tars, "--weights", str(weights), "--limit", str(size)]
    for _ in range(bench.rounds):
        ours = _audits(bench, alone, [*options, *_limit(size)])
        cold, warm = ours["exact"]
        end_to_end = _alone(alone["exact"], cold, 0) / cold.scored_seconds
        bench.note("end to end over encode only, no views", end_to_end)
        (theirs,) = program("eager_loop.py", *loop, "--attacks", "csa")
        _note_rates(bench, "csa", alone, ours, theirs["samples_per_cpu_second"], 0)
        rate = 1 / cpu_seconds_a_sample(cold, warm)
        began = bench.seconds
        for peer in program("peers.py", *loop, *peers):
            if "skipped" in peer:
                print(f"{bench.seconds:5.0f} s  {peer['peer']} left out: {peer['skipped']}")
            else:
                bench.note(f"csa, exact, over {peer['peer']}", rate / peer["samples_per_cpu_second"])
        bench.peer_seconds += bench.seconds - began
    bench.rows_of_notes("times")


def all_attacks(bench: Bench, weights: Path, tars: str, alone: dict[str, EncodeOnly]) -> None:
    """Three attacks and 8 views from one pass, against one pass an attack."""
    others, general = (
        write_pairs(bench.folder, name, OTHERS, seed=seed, labelled=False)
        for seed, name in enumerate(("others", "general"), start=1)
    )
    options = [*_model(weights), "--candidates", tars, "--nonmembers", others, "--general", general]
    options += ["--attacks", "csa,aea,wsa"]
    options += ["--set", f"attacks.aea.views={VIEWS}", "--set", "attacks.wsa.seeds=1"]
    size = bench.pairs(96)
    ours = _audits(bench, alone, [*options, *_limit(size)])
    cold, _ = ours["exact"]
    end_to_end = _alone(alone["exact"], cold, VIEWS) / cold.scored_seconds
    bench.note(f"end to end over encode only, {VIEWS} views", end_to_end)
    loop = ["--tars", tars, "--weights", str(weights), "--limit", str(size)]
    (theirs,) = program("eager_loop.py", *loop, "--attacks", "all", "--views", str(VIEWS))
    what = f"all attacks, {VIEWS} views"
    _note_rates(bench, what, alone, ours, theirs["samples_per_cpu_second"], VIEWS)
    bench.rows_of_notes("times")


def _audits(bench: Bench, alone: dict[str, EncodeOnly], options: list[str]) -> dict[str, list[Audit]]:
    """An audit and the same again, in each precision; in `exact` alone where `fast` is the same format."""
    found = {"exact": audits(bench.folder, 2, *options)}
    if alone["fast"].number_format != alone["exact"].number_format:
        found["fast"] = audits(bench.folder, 2, *options, "--precision", "fast")
    return found


def _note_rates(
    bench: Bench,
    what: str,
    alone: dict[str, EncodeOnly],
    ours: dict[str, list[Audit]],
    theirs: float,
    views: int,
) -> None:
    """Samples a CPU second over those of the loop, and what no program could be above on this machine."""
    for precision in ("exact", "fast"):
        rate = 1 / cpu_seconds_a_sample(*ours.get(precision, ours["exact"]))
        bench.note(f"{what}, {precision}, over the eager loop", rate / theirs)
        most = 1 / alone[precision].least_cpu_seconds(1 + views, CAPTIONS_A_PAIR)
        bench.note(f"{what}, {precision}, over the eager loop: products alone", most / theirs)


def cache(bench: Bench) -> None:
    """Attacks on embeddings that are there."""
    for nonmembers in (10_000, SMALL_BANK):
        folder = bench.folder / f"warm-{nonmembers}"
        folder.mkdir()
        for name, rate in warm_cache(folder, 50_000, nonmembers).items():
            bench.row(f"warm cache, {name}, {nonmembers:,} known non-members", rate, "samples/s", 100_000)


def growth(bench: Bench, weights: Path, tars: str, alone: EncodeOnly) -> None:
    """What 16 times the pairs, more views, and larger models cost."""
    size = bench.pairs(8192)
    many = write_pairs(bench.folder, "many", size, pairs_a_tar=size // 16, seed=2)
    model = f"local-dir:{sample_world() / 'models' / 'target'}"
    options = ["--model", model, "--candidates", many, "--attacks", "csa"]
    audits = {pairs: audit(bench.folder, *options, *_limit(pairs)) for pairs in (size // 16, size // 4, size)}
    least, most = audits[size // 16], audits[size]
    bench.growth["pairs"] = [(pairs, of.scored_seconds / of.samples) for pairs, of in audits.items()]
    a_pair = (most.scored_seconds / most.samples) / (least.scored_seconds / least.samples)
    bench.row("time a pair, 16 times as many over as many", a_pair, "times", 1.05, at_most=True)
    memory = (most.encode_peak_bytes - least.encode_peak_bytes) / 2**20
    bench.row("memory while encoding, 16 times as many less as many", memory, "MB", 50, at_most=True)
    memory = (most.peak_bytes - least.peak_bytes) / 2**20
    bench.row("memory of the whole run, 16 times as many less as many", memory, "MB")
    options = [*_model(weights), "--candidates", tars, "--attacks", "aea", *_limit(bench.pairs(32))]
    for views in (1, 4, 8):
        of = audit(bench.folder, *options, "--set", f"attacks.aea.views={views}")
        bench.growth.setdefault("views", []).append((views, of.scored_seconds / of.samples))
    (first, least_seconds), *_, (last, most_seconds) = bench.growth["views"]
    slope = (most_seconds - least_seconds) / (last - first) / alone.image_seconds
    bench.row("one more view over one more image, encode only", slope, "times")
    bench.growth["gflop"] = [(alone.image_flops / 1e9, alone.image_seconds)]
    for architecture in ("ViT-B-16", "ViT-L-14"):
        of = encode_only(save_weights(bench.folder, architecture), "exact", 3, batch=4)
        bench.row(
            f"encode only, exact, {architecture}, of the matrix product", of.share_of_matmul(1, 1), "", 0.85
        )
        bench.growth["gflop"].append((of.image_flops / 1e9, of.image_seconds))


def database_and_classifier(bench: Bench, alone: EncodeOnly) -> None:
    bench.row("scores into DuckDB", ingest_rows_a_second(bench.folder, 160_000), "rows/s", 1e6)
    pairs = bench.pairs(100_000)
    name = f"WSA's classifier, {pairs:,} + {pairs:,} pairs of 1,024 features"
    seconds = train_wsa(pairs, 1024)
    bench.row(name, seconds, "s", 120, at_most=True)
    # Those pairs and as many candidates, each once through the model.
    encoding = 3 * pairs * alone.seconds(1, CAPTIONS_A_PAIR)
    share = WSA_FITS * seconds / (WSA_FITS * seconds + encoding)
    bench.row(f"{WSA_FITS} fits of it in an audit of {3 * pairs:,} pairs without views", 100 * share, "%")


def show(document: dict[str, Any]) -> None:
    table = Table(
        "", "measured", "target", "met", title=f"{document['machine']['cpu']}, {document['seconds']} s"
    )
    for row in document["rows"]:
        met = {None: "", True: "yes", False: "no"}[row["met"]]
        target = "" if row["target"] is None else f"{row['target']:,g}"
        table.add_row(row["name"], f"{row['measured']:,.4g} {row['unit']}", target, met)
    Console().print(table)


def _model(weights: Path) -> list[str]:
    return ["--model", weights.stem, "--pretrained", str(weights)]


def _limit(pairs: int) -> list[str]:
    return ["--set", f"pools.candidates.limit={pairs}"]


def _alone(alone: EncodeOnly, of: Audit, views: int) -> float:
    return of.samples * alone.seconds(1 + views, CAPTIONS_A_PAIR)


if __name__ == "__main__":
    main()
