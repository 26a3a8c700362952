"""Long runs, watched for what grows, what is left behind, and whether what is told of the time left is true.

    python benchmarks/soak.py
    python benchmarks/soak.py --pairs 1000000 --rounds 100
    python benchmarks/soak.py --pairs 3000 --samples 20000 --rounds 4

Three parts, on one machine without a GPU: an audit of so many small pairs by a model of
a stub's size, from tars through pools, worker and store, while the app looks on; the
ingest of a run of a million samples; and the app on those, sorting, filtering and
jumping about round after round. Every half second it is seen what each process holds:
memory, threads, open files, children. Needs tmux. Prints a table, and fails if memory
grows by more than a tenth over the second half, if anything else grows or is left, or if
the time left that was told after the first tenth is off by more than a fifth.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import open_clip
import psutil
import torch
from browse import App, has_rows, is_filtered, is_settled, title_and_rows
from safetensors.torch import save_file
from stream import write_pairs

from tui_mia.runs import Progress, RunDirectory
from tui_mia.runs.directory import runs_folder

Answer = TypeVar("Answer")
HERE = Path(__file__).resolve().parent
SECONDS_BETWEEN_LOOKS = 0.5
SECONDS_TO_END = 5.0
# An app that is closed leaves the saving of a finished run to a process, which a million samples keep busy.
SAVING, SECONDS_TO_SAVE = "tui_mia.board.landing_process", 60.0
# Of the pairs, those that are known non-members: a tar in so many.
NONMEMBERS = 5
MOST_GROWTH = 1.10
MOST_OFF = 0.20
# Files and threads come and go with each shard; what leaks goes on growing.
COMING_AND_GOING = 2
STUB = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 16, "patch_size": 8, "width": 16, "head_width": 16, "layers": 1},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 1, "layers": 1},
}


@dataclass(frozen=True)
class Row:
    """A line of the table; `met` is None where there is nothing to meet."""

    question: str
    found: str
    allowed: str = ""
    met: bool | None = None


@dataclass(frozen=True)
class Look:
    """What a process held at a time."""

    time: float
    memory_bytes: int
    threads: int
    files: int
    children: int


@dataclass
class Watched:
    """A process, and all that was seen of it."""

    process: psutil.Process
    looks: list[Look] = field(default_factory=list)
    descendants: set[psutil.Process] = field(default_factory=set)

    def look(self) -> None:
        try:
            children = self.process.children(recursive=True)
            with self.process.oneshot():
                held = self.process.memory_info().rss, self.process.num_threads(), self.process.num_fds()
        except psutil.Error:  # it has ended
            return
        self.descendants.update(children)
        self.looks.append(Look(time.time(), *held, len(children)))

    def quarters(self, begin: float, end: float) -> tuple[list[Look], list[Look]]:
        """The third and the last quarter of a time."""
        half, last = begin + (end - begin) / 2, begin + 3 * (end - begin) / 4
        third = [look for look in self.looks if half <= look.time < last]
        return third, [look for look in self.looks if last <= look.time <= end]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=100_000, help="that are encoded")
    parser.add_argument("--pairs-a-tar", type=int, default=2_500)
    parser.add_argument("--attacks", default="csa")
    parser.add_argument("--samples", type=int, default=1_000_000, help="in the database that is browsed")
    parser.add_argument("--rounds", type=int, default=20, help="of browsing")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        folder = Path(name)
        temporary = folder / "tmp"
        temporary.mkdir()
        # What children leave in these is seen, and no other audit of this machine holds their device.
        os.environ |= {"TMPDIR": str(temporary), "XDG_CACHE_HOME": name, "XDG_CONFIG_HOME": name}
        rows = audit(folder, arguments.pairs, arguments.pairs_a_tar, arguments.attacks)
        rows += browsing(folder, arguments.samples, arguments.rounds)
        left = [path.name for path in temporary.iterdir()]
        rows.append(Row("temporary files left", f"{len(left)} {' '.join(left)}".strip(), "0", not left))
    print_table(rows)
    return 0 if all(row.met is not False for row in rows) else 1


def audit(folder: Path, pairs: int, pairs_a_tar: int, attacks: str) -> list[Row]:
    """Encode, score and save so many pairs, headless, while the app looks on."""
    tars = folder / "pairs"
    tars.mkdir()
    began = time.time()
    write_pairs(tars, pairs, pairs_a_tar)
    written = time.time() - began
    database = folder / "audit" / "soak.duckdb"
    database.parent.mkdir()
    watched: dict[str, Watched] = {}
    with watching(watched), started(folder, sorted(tars.iterdir()), database, attacks) as front_end:
        watched["front end"] = Watched(psutil.Process(front_end.pid))
        directory = RunDirectory(until(lambda: next(runs_folder(database).glob("*/spec.toml"), None)).parent)
        watched["worker"] = Watched(psutil.Process(until(directory.worker)))
        with opened(folder, database, "120", "40") as app:
            watched["app"] = Watched(app.process)
            if front_end.wait():
                raise SystemExit("the audit failed")
    progress = [event for event in directory.events() if isinstance(event, Progress)]
    encode = [event for event in progress if event.phase == "encode"]
    begin, end = encode[0].time, encode[-1].time
    document = json.loads((folder / "result.json").read_text())
    rate = encode[-1].samples / (end - begin)
    seconds = ", ".join(f"{phase} {took:.0f}" for phase, took in document["seconds"].items())
    samples = sum(document["samples"].values())
    rows = [
        Row("pairs encoded", f"{encode[-1].samples:,} at {rate:,.0f}/s (written in {written:.0f} s)"),
        Row("samples in the database", f"{samples:,}", f"{pairs:,}", samples == pairs),
        Row("seconds a phase", seconds),
    ]
    rows += told_and_true(encode)
    for name, each in watched.items():
        rows += growth(f"{name}, encoding", *each.quarters(begin, end))
    return rows + what_is_left(watched, database.parent, directory)


@contextmanager
def started(
    folder: Path, tars: Sequence[Path], database: Path, attacks: str
) -> Iterator[subprocess.Popen[bytes]]:
    """The headless audit; it is over when its time is."""
    nonmembers = tars[:: max(2, min(NONMEMBERS, len(tars)))]
    command = [sys.executable, "-m", "tui_mia", "run", "--json", "--db", str(database), "--attacks", attacks]
    command += ["--model", f"local-dir:{save_stub(folder / 'stub')}", "--set", "run.batch_size=256"]
    for tar in tars:
        command += ["--nonmembers" if tar in nonmembers else "--candidates", str(tar)]
    with (folder / "result.json").open("wb") as output:
        front_end = subprocess.Popen(command, stdout=output)
    try:
        yield front_end
    finally:
        front_end.terminate()
        front_end.wait()


@contextmanager
def opened(folder: Path, database: Path, width: str, height: str) -> Iterator[App]:
    """The app on a database; it is left as a user would leave it."""
    app = App(folder, database, width, height)
    try:
        yield app
        app.press("q")
        app.process.wait(30)
    finally:
        with suppress(subprocess.CalledProcessError):  # it is gone with the app
            app.tmux("kill-server")


def save_stub(folder: Path) -> Path:
    """The smallest model that open_clip builds, with weights of chance."""
    folder.mkdir()
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": STUB, "preprocess_cfg": {}}))
    torch.manual_seed(0)
    network = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors")
    return folder


def told_and_true(encode: Sequence[Progress]) -> list[Row]:
    """What was told of the time left and of how much is done, after the first tenth, against the truth."""
    begin, end = encode[0].time, encode[-1].time
    told = [event for event in encode if event.fraction >= 0.1 and event.eta_seconds is not None]
    first = told[0]
    left = end - first.time
    off = (first.eta_seconds or 0) / left - 1
    totals = [(event.time + (event.eta_seconds or 0) - begin) / (end - begin) - 1 for event in told]
    shares = [event.fraction - (event.time - begin) / (end - begin) for event in told]
    worst, astray = max(totals, key=abs), max(shares, key=abs)
    within = f"within {MOST_OFF:.0%}"
    return [
        Row(
            "time left, told after a tenth",
            f"{first.eta_seconds:,.0f} s, was {left:,.0f} s: {off:+.0%}",
            within,
            abs(off) <= MOST_OFF,
        ),
        Row("the end that was told, at worst since", f"{worst:+.0%}", within, abs(worst) <= MOST_OFF),
        Row("share done less share of time, at worst", f"{astray:+.0%}", within, abs(astray) <= MOST_OFF),
    ]


def browsing(folder: Path, samples: int, rounds: int) -> list[Row]:
    """The ingest of a run of so many samples, and the app on it."""
    database = folder / "million" / "million.duckdb"
    database.parent.mkdir()
    watched: dict[str, Watched] = {}
    turns: list[float] = []
    with watching(watched):
        command = [sys.executable, str(HERE / "million.py"), str(database), "--samples", str(samples)]
        making = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        watched["store"] = Watched(psutil.Process(making.pid))
        if making.wait():
            raise SystemExit("the database could not be made")
        with opened(folder, database, "160", "50") as app:
            app.until(lambda lines: "million" in "\n".join(lines))
            watched["app"] = Watched(app.process)
            for turn in range(rounds):
                go_round(app, turn, samples)
                turns.append(time.time())
    peak = max(look.memory_bytes for look in watched["store"].looks)
    rows = [
        Row("samples through the store", f"{samples:,}, at most {peak / 2**20:,.0f} MB"),
        Row("rounds of the app on them", f"{rounds} in {turns[-1] - turns[0]:,.0f} s"),
        *growth("app, browsing", *watched["app"].quarters(turns[0], turns[-1])),
    ]
    return rows + what_is_left(watched, database.parent)


def go_round(app: App, turn: int, samples: int) -> None:
    """Sort by another column, go to the end, the middle and the start, filter, and show the plots."""
    app.press("3")
    app.until(is_settled)
    before = title_and_rows(app.lines())[0]
    app.press(">")
    app.until(lambda lines: title_and_rows(lines)[0] != before and is_settled(lines))
    app.press("G")
    app.until(lambda lines: has_rows(lines) and not lines[-2].startswith(" 1 of"))
    app.press(":")
    app.until(lambda lines: "Jump to a sample" in "\n".join(lines))
    number = f"#{samples // 2 + turn}"
    app.press(number, "Enter")
    app.until(lambda lines: number in lines[-2] and has_rows(lines))
    app.press("/")
    app.until(lambda lines: "Show the samples with" in "\n".join(lines))
    app.press("guitar", "Enter")
    app.until(lambda lines: is_filtered(lines) and is_settled(lines))
    app.press("x")
    app.until(lambda lines: "filter:" not in title_and_rows(lines)[0] and is_settled(lines))
    app.press("4")
    app.until(lambda lines: not has_rows(lines))


def growth(name: str, third: Sequence[Look], last: Sequence[Look]) -> list[Row]:
    """What a process held at most in the last quarter of a time against the one before."""
    if not (third and last):
        return [Row(name, "too short to be seen", "two looks", False)]
    before, after = (max(look.memory_bytes for look in looks) for looks in (third, last))
    ratio = after / before
    rows = [
        Row(
            f"{name}: memory",
            f"{before / 2**20:,.0f} MB, then {after / 2**20:,.0f} MB: {ratio:.3f}",
            f"{MOST_GROWTH:.2f}",
            ratio <= MOST_GROWTH,
        )
    ]
    for what in ("threads", "files", "children"):
        before, after = (max(getattr(look, what) for look in looks) for looks in (third, last))
        most = before + COMING_AND_GOING
        rows.append(Row(f"{name}: {what}", f"{before}, then {after}", f"{most}", after <= most))
    return rows


def what_is_left(
    watched: dict[str, Watched], folder: Path, directory: RunDirectory | None = None
) -> list[Row]:
    """Processes that live on, and files that were to be gone, once all has ended."""
    processes = {process for each in watched.values() for process in (each.process, *each.descendants)}
    saving = {process for process in processes if _is_saving(process)}
    _, alive = psutil.wait_procs(processes - saving, SECONDS_TO_END)
    _, still_saving = psutil.wait_procs(saving, SECONDS_TO_SAVE)
    alive += still_saving
    who = " ".join(" ".join(process.cmdline()[1:5]) for process in alive)
    unfinished = [path.name for path in folder.rglob("*") if path.suffix in (".tmp", ".wal")]
    names = " ".join(unfinished)
    rows = [
        Row("processes left", f"{len(alive)} of {len(processes)} {who}".strip(), "0", not alive),
        Row("unfinished files left", f"{len(unfinished)} {names}".strip(), "0", not unfinished),
    ]
    if directory is not None:
        held = directory.is_running()
        rows.append(Row("the run's lock", "held" if held else "free", "free", not held))
    return rows


def _is_saving(process: psutil.Process) -> bool:
    try:
        return SAVING in process.cmdline()
    except psutil.Error:  # it has ended
        return False


@contextmanager
def watching(watched: dict[str, Watched]) -> Iterator[None]:
    """Look at these processes, and those that are added, again and again."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(SECONDS_BETWEEN_LOOKS):
            for each in list(watched.values()):
                each.look()

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def until(ask: Callable[[], Answer | None], seconds: float = 60.0) -> Answer:
    """Ask again and again until there is an answer."""
    deadline = time.monotonic() + seconds
    while (answer := ask()) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"nothing within {seconds:.0f} s")
        time.sleep(0.05)
    return answer


def print_table(rows: Sequence[Row]) -> None:
    verdicts = {True: "ok", False: "FAILED", None: ""}
    print(f"{'question':44} {'found':50} {'allowed':>12}")
    for row in rows:
        print(f"{row.question:44} {row.found:50} {row.allowed:>12}  {verdicts[row.met]}")


if __name__ == "__main__":
    sys.exit(main())
