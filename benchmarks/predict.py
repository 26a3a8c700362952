"""Asks `tui-mia check` how long audits will take, runs them, and prints predicted over real.

    python benchmarks/predict.py
    python benchmarks/predict.py --audits sample csa --rounds 3

Each audit is checked and run in a database of its own, so that no earlier run helps
the prediction; with `--again`, then once more in the same one, where it does, and has
encoded everything. The
real time is that of the whole command, from the prompt to the prompt, and the parts
are those of its run; what is neither encoding nor comes after it counts as start.
Run nothing beside it: what share of the machine others had while it was checked and
while it ran is in the table, and `--patience` waits for a quiet moment before each.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
from pairs import ARCHITECTURE, save_weights, write_pairs

from tui_mia.demo import sample_world

CANDIDATES, NONMEMBERS, GENERAL = 200, 100, 200
AUDITS = {
    "sample": "the audit of the sample world: four attacks, eight views",
    "csa": f"{ARCHITECTURE}, csa",
    "aea": f"{ARCHITECTURE}, csa and aea with three views",
    "wsa": f"{ARCHITECTURE}, csa and wsa",
}
# A prediction that is off by more has failed.
WITHIN = 0.25
# A machine is quiet of which others have had less for so long.
QUIET, QUIET_SECONDS = 0.1, 4.0


@dataclass(frozen=True)
class Times:
    """Seconds of a run."""

    start: float
    encode: float
    rest: float
    total: float


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--audits", nargs="+", choices=AUDITS, default=list(AUDITS))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--again", action="store_true", help="Once more, with the first run as a source.")
    parser.add_argument("--patience", type=float, default=0.0, help="Seconds to wait for a quiet machine.")
    arguments = parser.parse_args()
    header = f"{'audit':<8}{'source':<14}{'others':>12}{'predicted':>11}{'real':>8}{'ratio':>7}"
    print(f"{header}   {'start':>13} {'encode':>13} {'rest':>13}   (predicted/real seconds)", flush=True)
    off = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        options = _options(folder, arguments.audits)
        for number in range(arguments.rounds):
            for audit in arguments.audits:
                database = folder / f"{audit}-{number}.duckdb"
                for _ in range(1 + arguments.again):
                    off += _round(audit, [*options[audit], "--db", str(database)], arguments.patience)
    print(f"{off or 'none'} off by more than {WITHIN:.0%}")


def _round(audit: str, options: list[str], patience: float) -> bool:
    """Check and run one audit, and print a line; whether the prediction failed."""
    _wait_for_quiet(patience)
    found, _, beside_check = _tui_mia("check", *options)
    checked = json.loads(found)["time"]
    _wait_for_quiet(patience)
    printed, seconds, beside_run = _tui_mia("run", "--new", *options)
    predicted = Times(
        checked["start_seconds"], checked["encode_seconds"], checked["rest_seconds"], checked["total_seconds"]
    )
    real = _real(json.loads(printed)["seconds"], seconds)
    ratio = predicted.total / real.total
    parts = " ".join(
        f"{getattr(predicted, part):>6.1f}/{getattr(real, part):<6.1f}"
        for part in ("start", "encode", "rest")
    )
    others = f"{beside_check:.0%} {beside_run:.0%}"
    figures = f"{predicted.total:>11.1f}{real.total:>8.1f}{ratio:>7.2f}"
    print(f"{audit:<8}{checked['source']:<14}{others:>12}{figures}   {parts}", flush=True)
    return abs(ratio - 1) > WITHIN


def _real(phases: dict[str, float], total: float) -> Times:
    rest = sum(phases.get(phase, 0.0) for phase in ("repeat", "sort", "attack", "check", "judge"))
    return Times(total - phases["encode"] - rest, phases["encode"], rest, total)


def _wait_for_quiet(patience: float) -> None:
    """Wait until nobody else has worked for some seconds, but not for ever."""
    began = time.monotonic()
    while time.monotonic() - began < patience and psutil.cpu_percent(interval=QUIET_SECONDS) > 100 * QUIET:
        pass


def _tui_mia(command: str, *options: str) -> tuple[str, float, float]:
    """What a command prints, how long it takes, and what share of all cores others had meanwhile."""
    began, busy, own = time.perf_counter(), _busy_seconds(), _own_seconds()
    ran = subprocess.run(
        [sys.executable, "-m", "tui_mia", command, *options, "--json"],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    seconds = time.perf_counter() - began
    others = (_busy_seconds() - busy) - (_own_seconds() - own)
    return ran.stdout, seconds, max(others, 0.0) / seconds / (os.cpu_count() or 1)


def _busy_seconds() -> float:
    """CPU seconds of everything on this machine, and of its host's other guests."""
    times = psutil.cpu_times()
    return sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0)


def _own_seconds() -> float:
    """CPU seconds of the commands that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def _options(folder: Path, audits: list[str]) -> dict[str, list[str]]:
    """The command line of each audit; the pairs and weights that they need are written first."""
    options = {"sample": [str(sample_world() / "audit.toml"), "--device", "cpu"]}
    if set(audits) == {"sample"}:
        return options
    candidates = write_pairs(folder, "candidates", CANDIDATES)
    nonmembers = write_pairs(folder, "nonmembers", NONMEMBERS, seed=1)
    general = write_pairs(folder, "general", GENERAL, seed=2)
    model = ["--model", ARCHITECTURE, "--pretrained", str(save_weights(folder)), "--device", "cpu"]
    pools = ["--candidates", candidates, "--nonmembers", nonmembers]
    return options | {
        "csa": [*model, *pools, "--attacks", "csa"],
        "aea": [*model, *pools, "--attacks", "csa,aea", "--set", "attacks.aea.views=3"],
        "wsa": [*model, *pools, "--general", general, "--attacks", "csa,wsa"],
    }


if __name__ == "__main__":
    main()
