"""Streams synthetic pairs through pools, worker and store, and watches the memory of each.

    python benchmarks/stream.py --pairs 200000
    python benchmarks/stream.py --pairs 100000 --pairs-a-tar 100000

The pairs are tiny random pictures in tars, the model is the sample world's
target: it is the flow that is measured, not the model. Prints the peak memory
of the worker over the second half of the encoding against the first half, and
of the ingest, as ratios in one run.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from PIL import Image

from tui_mia.demo import sample_world
from tui_mia.runs import Progress, RunDirectory

WORDS = (
    "red blue green small large old round cat dog house tree car bird hand star sun flower clock boat fish"
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=200_000)
    parser.add_argument("--pairs-a-tar", type=int, default=10_000)
    parser.add_argument("--attacks", default="csa")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_pairs(folder, arguments.pairs, arguments.pairs_a_tar)
        world, database = sample_world(), folder / "stream.duckdb"
        command = ["-m", "tui_mia", "run", "--json", "--db", str(database), "--attacks", arguments.attacks]
        command += [
            "--model",
            f"local-dir:{world / 'models' / 'target'}",
            "--candidates",
            str(folder / "*.tar"),
        ]
        command += ["--nonmembers", str(world / "nonmembers.tar"), "--set", "run.batch_size=256"]
        peak = _run_and_watch([sys.executable, *command], folder)
        report(folder, peak)


def write_pairs(folder: Path, pairs: int, pairs_a_tar: int) -> None:
    """Tars of 8-pixel pictures, each its own, with captions of five words."""
    draw = random.Random(0)
    words = WORDS.split()
    for first in range(0, pairs, pairs_a_tar):
        with tarfile.open(folder / f"part-{first // pairs_a_tar:04d}.tar", "w") as tar:
            for number in range(first, min(first + pairs_a_tar, pairs)):
                picture = io.BytesIO()
                Image.frombytes("RGB", (8, 8), draw.randbytes(192)).save(picture, "PNG", compress_level=1)
                add(tar, f"{number:08d}.png", picture.getvalue())
                add(tar, f"{number:08d}.txt", " ".join(draw.choices(words, k=5)).encode())
                add(tar, f"{number:08d}.json", json.dumps({"member": number % 2 == 0}).encode())


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def _run_and_watch(command: list[str], folder: Path) -> int:
    """Run to the end; the peak memory in bytes of the front end, which does the ingest."""
    import resource

    document = folder / "result.json"
    with document.open("w") as output:
        subprocess.run(command, stdout=output, check=True)
    # The largest child: the front end, since the worker is its child, not ours.
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


def report(folder: Path, front_end_peak: int) -> None:
    document = json.loads((folder / "result.json").read_text())
    events = RunDirectory.open(Path(document["run_directory"])).events()
    encoding = [event for event in events if isinstance(event, Progress) and event.phase == "encode"]
    pairs = sum(document["samples"].values())
    tenth = [event for event in encoding if event.samples >= pairs / 10]
    first = max(event.memory_bytes or 0 for event in tenth[: len(tenth) // 2])
    second = max(event.memory_bytes or 0 for event in tenth[len(tenth) // 2 :])
    after = max(event.memory_bytes or 0 for event in events if isinstance(event, Progress))
    print(f"pairs                              {pairs:,}, {document['rejects']:,} rejected")
    print(f"seconds a phase                    {document['seconds']}")
    print(f"worker, encoding, 10 % to 55 %     {first / 2**20:,.0f} MB at most")
    ratio = f"{second / first:.3f} of the former"
    print(f"worker, encoding, 55 % to 100 %    {second / 2**20:,.0f} MB at most, {ratio}")
    print(f"worker, whole run                  {after / 2**20:,.0f} MB at most")
    print(f"largest process of the run         {front_end_peak / 2**20:,.0f} MB at most")


if __name__ == "__main__":
    main()
