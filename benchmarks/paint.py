"""Times how the terminal app opens, in a terminal of its own, and what it costs to leave it open.

    python benchmarks/paint.py
    python benchmarks/paint.py --db audits.duckdb --size 160x50 --rounds 9

Each round starts a bare `python -c pass`, `tui-mia --help` and the app in turn,
so that what else the machine is doing hits all three. First paint is when the
names of the panes have come out of the terminal, runs shown when the newest
run's id has. Without `--db` a database with one run of 20,000 samples is made.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import re
import resource
import select
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
from million import make_database

from tui_mia.store import list_runs

ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[PX^_][^\x1b]*\x1b\\|[@-Z\\-_])"
)
APP = [sys.executable, "-m", "tui_mia"]
LONGEST_SECONDS = 60.0
SETTLING_SECONDS = 3.0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--db", type=Path)
    parser.add_argument("--size", default="80x24")
    parser.add_argument("--rounds", type=int, default=5, help="after one that fills the caches")
    parser.add_argument("--idle-seconds", type=float, default=20.0)
    arguments = parser.parse_args()
    columns, rows = map(int, arguments.size.split("x"))
    with tempfile.TemporaryDirectory() as name:
        database = arguments.db or Path(name) / "paint.duckdb"
        if arguments.db is None:
            make_database(database, 20_000)
        measure(database, (columns, rows), arguments.rounds, arguments.idle_seconds)


@dataclass(frozen=True)
class Taken:
    """Seconds by the clock, and seconds of a core, which do not grow when others use the machine."""

    wall: float
    cpu: float


def measure(database: Path, size: tuple[int, int], rounds: int, idle_seconds: float) -> None:
    run_id = list_runs(database)[0].run.run_id
    taken: list[tuple[Taken, Taken, Taken, Taken]] = []
    for number in range(rounds + 1):
        bare = time_of([sys.executable, "-c", "pass"])
        told = time_of([*APP, "--help"])
        with Terminal([*APP, "--db", str(database)], size) as app:
            taken.append((bare, told, app.until("Audit", "Results", "Log"), app.until(run_id)))
            if number == rounds:
                app.watch(SETTLING_SECONDS)
                idle = app.watch(idle_seconds)
    names = ("python -c pass", "tui-mia --help", "app, first paint", "app, runs shown")
    # Without the first round, which fills the caches.
    columns = dict(zip(names, zip(*taken[1:], strict=True), strict=True))
    median = {name: statistics.median(each.wall for each in column) for name, column in columns.items()}
    print(f"median of {rounds}       seconds  longest  of a core  x python  x --help")
    for name, column in columns.items():
        longest, cpu = max(each.wall for each in column), statistics.median(each.cpu for each in column)
        python, told = (median[name] / median[other] for other in names[:2])
        print(f"{name:17} {median[name]:7.3f}  {longest:7.3f}  {cpu:9.3f}  {python:8.1f}  {told:8.2f}")
    percent, came, megabytes = idle
    print(f"app, idle         {percent:.2f} % of a core over {idle_seconds:.0f} s")
    print(f"                  {came:,} bytes to the terminal, {megabytes:.0f} MB")


def time_of(command: list[str]) -> Taken:
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Taken(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


class Terminal:
    """A program in a pseudo-terminal whose output is read as it comes."""

    def __init__(self, command: list[str], size: tuple[int, int]) -> None:
        self._screen, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        for name in ("TMUX", "NO_COLOR", "COLUMNS", "LINES"):
            environment.pop(name, None)
        self._came = ""
        self._began = time.perf_counter()
        self._process = subprocess.Popen(
            command, stdin=inner, stdout=inner, stderr=inner, env=environment, start_new_session=True
        )
        os.close(inner)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        os.write(self._screen, b"q")
        self._read_until(lambda: self._process.poll() is not None)
        os.close(self._screen)
        if self._process.returncode:
            raise SystemExit(f"the app ended with exit code {self._process.returncode}")

    def until(self, *texts: str) -> Taken:
        """What it takes from the start until all of the texts have come."""
        self._read_until(lambda: all(text in ESCAPES.sub("", self._came) for text in texts))
        wall, cpu = time.perf_counter() - self._began, psutil.Process(self._process.pid).cpu_times()
        return Taken(wall, cpu.user + cpu.system)

    def watch(self, seconds: float) -> tuple[float, int, float]:
        """Leave it alone, and say per cent of a core, bytes that came and megabytes of memory."""
        process = psutil.Process(self._process.pid)
        before, came, began = process.cpu_times(), len(self._came), time.perf_counter()
        self._read_until(lambda: time.perf_counter() - began >= seconds)
        after = process.cpu_times()
        busy = after.user + after.system - before.user - before.system
        megabytes = process.memory_info().rss / 1e6
        return 100 * busy / (time.perf_counter() - began), len(self._came) - came, megabytes

    def _read_until(self, condition: Callable[[], bool]) -> None:
        deadline = time.perf_counter() + LONGEST_SECONDS
        while not condition():
            if time.perf_counter() > deadline:
                raise SystemExit(f"that never came; the last of what did:\n{self._came[-2000:]!r}")
            if select.select([self._screen], [], [], 0.02)[0]:
                try:
                    self._came += os.read(self._screen, 65536).decode("utf-8", "replace")
                except OSError:  # the program has gone, and its end of the terminal with it
                    self._process.wait(LONGEST_SECONDS)


if __name__ == "__main__":
    main()
