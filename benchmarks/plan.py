"""What an audit of a billion pairs would take: a plan on paper from what was measured on small ones.

    python benchmarks/plan.py
    python benchmarks/plan.py --architecture ViT-L-14 --gpu-tflops 370

Measured here and now: how many pictures of a common web crawl's sizes a core decodes and
resizes. Taken from benchmarks/results/latest.json: how fast stored embeddings are scored,
and rows go into DuckDB. Counted: operations of the models, bytes of a part and of tables.
Assumed, and to be replaced by what `tui-mia doctor` says of a card: what a GPU reaches
(`--gpu-tflops`), and prices. Prints a table for docs/scale.md.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import open_clip
from pairs import write_pairs
from PIL import Image

from tui_mia.encoder.images import decode
from tui_mia.encoder.operations import operations_of, without_contents
from tui_mia.encoder.preprocess import in_bytes
from tui_mia.pools import Pair, plan_shards, read_shard
from tui_mia.spec import PoolSpec

RESULTS = Path(__file__).parent / "results" / "latest.json"
SAMPLES_TIMED = 256
CAPTIONS_A_PAIR = 0.9
# Of a part beside embeddings and similarities, and of rows of tables as Parquet: the sample world's run.
PART_BYTES, SIMILARITY_BYTES, SCORE_BYTES, SAMPLE_BYTES = 575, 8.1, 36, 90
SCORES_A_SAMPLE = 7
HOUR = 3600.0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--architecture", default="ViT-B-32")
    parser.add_argument("--pairs", type=float, default=1e9)
    parser.add_argument("--views", type=int, default=10)
    parser.add_argument("--gpus", type=int, default=64)
    parser.add_argument("--cores-a-gpu", type=int, default=16)
    parser.add_argument("--gpu-tflops", type=float, default=300.0, help="that a GPU reaches in fp16; assumed")
    parser.add_argument("--gpu-hour", type=float, default=2.5, help="price of a GPU for an hour; assumed")
    asked = parser.parse_args()
    model, pairs = open_clip.create_model(asked.architecture, load_weights=False), asked.pairs
    images, bytes_an_image = _images_a_second(model)
    operations = operations_of(without_contents(model))
    a_pair = (1 + asked.views) * operations.image + CAPTIONS_A_PAIR * operations.caption
    on_gpus = pairs * a_pair / (asked.gpus * asked.gpu_tflops * 1e12) / HOUR
    on_cores = pairs / (images * asked.cores_a_gpu * asked.gpus) / HOUR
    encode, bottleneck = max((on_gpus, "GPUs"), (on_cores, "decoding"))
    rates = {row["name"]: row["measured"] for row in json.loads(RESULTS.read_text())["rows"]}
    similarities = pairs / rates["warm cache, csa, aea, 10,000 known non-members"] / HOUR
    loss = pairs / rates["warm cache, csa, aea, loss, 10,000 known non-members"] / HOUR
    rows = pairs * (1 + asked.views + SCORES_A_SAMPLE)
    dimension = model.visual.output_dim
    part = PART_BYTES + 4 * (1 + asked.views) + 8 * dimension
    tables = SAMPLE_BYTES + SIMILARITY_BYTES * (1 + asked.views) + SCORE_BYTES * SCORES_A_SAMPLE
    read = pairs * bytes_an_image
    cost = encode * asked.gpus * asked.gpu_hour
    print(f"{asked.architecture}, {pairs:,.0f} pairs, {asked.views} views, {asked.gpus} GPUs at", end=" ")
    print(f"{asked.gpu_tflops:g} TFLOP/s (assumed), {asked.cores_a_gpu} cores each\n")
    print("| what | how much | from |\n|---|---|---|")
    for line in (
        ("operations a pair", f"{a_pair / 1e9:,.0f} GFLOP", "counted"),
        ("models on the GPUs", f"{on_gpus:,.1f} h", "operations over the assumed rate"),
        ("decoding on their cores", f"{on_cores:,.1f} h", f"{images:,.0f} pictures a second and core, timed"),
        ("encoding", f"{encode:,.1f} h; {bottleneck} are the bottleneck", "the longer of the two"),
        (
            "reading the tars",
            f"{read / 1e12:,.0f} TB, {read / encode / HOUR / 1e9:,.1f} GB/s",
            "the size of those pictures",
        ),
        ("parts", f"{pairs * part / 1e12:,.1f} TB", f"{part:,.0f} bytes a pair"),
        ("tables", f"{pairs * tables / 1e12:,.2f} TB", f"{tables:,.0f} bytes a pair, as Parquet"),
        ("`csa`, `aea*`", f"{similarities:,.1f} h on 2 cores", "measured rate"),
        ("`loss` beside them", f"{loss:,.1f} h on 2 cores", "measured rate"),
        (
            "rows into DuckDB",
            f"{rows / rates['scores into DuckDB'] / HOUR:,.1f} h for {rows / 1e9:,.0f} billion",
            "measured rate",
        ),
        ("cost of the GPUs", f"{cost:,.0f}; {cost / pairs * 1e6:,.2f} a million pairs", "the assumed price"),
    ):
        print(f"| {' | '.join(line)} |")


def _images_a_second(model: open_clip.CLIP) -> tuple[float, float]:
    """How many pictures one core decodes, resizes and looks at in a second, and their mean size in bytes."""
    preprocess = in_bytes(open_clip.image_transform(model.visual.image_size, is_train=False), fast=False)
    with tempfile.TemporaryDirectory() as name:
        spec = PoolSpec(source=[write_pairs(Path(name), "pairs", SAMPLES_TIMED)])
        (shard,) = plan_shards("candidates", spec)
        found = [item.image for item in read_shard(shard, spec) if isinstance(item, Pair)]
    Image.init()
    began = time.thread_time()
    for image in found:
        assert not isinstance(decode(image, preprocess), str)
    return len(found) / (time.thread_time() - began), sum(map(len, found)) / len(found)


if __name__ == "__main__":
    main()
