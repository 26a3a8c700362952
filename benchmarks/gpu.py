"""What an audit reaches on a GPU, beside the matrix products of that GPU and clip-retrieval's own inference.

    python benchmarks/gpu.py
    python benchmarks/gpu.py --clip-retrieval ~/clip-retrieval

ViT-B-32, B-16 and L-14 with weights of chance in `fast`, which is fp16, on made-up
photographs; nothing is downloaded. Prints a table and writes
benchmarks/results/gpu.json. `--device cpu --scale 0.01` tries the program
where there is no GPU; its figures then mean nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import torch
from bench import CAPTIONS_A_PAIR, Bench, show
from measures import audit, encode_only, load, machine, program
from pairs import save_weights, write_pairs

from tui_mia.encoder.batch_size import ON_CPU, probe

RESULTS = Path(__file__).resolve().parent / "results" / "gpu.json"
ROUNDS = 3
# Architecture: pairs, and what is to be reached of the product, of encode only, and over clip-retrieval.
GOALS: dict[str, tuple[int, float, float | None, float | None]] = {
    "ViT-B-32": (60_000, 0.45, None, 3.0),
    "ViT-B-16": (30_000, 0.53, 0.9, None),
    "ViT-L-14": (10_000, 0.55, 0.9, 2.0),
}
PEER_BATCH = 512


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--scale", type=float, default=1.0, help="of how many pairs there are")
    parser.add_argument("--clip-retrieval", help="a clone of it; left out without one")
    parser.add_argument("--python", default=sys.executable, help="the interpreter that runs the peer")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    on_gpu = arguments.device != "cpu"
    peer = ["--python", arguments.python]
    peer += ["--clip-retrieval", arguments.clip_retrieval] if arguments.clip_retrieval else []
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name), ROUNDS, arguments.scale)
        most = bench.pairs(max(pairs for pairs, *_ in GOALS.values()))
        tars = write_pairs(bench.folder, "pairs", most, pairs_a_tar=max(16, most // 16))
        for architecture in GOALS:
            one_model(bench, architecture, tars, arguments.device, peer)
    who = machine() | {"gpu": torch.cuda.get_device_name() if on_gpu else None}
    if who["gpu"]:
        who["cpu"] = f"{who['gpu']}, {who['cpu']}"
    document = {"machine": who, "seconds": round(bench.seconds), "rows": [asdict(row) for row in bench.rows]}
    arguments.output.parent.mkdir(exist_ok=True)
    arguments.output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    show(document)


def one_model(bench: Bench, architecture: str, tars: str, device: str, peer: list[str]) -> None:
    """The model from memory, from tars to scores, and the peer on the same tars."""
    pairs, of_product, of_alone, of_peer = GOALS[architecture]
    size = bench.pairs(pairs)
    weights = save_weights(bench.folder, architecture)
    batch = ON_CPU if device == "cpu" else probe(load(weights, "fast", device))
    bench.row(f"{architecture}, images a batch", batch)
    alone = encode_only(weights, "fast", ROUNDS, batch, device)
    bench.row(f"{architecture}, matrix product, {alone.number_format}", alone.matmul_flops / 1e12, "TFLOP/s")
    bench.row(f"{architecture}, encode only", 1 / alone.seconds(1, CAPTIONS_A_PAIR), "pairs/s")
    share = alone.share_of_matmul(1, CAPTIONS_A_PAIR)
    bench.row(f"{architecture}, encode only, of the matrix product", share, "", of_product)
    options = ["--model", architecture, "--pretrained", str(weights), "--precision", "fast"]
    options += ["--candidates", tars, "--attacks", "csa", "--set", f"pools.candidates.limit={size}"]
    runs = [audit(bench.folder, *options, device=device) for _ in range(ROUNDS)]
    encoding = statistics.median(run.seconds["encode"] for run in runs) / size
    bench.row(f"{architecture}, encode from tars", 1 / encoding, "pairs/s")
    ratio = size * alone.seconds(1, CAPTIONS_A_PAIR) / statistics.median(run.scored_seconds for run in runs)
    bench.row(f"{architecture}, end to end over encode only", ratio, "times", of_alone)
    asked = ["--tars", tars, "--weights", str(weights), "--limit", str(size), "--device", device]
    asked += ["--batch", str(PEER_BATCH), "--workers", str(os.cpu_count())]
    for told in program("peers.py", *asked, *peer):
        if "skipped" in told:
            print(f"{bench.seconds:5.0f} s  {told['peer']} left out: {told['skipped']}")
        else:
            name = f"{architecture}, encode from tars over {told['peer']}"
            bench.row(name, told["wall_seconds"] / told["samples"] / encoding, "times", of_peer)


if __name__ == "__main__":
    main()
