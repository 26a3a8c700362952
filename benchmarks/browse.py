"""Times browsing a run of 1,000,000 samples: the questions to the database, and the app in a real terminal.

    python benchmarks/million.py million.duckdb
    python benchmarks/browse.py million.duckdb

The first table times each question by itself, as the app asks it. The second
is what a person sees: the app runs in tmux, keys are sent to it, and the clock
stops when the screen shows what was asked for; each figure includes some 15 ms
of tmux and of looking. Memory is the app's resident set: what it needs at rest, and the most
that a look every 5 ms found.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from tui_mia.store import (
    SampleFilter,
    SampleSort,
    ScoreRange,
    StoredRun,
    attacks_of,
    count_samples,
    find_sample,
    first_samples,
    limit_memory,
    list_runs,
    order_samples,
    read_sample,
    read_samples,
)

# As in the app.
MEMORY, THREADS = "48MiB", 1
KEYS = 40
Clock = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("database", type=Path)
    parser.add_argument("--size", default="160x50", help="of the terminal")
    parser.add_argument("--times", type=int, default=3, help="how often each is done; the slowest counts")
    arguments = parser.parse_args()
    database = arguments.database.resolve()
    questions(database, arguments.times)
    if shutil.which("tmux"):
        width, height = arguments.size.split("x")
        with tempfile.TemporaryDirectory() as folder:
            app(App(Path(folder), database, width, height), arguments.times)


def questions(database: Path, times: int) -> None:
    """Each question by itself."""
    limit_memory(MEMORY, THREADS)
    run = StoredRun(database, list_runs(database)[0].run.run_id)
    total = sum(count_samples(run).values())
    attacks = [attack.attack for attack in attacks_of(run)]
    print(f"{database.name}: {total:,} samples, {len(attacks)} attacks, {MEMORY} and {THREADS} thread\n")
    print(f"{'question':44} slowest of {times}, ms")
    _time("attacks", times, lambda: attacks_of(run))
    _time("samples a pool", times, lambda: count_samples(run))
    best = attacks[-1]
    sorts = [
        *(SampleSort(column) for column in ("number", "key", "caption", "member", "pool")),
        *(SampleSort("score", True, attack) for attack in attacks),
        SampleSort("p_value", False, best),
    ]
    for sort in sorts:
        name = f"by {sort.attack or ''} {sort.column}".replace("  ", " ")
        _time(f"{name}: first rows", times, lambda sort=sort: first_samples(run, sort))
        _time(f"{name}: whole order", times, lambda sort=sort: order_samples(run, sort))
    order = order_samples(run, SampleSort("score", True, best))
    middle = order.numbers[total // 2 : total // 2 + 200]
    _time("a page in the middle", times, lambda: read_samples(run, middle))
    filters = {
        "text": SampleFilter(text="guitar"),
        "text that nothing has": SampleFilter(text="no such text"),
        "pool": SampleFilter(pool="nonmembers"),
        "member": SampleFilter(member="yes"),
        "score range": SampleFilter(ranges=(ScoreRange(best, 1.5, 2.0),)),
        "all of these": SampleFilter("guitar", "candidates", "yes", (ScoreRange(best, 1.5, 2.0),)),
    }
    by_best = SampleSort("score", True, best)
    for name, where in filters.items():
        _time(f"filter {name}: first rows", times, lambda where=where: first_samples(run, by_best, where))
        _time(f"filter {name}: whole order", times, lambda where=where: order_samples(run, by_best, where))
    _time("find a key", times, lambda: find_sample(run, f"{total - 1:09}"))
    _time("a sample in full", times, lambda: read_sample(run, total // 3))


def _time(name: str, times: int, ask: Clock) -> None:
    print(f"{name:44} {max(_seconds(ask) for _ in range(times)) * 1000:6.0f}")


def _seconds(ask: Clock) -> float:
    began = time.perf_counter()
    ask()
    return time.perf_counter() - began


class App:
    """The app on a database, in a tmux of its own."""

    def __init__(self, folder: Path, database: Path, width: str, height: str) -> None:
        self._socket = str(folder / "tmux")
        self.size = f"{width}x{height}"
        environment = f"XDG_CONFIG_HOME={folder} XDG_STATE_HOME={folder}"
        command = f"cd {folder} && exec env {environment} {sys.executable} -m tui_mia --db {database}"
        self.began = time.perf_counter()
        self.tmux("-f", os.devnull, "new-session", "-d", "-x", width, "-y", height, command)
        self.process = psutil.Process(int(self.tmux("display-message", "-p", "#{pane_pid}")))
        self.peak_bytes = 0
        threading.Thread(target=self._watch, daemon=True).start()

    def tmux(self, *arguments: str) -> str:
        command = ["tmux", "-S", self._socket, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def press(self, *keys: str) -> None:
        self.tmux("send-keys", *keys)

    def lines(self) -> list[str]:
        return self.tmux("capture-pane", "-p").splitlines()

    def until(self, seen: Callable[[list[str]], object], seconds: float = 30.0) -> float:
        """How long it took until the screen showed it."""
        began = time.perf_counter()
        while not seen(lines := self.lines()):
            if time.perf_counter() - began > seconds:
                raise TimeoutError("\n".join(lines))
            # Looking without a pause would take a core, of which the app may have two.
            time.sleep(0.005)
        return time.perf_counter() - began

    def _watch(self) -> None:
        while self.process.is_running():
            try:
                self.peak_bytes = max(self.peak_bytes, self.process.memory_info().rss)
            except psutil.Error:
                return
            time.sleep(0.005)


def title_and_rows(lines: list[str]) -> tuple[str, list[str]]:
    """What stands above the table's header, which may be more than one line, and the rows below it."""
    header = next((place for place, line in enumerate(lines[:6]) if re.match(r"\s+#.* caption", line)), 2)
    return " ".join(line.strip() for line in lines[1:header]), lines[header + 1 : -3]


