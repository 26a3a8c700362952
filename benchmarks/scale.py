"""What it costs to encode on several devices and machines, against one process.

    python benchmarks/scale.py ray-overhead --rounds 5

`ray-overhead`: the same synthetic tars, encoded by one actor of a Ray that is started for the
run and by the worker itself, with two threads each, turn by turn. Compared is the phase that
encodes, in seconds and in CPU seconds of all processes, those of Ray included: on a machine that
others use too only the latter say something. What starts before it, Ray and the models, is told
beside it.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from stream import write_pairs

from tui_mia.demo import sample_world
from tui_mia.runs import Finished, Progress, RunDirectory
from tui_mia.runs.directory import runs_folder

THREADS = 2
SECONDS_BETWEEN_LOOKS = 0.1


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    overhead = commands.add_parser("ray-overhead")
    overhead.add_argument("--rounds", type=int, default=5)
    overhead.add_argument("--pairs", type=int, default=4_000)
    overhead.add_argument("--pairs-a-tar", type=int, default=1_000)
    overhead.set_defaults(command=ray_overhead)
    arguments = parser.parse_args()
    arguments.command(arguments)


@dataclass(frozen=True)
class Cost:
    """What loading and encoding took: seconds, and of the latter the CPU seconds of all processes."""

    load: float
    encode: float
    cpu: float


def ray_overhead(arguments: argparse.Namespace) -> None:
    """Print what both engines took in each round, and how much more it is with Ray in the median one."""
    engines = {"local": [], "ray": ["--set", "run.engine=ray", "--set", "run.actors=1"]}
    costs: dict[str, list[Cost]] = {engine: [] for engine in engines}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_pairs(folder, arguments.pairs, arguments.pairs_a_tar)
        for number in range(arguments.rounds):
            # Whoever is first in a round has the other's warm files: they take turns.
            for engine in sorted(engines, reverse=bool(number % 2)):
                cost = _cost(folder, folder / f"{engine}-{number}.duckdb", engines[engine])
                costs[engine].append(cost)
                print(
                    f"round {number + 1}  {engine:5}  load {cost.load:6.1f} s  "
                    f"encode {cost.encode:6.2f} s, {cost.cpu:6.2f} CPU seconds",
                    flush=True,
                )
    for what in ("encode", "cpu"):
        pairs = zip(costs["ray"], costs["local"], strict=True)
        ratios = [getattr(with_ray, what) / getattr(without, what) - 1 for with_ray, without in pairs]
        print(
            f"Ray over the local engine, {'CPU seconds' if what == 'cpu' else 'seconds'}: "
            f"{statistics.median(ratios):+.1%} in the median of {len(ratios)} rounds "
            f"({min(ratios):+.1%} to {max(ratios):+.1%})"
        )


def _cost(folder: Path, database: Path, engine: list[str]) -> Cost:
    """Audit the tars of a folder."""
    command = [sys.executable, "-m", "tui_mia", "run", "--quiet", "--db", str(database), "--attacks", "csa"]
    command += ["--model", f"local-dir:{sample_world() / 'models' / 'target'}", "--set", "model.device=cpu"]
    command += ["--candidates", str(folder / "*.tar"), "--set", f"run.threads={THREADS}", *engine]
    front_end = subprocess.Popen(command)
    began = ended = None
    while front_end.poll() is None:
        phase, cpu = _phase(database), _cpu_seconds(front_end.pid)
        if phase == "encode":
            began = cpu if began is None else began
            ended = cpu
        time.sleep(SECONDS_BETWEEN_LOOKS)
    assert front_end.returncode == 0
    assert began is not None
    assert ended is not None
    finished = _directory(database).last_event()
    assert isinstance(finished, Finished)
    return Cost(finished.seconds["load"], finished.seconds["encode"], ended - began)


def _directory(database: Path) -> RunDirectory:
    (found,) = runs_folder(database).glob("2*/")
    return RunDirectory(found)


def _phase(database: Path) -> str | None:
    """What a run is at; None before it has said so."""
    try:
        told = [event for event in _directory(database).events() if isinstance(event, Progress)]
    except (ValueError, FileNotFoundError):
        return None
    return told[-1].phase if told else None


def _cpu_seconds(pid: int) -> float:
    """Of a process and all that come from it."""
    seconds = 0.0
    for process in psutil.Process(pid).children(recursive=True):
        with suppress(psutil.Error):
            times = process.cpu_times()
            seconds += times.user + times.system
    return seconds


if __name__ == "__main__":
    main()
