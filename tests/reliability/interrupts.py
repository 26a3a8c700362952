"""Sends Ctrl+C to commands at random moments, and looks how they end and what they leave.

    python -m tests.reliability.interrupts --times 100

`check` reads pools of Parquet, CSV and a gzip tar, `init` writes a spec, `query` and `report`
read a database; each is interrupted as often, at a random moment of the time that it takes
undisturbed. It has to end with 130, or as a process that SIGINT killed while Python was
loading it, or, where the moment came too late, as if nothing had been. It may write no
file in part, lose no exception in a finaliser and leave no process.

Before that the pools are read in this process, `--reads` times from each kind of source, whole and
up to a limit, and a timer interrupts each reading at a random moment: what is counted are
interrupts that were not heard.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import random
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path
from types import FrameType
from typing import Final

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from tests.reliability.kill_runs import make_audit
from tests.reliability.killing import DEADLINE_SECONDS, Audit, gone_on_with
from tui_mia.demo import sample_world
from tui_mia.exit_codes import ExitCode
from tui_mia.preflight.reading import read_pools
from tui_mia.spec import AuditSpec

MEMBERS: Final = 600
SOURCES: Final = {"candidates": "pairs.parquet", "nonmembers": "pairs.csv", "general": "pairs.tar.gz"}
LIMIT: Final = 20
# How Python ends with 1 where it is interrupted before it runs any program.
PYTHON_NOT_READY: Final = ("Could not import runpy module", "Fatal Python error: init_")
SHORTEST_SECONDS: Final = 1e-6


@dataclass(frozen=True)
class Outcome:
    """How a command ended, and what was there afterwards."""

    code: int
    printed: bytes
    said: str
    files: dict[str, bytes]
    left: tuple[str, ...]


@dataclass(frozen=True)
class Interruptible:
    """A command that works in a folder of its own, where it finds the files it is given there."""

    name: str
    arguments: tuple[str, ...]

    def run(self, folder: Path, interrupted_after: float | None = None) -> Outcome:
        folder.mkdir()
        with (folder.with_suffix(".said")).open("w+b") as said:
            process = subprocess.Popen(
                [sys.executable, "-m", "tui_mia", *self.arguments],
                cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said,
                env={**os.environ, "TMPDIR": str(folder)}, start_new_session=True,
            )  # fmt: skip
            assert process.stdout is not None
            if interrupted_after is not None:
                time.sleep(interrupted_after)
                os.killpg(process.pid, signal.SIGINT)
            printed = process.communicate(timeout=DEADLINE_SECONDS)[0]
            said.seek(0)
            words = said.read().decode(errors="replace")
        files = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        return Outcome(process.returncode, printed, words, files, tuple(_processes(folder)))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--commands", nargs="*", default=("init", "query", "report", "check"))
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--reads", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance, wrong = random.Random(options.seed), 0
    with tempfile.TemporaryDirectory(prefix="tui-mia-interrupts-") as name:
        folder = Path(name)
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        make_pools(folder)
        (folder / "audit").mkdir()
        audit = Audit(make_audit(folder / "audit"), folder / "audit" / "audits.duckdb")
        gone_on_with(audit, "run")
        for source, limit in product(SOURCES.values(), (None, LIMIT)):
            _read_and_interrupted(folder / source, limit, options.reads, chance)
        for command in _commands(folder, audit):
            if command.name in options.commands:
                wrong += _interrupted(command, folder, options.times, chance)
    sys.exit(1 if wrong else 0)


def make_pools(folder: Path) -> None:
    """The first pairs of each pool of the sample world: as Parquet, as CSV with images, as a gzip tar."""
    members = {pool: dict(_members(sample_world() / f"{pool}.tar")) for pool in SOURCES}
    rows = {
        pool: [(name, of_pool[f"{Path(name).stem}.txt"].decode()) for name in of_pool if not _is_text(name)]
        for pool, of_pool in members.items()
    }
    images = [members["candidates"][name] for name, _ in rows["candidates"]]
    captions = [caption for _, caption in rows["candidates"]]
    pq.write_table(pa.table({"image": images, "caption": captions}), folder / SOURCES["candidates"])
    with (folder / SOURCES["nonmembers"]).open("w", newline="") as file:
        csv.writer(file).writerows([("image", "caption"), *rows["nonmembers"]])
    for name, _ in rows["nonmembers"]:
        (folder / name).write_bytes(members["nonmembers"][name])
    with tarfile.open(folder / SOURCES["general"], "w:gz") as tar:
        for name, content in members["general"].items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(path) as tar:
        for member in islice(tar, MEMBERS):
            file = tar.extractfile(member)
            assert file is not None, "the sample world has files only"
            yield Path(member.name).name, file.read()


def _is_text(name: str) -> bool:
    return name.endswith((".txt", ".json"))


def _commands(folder: Path, audit: Audit) -> Iterator[Interruptible]:
    model = ("--model", f"local-dir:{sample_world()}/models/target", "--device", "cpu")
    pools = [argument for pool, name in SOURCES.items() for argument in (f"--{pool}", str(folder / name))]
    database = ("--db", str(audit.database))
    yield Interruptible("init", ("init",))
    yield Interruptible("query", ("query", "SELECT * FROM sample_scores ORDER BY ALL", *database))
    yield Interruptible("report", ("report", "latest", "report.html", *database))
    yield Interruptible("check", ("check", *model, *pools, "--db", str(folder / "none.duckdb"), "--plain"))


def _interrupted(command: Interruptible, folder: Path, times: int, chance: random.Random) -> int:
    """Interrupt a command again and again; how often it was not as it should be."""
    began = time.monotonic()
    undisturbed = command.run(folder / command.name)
    seconds = time.monotonic() - began
    assert undisturbed.code == 0, undisturbed.said
    counts: Counter[str] = Counter()
    wrong = 0
    for number in range(times):
        after = chance.uniform(0, seconds)
        outcome = command.run(folder / f"{command.name}-{number}", after)
        ended, problem = _judged(outcome, undisturbed)
        counts[ended] += 1
        if problem:
            wrong += 1
            print(f"  {command.name} after {after:.3f} s: {problem}: {outcome.said[-1500:]}", flush=True)
    told = ", ".join(f"{count} {ended}" for ended, count in sorted(counts.items()))
    print(f"{command.name} ({seconds:.1f} s): {times} interrupts: {told}; {wrong} wrong", flush=True)
    return wrong


def _judged(outcome: Outcome, undisturbed: Outcome) -> tuple[str, str]:
    """How a command ended in a word or two, and what is wrong with that."""
    ended = {
        int(ExitCode.INTERRUPTED): "ended with 130",
        -signal.SIGINT: "killed while Python was loading",
        0: "too late",
    }.get(outcome.code, f"exit code {outcome.code}")
    if outcome.code == 1 and outcome.said.startswith(PYTHON_NOT_READY):
        ended = "killed while Python was loading"
    if outcome.left:
        return ended, f"left {outcome.left}"
    if ended.startswith("exit code"):
        return ended, ended
    if "Exception ignored" in outcome.said and outcome.code != 0:
        return ended, "lost an exception"
    if outcome.code == 0 and outcome.files.keys() != undisturbed.files.keys():
        return ended, f"files {sorted(outcome.files)}"
    halves = [
        name
        for name, content in outcome.files.items()
        if len(content) < len(undisturbed.files.get(name, b""))
    ]
    strange = outcome.files.keys() - undisturbed.files.keys()
    if halves or strange:
        return ended, f"left half of {halves}, and {sorted(strange)}"
    return ended, ""


def _processes(folder: Path) -> Iterator[str]:
    """Who works in the folder although the command has ended; a second is given to end."""
    deadline = time.monotonic() + 1
    while True:
        found = []
        for process in psutil.process_iter(["cmdline", "environ", "status"]):
            environment = process.info["environ"] or {}
            if environment.get("TMPDIR") == str(folder) and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.info["cmdline"] or []))
        if not found or time.monotonic() > deadline:
            yield from found
            return
        time.sleep(0.05)


def _read_and_interrupted(source: Path, limit: int | None, times: int, chance: random.Random) -> None:
    """Read a source in this process and interrupt it each time; print how often that was not heard."""
    pools = {"candidates": {"source": str(source), "limit": limit}}
    spec = AuditSpec.model_validate({"model": {"architecture": "ViT-B-32"}, "pools": pools})
    has_come = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal has_come
        has_come = True
        raise KeyboardInterrupt

    def seconds_of_reading() -> float:
        began = time.perf_counter()
        read_pools(spec, None, lambda event: None)
        return time.perf_counter() - began

    seconds = min(seconds_of_reading() for _ in range(10))
    before = signal.signal(signal.SIGALRM, interrupt)
    counts: Counter[str] = Counter()
    for _ in range(times):
        has_come = False
        try:
            signal.setitimer(signal.ITIMER_REAL, max(chance.uniform(0, seconds), SHORTEST_SECONDS))
            seconds_of_reading()
            signal.setitimer(signal.ITIMER_REAL, 0)
            counts["not heard" if has_come else "too late"] += 1
        except KeyboardInterrupt:
            counts["heard"] += 1
    signal.signal(signal.SIGALRM, before)
    told = ", ".join(f"{counts[word]} {word}" for word in ("heard", "too late", "not heard"))
    name = source.name if limit is None else f"{limit} pairs of {source.name}"
    print(f"reading {name} ({1000 * seconds:.1f} ms): {times} interrupts: {told}", flush=True)


if __name__ == "__main__":
    main()