def has_rows(lines: list[str]) -> bool:
    """Whether the table is full of rows, none of which is yet to come."""
    _, rows = title_and_rows(lines)
    return bool(re.match(r"\s+\d+ [MN-]", rows[0])) and not any(row.strip() in ("…", "") for row in rows)


def is_settled(lines: list[str]) -> bool:
    title, _ = title_and_rows(lines)
    return has_rows(lines) and "sorting" not in title and "samples" in title


def is_filtered(lines: list[str]) -> bool:
    title, rows = title_and_rows(lines)
    return "filter:" in title and has_rows(lines) and "guitar" in rows[0]


def app(app: App, times: int) -> None:
    """What a person waits for."""
    print(f"\n{f'the app, {app.size}':44} ms until seen   until all is done")
    app.until(lambda lines: "2 Runs" in lines[0])
    app.until(lambda lines: "million" in "\n".join(lines))
    time.sleep(2)
    rest = app.process.memory_info().rss
    app.peak_bytes = 0
    app.press("3")
    _report("Results, opened", (seen := app.until(has_rows)), seen + app.until(is_settled))
    sorted_by = set()
    while (name := _sort_on(app)) not in sorted_by:
        sorted_by.add(name)
    for turn in range(times):
        app.press("g")
        app.until(lambda lines: " 1 of" in lines[-2])
        app.press("G")
        last = app.until(lambda lines: has_rows(lines) and not lines[-2].startswith(" 1 of"))
        _report("to the last row", last)
        number = f"#{500_000 + turn}"
        app.press(":")
        app.until(lambda lines: "Jump to a sample" in "\n".join(lines))
        app.press(number, "Enter")
        _report(
            "jump to the middle",
            app.until(lambda lines, number=number: number in lines[-2] and has_rows(lines)),
        )
    app.press("/")
    app.until(lambda lines: "Show the samples with" in "\n".join(lines))
    app.press("guitar")
    app.until(lambda lines: re.search(r"text +guitar", "\n".join(lines)))
    app.press("Enter")
    seen = app.until(is_filtered)
    _report("filter by a text", seen, seen + app.until(is_settled))
    app.press("x")
    app.until(lambda lines: "filter:" not in title_and_rows(lines)[0] and is_settled(lines))
    latency(app)
    print(
        f"\nmemory at rest {rest / 1e6:.0f} MB, with the run {app.process.memory_info().rss / 1e6:.0f} MB,",
        end=" ",
    )
    print(f"at most {app.peak_bytes / 1e6:.0f} MB")
    app.press("q")


def _sort_on(app: App) -> str:
    """Sort by the next column, and say which that was."""
    before = app.lines()
    app.press(">")
    seen = app.until(
        lambda lines: (
            _by(lines) != _by(before)
            and has_rows(lines)
            and ("sorting" not in title_and_rows(lines)[0] or "the first" in title_and_rows(lines)[0])
        )
    )
    seen_in_title = _by(app.lines())
    _report(f"by {seen_in_title}", seen, seen + app.until(is_settled))
    return seen_in_title


def _by(lines: list[str]) -> str:
    found = re.search(r"by (.+?) [▼▲]", title_and_rows(lines)[0])
    return found[1] if found else ""


def latency(app: App) -> None:
    """How long a key takes at rest, and while the longest sort is under way."""
    for name, busy in (("a key, at rest", False), ("a key, while captions are sorted", True)):
        taken = []
        for _ in range(KEYS):
            if busy and "sorting" not in title_and_rows(app.lines())[0]:
                app.press("S")
                app.until(lambda lines: "sorting" in title_and_rows(lines)[0] or is_settled(lines))
            before = app.lines()[-2]
            app.press("j" if before.startswith(" 1 of") or len(taken) % 2 == 0 else "k")
            taken.append(app.until(lambda lines, before=before: lines[-2] != before))
        slowest = max(taken) * 1000
        print(f"{name:44} {statistics.median(taken) * 1000:6.0f} median {slowest:6.0f} slowest")


def _report(name: str, seen: float, done: float | None = None) -> None:
    whole = "" if done is None else f"{done * 1000:19.0f}"
    print(f"{name:44} {seen * 1000:6.0f}        {whole}")


if __name__ == "__main__":
    main()
