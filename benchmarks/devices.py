"""Several encoder processes on a CPU against one, on the same cores and the same tars.

    python benchmarks/devices.py
    python benchmarks/devices.py --rounds 5 --processes 4

Two models: ViT-B-32 at 224 px with random weights on JPEGs of mixed sizes, and the sample
world's target, which is small, on its own pictures. Ways take turns, round after round.
Pairs a second are those of the encoding: from its first word until the last shard is
there, so that the processes' start counts only where it makes pairs wait. Prints the
medians, and the ratio to one process with all cores.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from pairs import save_weights, write_pairs

from tui_mia.demo import sample_world
from tui_mia.encoder.machine import cores
from tui_mia.runs import Progress, RunDirectory, ShardEncoded


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=cores())
    parser.add_argument("--pairs", type=int, default=1024, help="for ViT-B-32, in 16 tars")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    arguments = parser.parse_args()
    several = json.dumps(["cpu"] * arguments.processes)
    ways = {"1 process": [], f"{arguments.processes} processes": ["--set", f"run.devices={several}"]}
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        for model, options in _models(Path(name), arguments.pairs).items():
            rates: dict[str, list[float]] = {way: [] for way in ways}
            for _ in range(arguments.rounds):
                for way, of_way in ways.items():
                    rates[way].append(_rate(Path(name), [*options, *of_way]))
            found[model] = {way: median(of_way) for way, of_way in rates.items()}
            one, *others = found[model].values()
            told = ", ".join(f"{way} {rate:,.1f} pairs/s" for way, rate in found[model].items())
            print(f"{model}: {told}, ratio {others[0] / one:.3f}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _models(folder: Path, pairs: int) -> dict[str, list[str]]:
    weights, world = save_weights(folder), sample_world()
    tars = write_pairs(folder, "pairs", pairs, max(1, pairs // 16))
    target = f"local-dir:{world / 'models' / 'target'}"
    pictures = [part for _ in range(4) for part in ("--candidates", str(world / "*.tar"))]
    return {
        weights.stem: ["--model", weights.stem, "--pretrained", str(weights), "--candidates", tars],
        "sample world's target": ["--model", target, *pictures],
    }


def _rate(folder: Path, options: list[str]) -> float:
    """Pairs a second while they are encoded."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        command = [sys.executable, "-m", "tui_mia", "run", "--json", "--quiet", "--attacks", "csa", *options]
        completed = subprocess.run(
            [*command, "--db", str(Path(name) / "bench.duckdb")], stdout=subprocess.PIPE, check=True
        )
        directory = RunDirectory.open(Path(json.loads(completed.stdout)["run_directory"]))
        events = directory.events()
    began = next(event.time for event in events if isinstance(event, Progress) and event.phase == "encode")
    shards = [event for event in events if isinstance(event, ShardEncoded)]
    return sum(shard.samples for shard in shards) / (max(shard.time for shard in shards) - began)


if __name__ == "__main__":
    main()
