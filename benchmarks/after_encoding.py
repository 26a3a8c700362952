"""Attacks, checks and judging on made-up pairs, and the memory that each phase takes.

    python benchmarks/after_encoding.py
    python benchmarks/after_encoding.py --pairs 20000 40000 80000 --attacks csa,aea,loss --reference

Parts are written as the encoder writes them, with embeddings and looks of chance, and what follows
the encoding is carried out on them in a process of its own, once for each number of pairs: three fifths
are candidates, one fifth known non-members, one fifth the general pool. Prints the seconds and the peak
memory of each phase, and by how many bytes a pair it grew from the smallest number to the largest.
Linux only: the peak is reset between phases.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa

from tui_mia.runs import RunDirectory
from tui_mia.spec import AuditSpec

WORDS = "red blue green small large old round cat dog house tree car bird hand star sun flower clock boat"
PART, FORMS = 10_000, 6
SHARES = {"candidates": 3, "nonmembers": 1, "general": 1}
PHASES = ("sort", "attack", "check", "judge")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, nargs="+", default=[20_000, 40_000, 80_000])
    parser.add_argument("--attacks", default="csa,aea,wsa,loss")
    parser.add_argument("--views", type=int, default=8)
    parser.add_argument("--dimension", type=int, default=64)
    parser.add_argument("--reference", action="store_true", help="a second model saw the pairs too")
    parser.add_argument("--folder", type=Path, help="where parts and tables go and stay")
    parser.add_argument("--carry-out", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.carry_out is not None:
        carry_out(arguments.carry_out)
        return
    found = []
    for pairs in arguments.pairs:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
            folder = make(Path(name), pairs, arguments)
            command = [sys.executable, __file__, "--carry-out", str(folder)]
            ran = subprocess.run(command, stdout=subprocess.PIPE, check=True)
            found.append(json.loads(ran.stdout))
    report(arguments.pairs, found)


def make(folder: Path, pairs: int, arguments: argparse.Namespace) -> Path:
    """The run directory of an audit whose encoding is done."""
    attacks: dict[str, object] = {name: {} for name in arguments.attacks.split(",")}
    if "aea" in attacks:
        attacks["aea"] = {"views": arguments.views}
    if "wsa" in attacks:
        attacks["wsa"] = {"seeds": 1}
    spec = AuditSpec.model_validate(
        {
            "model": {"architecture": "made-up"},
            "reference": {"architecture": "made-up"} if arguments.reference else None,
            "pools": {pool: {"source": ["made-up.tar"]} for pool in SHARES},
            "attacks": attacks,
            "output": {"database": str(folder / "made-up.duckdb")},
        }
    )
    directory = RunDirectory.create(spec, "")
    draw = np.random.default_rng(0)
    for pool, share in SHARES.items():
        count = pairs * share // sum(SHARES.values())
        for number, first in enumerate(range(0, count, PART)):
            rows = min(PART, count - first)
            write(directory, pool, number, rows, arguments.dimension, draw)
    return directory.path


def write(
    directory: RunDirectory, pool: str, number: int, rows: int, dimension: int, draw: np.random.Generator
) -> None:
    """A part of so many pairs, each with an image of its own."""
    from tui_mia.encoder.appearance import FORM_NAMES, STATISTICS_NAMES
    from tui_mia.encoder.parts import REJECTS, lists_of, samples_schema, write_part

    spec = directory.spec()
    views, reference = spec.views, spec.reference is not None

    def of_chance(*shape: int) -> pa.FixedSizeListArray:
        return lists_of(draw.normal(size=shape).astype(np.float32))

    def embeddings() -> pa.FixedSizeListArray:
        vectors = draw.normal(size=(rows, dimension)).astype(np.float32)
        return lists_of(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))

    def seen(prefix: str) -> dict[str, pa.Array]:
        plain = draw.normal(0.2, 0.05, (rows, 1 + views)).astype(np.float32)
        return {
            f"{prefix}similarities": lists_of(plain),
            f"{prefix}image_embedding": embeddings(),
            f"{prefix}text_embedding": embeddings(),
        }

    # Most of what a form says is the same for all pictures of a collection.
    form = np.zeros((rows, len(FORM_NAMES)), np.float32)
    form[:, :FORMS] = draw.normal(size=(rows, FORMS))
    words = np.array(WORDS.split())
    schema = samples_schema(views, dimension, dimension if reference else None)
    columns = {
        "sample_id": [draw.bytes(16).hex() for _ in range(rows)],
        "key": [f"{number:05d}{row:05d}" for row in range(rows)],
        "source": pa.repeat("made-up.tar", rows),
        "caption": [" ".join(chosen) for chosen in words[draw.integers(0, len(words), (rows, 8))]],
        "member": pa.nulls(rows, pa.bool_()),
        "width": pa.repeat(pa.scalar(256, pa.int32()), rows),
        "height": pa.repeat(pa.scalar(256, pa.int32()), rows),
        "metadata": pa.nulls(rows, pa.string()),
        "image_form": lists_of(form),
        "image_statistics": of_chance(rows, len(STATISTICS_NAMES)),
        "perceptual_hash": draw.integers(0, 2**64, rows, dtype=np.uint64),
        **seen(""),
        **(seen("reference_") if reference else {}),
    }
    samples = pa.table([columns[name] for name in schema.names], schema=schema)
    write_part(directory.parts, pool, number, 0, samples, REJECTS.empty_table())


def carry_out(folder: Path) -> None:
    """What follows the encoding; prints seconds and peak bytes of each phase as JSON."""
    from tui_mia.attacks import make_attacks
    from tui_mia.audit import score_and_judge
    from tui_mia.crew import About
    from tui_mia.crew.loaded import ModelFacts
    from tui_mia.encoder.fingerprint import Fingerprint
    from tui_mia.runs.reporter import Reporter

    peaks: dict[str, int] = {}

    class Watched(Reporter):
        @contextmanager
        def phase(self, name: str) -> Iterator[None]:
            # The highest since it was last written to.
            Path("/proc/self/clear_refs").write_text("5")
            with super().phase(name):
                yield
            peaks[name] = peak_bytes()

    directory = RunDirectory.open(folder)
    spec = directory.spec()
    facts = ModelFacts("fp32", Fingerprint("", "", "", ""), 100.0)
    about = About("cpu", facts, facts if spec.reference is not None else None, {})
    watched = Watched(directory)
    began = peak_bytes()
    score_and_judge(spec, directory, watched, make_attacks(spec.attacks), about, [])
    print(json.dumps({"began": began, "peaks": peaks, "seconds": watched.seconds}))


def peak_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def report(pairs: Sequence[int], found: Sequence[dict[str, dict[str, float]]]) -> None:
    print(f"{'pairs':>12} {'before':>10}" + "".join(f"{phase:>18}" for phase in PHASES))
    for count, each in zip(pairs, found, strict=True):
        cells = [
            f"{each['peaks'][phase] / 2**20:9,.0f} MB{each['seconds'][phase]:5.0f} s" for phase in PHASES
        ]
        print(f"{count:12,} {each['began'] / 2**20:7,.0f} MB" + "".join(f"{cell:>18}" for cell in cells))
    if len(pairs) > 1:
        first, last = found[0]["peaks"], found[-1]["peaks"]
        grown = [(last[phase] - first[phase]) / (pairs[-1] - pairs[0]) for phase in PHASES]
        print(f"{'bytes a pair':>23}" + "".join(f"{bytes_:18,.0f}" for bytes_ in grown))


if __name__ == "__main__":
    main()
