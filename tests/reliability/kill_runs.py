"""Kills audits again and again, goes on with them, and looks whether anything was lost.

    python -m tests.reliability.kill_runs --kills 50

An audit of the sample world, in tars of 30 pairs, is carried out undisturbed. Then it is
carried out again and again, in a database of its own each time, and killed up to three
times on its way: the worker, the front end or both, at a random moment of each phase in
turn, or between the write and the rename of a file. What goes on with it is in turn
`tui-mia resume`, the same `tui-mia run`, and the board of the terminal app. At the end
its tables and its rows in the database have to be those of the undisturbed run, byte for
byte, parts that were finished must not have been written again, and no process and no
temporary file may be left.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import cycle
from pathlib import Path

from tests.reliability.killing import (
    COMMANDS,
    MOMENTS,
    Audit,
    Command,
    Kill,
    KillAt,
    KillBeforeRename,
    Victim,
    differences,
    finished_parts,
    gone_on_with,
    killed,
    seconds_of_moments,
)
from tui_mia.demo import sample_world

PAIRS_A_TAR = 30
TARS = {"candidates": 4, "nonmembers": 4, "general": 4}
MOST_KILLS_A_RUN = 3
# What is put in its place: by a worker rejects and samples of each part, and ten tables; by the front end
# the spec and the run directory.
RENAMES = {"worker": 2 * sum(TARS.values()) + 10, "front end": 2}
SPEC = """
[model]
architecture = "local-dir:{world}/models/target"
device = "cpu"

[pools.candidates]
source = "{folder}/candidates-*.tar"

[pools.nonmembers]
source = "{folder}/nonmembers-*.tar"

[pools.general]
source = "{folder}/general-*.tar"

[attacks.csa]
[attacks.aea]
views = 2
[attacks.wsa]
seeds = 1
[attacks.loss]
"""


def make_audit(folder: Path) -> Path:
    """The first pairs of the sample world in small tars, and the spec of an audit of them."""
    world = sample_world()
    for pool, tars in TARS.items():
        with tarfile.open(world / f"{pool}.tar") as whole:
            members = iter(whole)
            for number in range(tars):
                with tarfile.open(folder / f"{pool}-{number}.tar", "w") as part:
                    _copy_pairs(whole, members, part)
    spec_path = folder / "audit.toml"
    spec_path.write_text(SPEC.format(world=world, folder=folder))
    return spec_path


def _copy_pairs(whole: tarfile.TarFile, members: Iterator[tarfile.TarInfo], part: tarfile.TarFile) -> None:
    keys: set[str] = set()
    for member in members:
        keys.add(member.name.partition(".")[0])
        part.addfile(member, whole.extractfile(member))
        # The members of a pair are beside each other; the last of a tar may lack some, in each run the same.
        if len(keys) == PAIRS_A_TAR:
            return


def planned_kills(seconds: dict[str, float], chance: random.Random) -> Iterator[Kill]:
    """Kills for ever: each victim at each moment in turn, and after each round one before a rename."""
    while True:
        for moment in MOMENTS:
            victim: Victim = chance.choice(["worker", "front end", "both"])
            # There is no worker yet, or no more.
            victim = "front end" if moment in ("launch", "landing") else victim
            yield KillAt(victim, moment, round(chance.uniform(0, seconds[moment]), 3))
            if chance.random() < 0.3:
                yield KillBeforeRename("worker", chance.randrange(RENAMES["worker"]))
        yield KillBeforeRename("front end", chance.randrange(RENAMES["front end"]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    began, chance = time.monotonic(), random.Random(options.seed)
    with tempfile.TemporaryDirectory(prefix="tui-mia-kills-") as folder:
        # Or it would wait for the device while another audit of this machine has it.
        os.environ["XDG_CACHE_HOME"] = str(Path(folder, "cache"))
        spec_path = make_audit(Path(folder))
        undisturbed, seconds = _undisturbed(spec_path, Path(folder, "undisturbed"))
        counts: Counter[str] = Counter()
        kills, commands = planned_kills(seconds, chance), cycle(COMMANDS)
        wrong = runs = 0
        while counts.total() < options.kills:
            runs += 1
            audit = _audit(spec_path, Path(folder, f"run-{runs}"))
            problems = _disturbed(audit, kills, commands, chance, counts) + differences(audit, undisturbed)
            wrong += bool(problems)
            for problem in problems:
                print(f"run {runs}: {problem}", flush=True)
    print(json.dumps(dict(sorted(counts.items())), indent=2))
    print(
        f"{counts.total()} kills in {runs} runs, {wrong} of which were not as the undisturbed one; "
        f"{(time.monotonic() - began) / 60:.0f} minutes, seed {options.seed}"
    )
    sys.exit(1 if wrong else 0)


def _audit(spec_path: Path, folder: Path) -> Audit:
    folder.mkdir()
    return Audit(spec_path, folder / "audits.duckdb")


def _undisturbed(spec_path: Path, folder: Path) -> tuple[Audit, dict[str, float]]:
    audit, began = _audit(spec_path, folder), time.time()
    gone_on_with(audit, "run")
    assert audit.directory is not None
    return audit, seconds_of_moments(audit.directory, began, time.time())


def _disturbed(
    audit: Audit,
    kills: Iterator[Kill],
    commands: Iterator[Command],
    chance: random.Random,
    counts: Counter[str],
) -> list[str]:
    """Kill an audit a few times and go on to its end; what was done twice on the way."""
    problems: list[str] = []
    for _ in range(chance.randint(1, MOST_KILLS_A_RUN)):
        parts, kill, command = finished_parts(audit), next(kills), next(commands)
        was_there = killed(audit, command, kill)
        counts[_name(kill)] += was_there
        print(f"  {command}: {kill}{'' if was_there else ': came too late'}", flush=True)
        problems += _written_again(parts, audit)
        last = audit.finished()
        if last is not None and last.status == "done":
            break
    parts = finished_parts(audit)
    gone_on_with(audit, next(commands))
    return problems + _written_again(parts, audit)


def _written_again(before: Mapping[str, tuple[int, int]], audit: Audit) -> list[str]:
    after = finished_parts(audit)
    return [f"{name} was written again" for name, stamp in before.items() if after.get(name) != stamp]


def _name(kill: Kill) -> str:
    if isinstance(kill, KillAt):
        return f"{kill.moment}: {kill.victim}"
    return f"before a rename: {kill.victim}"


if __name__ == "__main__":
    main()
