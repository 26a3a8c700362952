"""What bench.py measures, one function a question; each prints nothing and returns numbers."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pyarrow as pa
import torch
from million import write_tables
from pairs import write_captions

from tui_mia.attacks import AttackPools, make_attacks, run_attacks
from tui_mia.attacks.classifier import train_classifiers
from tui_mia.doctor import cpu_name
from tui_mia.encoder.encoded_pool import EncodedPool
from tui_mia.encoder.machine import matmul_flops
from tui_mia.encoder.model import TargetModel, load_target
from tui_mia.encoder.operations import operations_of, without_contents
from tui_mia.encoder.parts import REJECTS, part_paths, samples_schema, write_part
from tui_mia.runs import Finished, Progress, RunDirectory
from tui_mia.spec import AeaSpec, AttacksSpec, CsaSpec, LossSpec, ModelSpec
from tui_mia.store import RunRow, ingest

HERE = Path(__file__).resolve().parent
BATCH = 32
PART_ROWS = 10_000


@dataclass(frozen=True)
class EncodeOnly:
    """A model fed from memory: seconds an image and a caption, and operations a second of matrix products.

    `flops` are the operations that a plain forward pass has, of an image and of
    a caption as long as it is; `needed` those of them that its embedding needs.
    """

    number_format: str
    image_seconds: float
    caption_seconds: float
    image_flops: float
    caption_flops: float
    needed_image_flops: float
    needed_caption_flops: float
    matmul_flops: float

    def seconds(self, images: float, captions: float) -> float:
        return images * self.image_seconds + captions * self.caption_seconds

    def share_of_matmul(self, images: float, captions: float) -> float:
        operations = images * self.image_flops + captions * self.caption_flops
        return operations / self.seconds(images, captions) / self.matmul_flops

    def needed_share_of_matmul(self, images: float, captions: float) -> float:
        return self._needed(images, captions) / self.seconds(images, captions) / self.matmul_flops

    def least_cpu_seconds(self, images: float, captions: float) -> float:
        """What they would take were nothing done but the products that are needed, at their full rate."""
        return self._needed(images, captions) / self.matmul_flops * torch.get_num_threads()

    def _needed(self, images: float, captions: float) -> float:
        return images * self.needed_image_flops + captions * self.needed_caption_flops


@dataclass(frozen=True)
class Audit:
    """A run of `tui-mia run`: its phases, the CPU seconds of its processes, and what it said of itself."""

    samples: int
    seconds: dict[str, float]
    landing_seconds: float
    cpu_seconds: float
    peak_bytes: int
    encode_peak_bytes: int

    @property
    def scored_seconds(self) -> float:
        """From the first byte of a tar to the last score in DuckDB; not what judges them."""
        phases = ("plan", "encode", "sort", "attack")
        return sum(self.seconds[phase] for phase in phases) + self.landing_seconds


def encode_only(
    weights: Path, precision: str, rounds: int, batch: int = BATCH, device: str = "cpu"
) -> EncodeOnly:
    """The medians of rounds, in each of which products, images and captions take turns."""
    model = load(weights, precision, device)
    # Operations are counted on the network as open_clip makes it.
    plain = open_clip.create_model(weights.stem, load_weights=False)
    operations = operations_of(without_contents(plain))
    images = torch.rand(batch, 3, *_size(plain)).to(model.device)
    captions = write_captions(4 * batch)
    length = (model.tokenizer(captions).argmax(dim=1) + 1).float().mean().item()
    model.encode_images(images)
    model.encode_texts(captions)
    # What is brought here has been waited for.
    took = np.array(
        [
            (
                matmul_flops(model.device, model.dtype, 0.5),
                _timed(lambda: model.encode_images(images).cpu()) / batch,
                _timed(lambda: model.encode_texts(captions).cpu()) / len(captions),
            )
            for _ in range(rounds)
        ]
    )
    matmul, image, caption = np.median(took, axis=0)
    caption_flops = operations.caption * length / operations.context_length
    image_tokens = len(plain.visual.positional_embedding)
    return EncodeOnly(
        number_format=model.number_format,
        image_seconds=image,
        caption_seconds=caption,
        image_flops=operations.image,
        caption_flops=caption_flops,
        needed_image_flops=operations.image - _left_out(plain.visual.transformer, image_tokens),
        needed_caption_flops=caption_flops - _left_out(plain.transformer, length),
        matmul_flops=matmul,
    )


def _left_out(transformer: Any, tokens: float) -> float:
    """A last block's operations for all tokens but one: queries, what attention gives, the layers behind."""
    block = transformer.resblocks[-1]
    width, wide = block.mlp.c_fc.in_features, block.mlp.c_fc.out_features
    return (tokens - 1) * (4 * width * width + 4 * width * wide + 4 * width * tokens)


def load(weights: Path, precision: str, device: str = "cpu") -> TargetModel:
    """The model as a worker loads it; the file is named after the architecture."""
    spec = ModelSpec(architecture=weights.stem, pretrained=str(weights), device=device, precision=precision)
    return load_target(spec)


def audit(folder: Path, *options: str, device: str = "cpu") -> Audit:
    """Run an audit in a new database, to the end."""
    (once,) = audits(folder, 1, *options, device=device)
    return once


def audits(folder: Path, times: int, *options: str, device: str = "cpu") -> list[Audit]:
    """Run an audit so many times in a new database: from the second on there is nothing to encode."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        return [_audit(Path(name), device, *options) for _ in range(times)]


def _audit(folder: Path, device: str, *options: str) -> Audit:
    command = [sys.executable, "-m", "tui_mia", "run", "--json", "--quiet", "--device", device]
    command += ["--db", str(folder / "bench.duckdb"), *options]
    before = _cpu_seconds()
    result = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    ended = time.time()
    document: dict[str, Any] = json.loads(result.stdout)
    events = RunDirectory.open(Path(document["run_directory"])).events()
    finished = next(event for event in events if isinstance(event, Finished))
    progress = [event for event in events if isinstance(event, Progress)]
    return Audit(
        samples=sum(document["samples"].values()),
        seconds=document["seconds"],
        landing_seconds=ended - finished.time,
        cpu_seconds=_cpu_seconds() - before,
        peak_bytes=max(event.memory_bytes or 0 for event in progress),
        encode_peak_bytes=max(event.memory_bytes or 0 for event in progress if event.phase == "encode"),
    )


def cpu_seconds_a_sample(cold: Audit, warm: Audit) -> float:
    """What it costs to encode a sample: start-up, attacks and evidence are in both and fall out."""
    return (cold.cpu_seconds - warm.cpu_seconds) / cold.samples


def program(script: str, *options: str) -> list[dict[str, Any]]:
    """The JSON lines that a program beside this one prints."""
    command = [sys.executable, str(HERE / script), *options]
    result = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]


def warm_cache(folder: Path, candidates: int, nonmembers: int) -> dict[str, float]:
    """Samples a second that attacks score from parts of 512 dimensions and 8 views, by what is asked for."""
    draw = np.random.default_rng(0)
    for pool, size in {"candidates": candidates, "nonmembers": nonmembers}.items():
        for shard, first in enumerate(range(0, size, PART_ROWS)):
            _write_part(folder, pool, shard, min(PART_ROWS, size - first), draw)
    asked = {
        "csa, aea": AttacksSpec(csa=CsaSpec(), aea=AeaSpec(views=8)),
        "csa, aea, loss": AttacksSpec(csa=CsaSpec(), aea=AeaSpec(views=8), loss=LossSpec()),
    }
    rates = {}
    for name, attacks in asked.items():
        began = time.perf_counter()
        pools = (EncodedPool(part_paths(folder, pool)) for pool in ("candidates", "nonmembers"))
        outcome = run_attacks(make_attacks(attacks), AttackPools(*pools, None, None), 100.0, 0)
        rates[name] = (candidates + nonmembers) / (time.perf_counter() - began)
        assert not outcome.failed, outcome.failed
    return rates


def _write_part(folder: Path, pool: str, shard: int, rows: int, draw: np.random.Generator) -> None:
    """Samples with embeddings of chance."""
    dimension, views = 512, 8
    schema = samples_schema(views, dimension)

    def column(field: pa.Field) -> pa.Array:
        if pa.types.is_fixed_size_list(field.type):
            numbers = draw.standard_normal((rows, field.type.list_size), dtype=np.float32)
            numbers /= np.linalg.norm(numbers, axis=1, keepdims=True)
            return pa.FixedSizeListArray.from_arrays(pa.array(numbers.reshape(-1)), field.type.list_size)
        if field.name == "sample_id":
            digits = draw.bytes(16 * rows).hex()
            return pa.array([digits[32 * row : 32 * row + 32] for row in range(rows)])
        return pa.array([None] * rows, field.type)

    table = pa.Table.from_arrays([column(field) for field in schema], schema=schema)
    write_part(folder, pool, shard, 0, table, REJECTS.empty_table())


def ingest_rows_a_second(folder: Path, samples: int) -> float:
    """Rows of `scores` a second, from the tables of a run into a new database."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        tables = Path(name, "tables")
        tables.mkdir()
        write_tables(tables, samples)
        rows = pa.parquet.read_metadata(tables / "scores.parquet").num_rows
        for other in ("samples", "similarities"):
            (tables / f"{other}.parquet").unlink()
        return rows / _timed(
            lambda: ingest(Path(name, "bench.duckdb"), RunRow(run_id="bench", status="done"), tables)
        )


def train_wsa(pairs: int, features: int) -> float:
    """Seconds of training on so many pseudo-members and as many non-members, one seed."""
    draw = np.random.default_rng(0)
    numbers = draw.standard_normal((2 * pairs, features), dtype=np.float32)
    labels = np.repeat([0, 1], pairs)
    # Something to learn, so that patience doesn't end it early.
    numbers[pairs:, :32] += 0.15
    return _timed(lambda: train_classifiers(numbers, labels, [0]))


def machine() -> dict[str, Any]:
    """What the numbers are of."""
    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "open_clip": open_clip.__version__,
    }


def _size(network: torch.nn.Module) -> tuple[int, int]:
    size = network.visual.image_size
    return (size, size) if isinstance(size, int) else tuple(size)


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _cpu_seconds() -> float:
    of_children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return of_children.ru_utime + of_children.ru_stime
