"""Picks candidates whose members and non-members are drawings of different kinds.

    python sample_data/make_shifted.py

Most published member and non-member collections differ in what they show, and
a score that only sees the difference looks like a leak. These lists are such a
collection on purpose: `shifted/candidates.txt` over candidates.tar and
`shifted/nonmembers.txt` over nonmembers.tar. The rule: rank the categories
(first folder of the source) by the mean similarity that the reference model
gives their pairs in general.tar and nonmembers.tar; keep the member candidates
of the top third and the non-members of the lower half. The control model
takes no part in the choice.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path
from statistics import mean

from measure import read_records, similarities  # type: ignore[import-not-found]

FEWEST_PAIRS_TO_RANK = 10


def category(record: dict[str, str | bool]) -> str:
    """The first folder of the drawing's source file."""
    return str(record["source"]).split("/")[0]


def rank_categories(world: Path) -> list[str]:
    """Categories with enough pairs, the one with the highest mean similarity first."""
    by_category: dict[str, list[float]] = defaultdict(list)
    for tar_path in (world / "general.tar", world / "nonmembers.tar"):
        records = read_records(tar_path)
        for key, similarity in similarities(world, "reference", tar_path).items():
            by_category[category(records[key])].append(similarity)
    ranked = [name for name, values in by_category.items() if len(values) >= FEWEST_PAIRS_TO_RANK]
    return sorted(ranked, key=lambda name: -mean(by_category[name]))


def write_keys(path: Path, keys: list[str]) -> None:
    """One key a line, in order."""
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(f"{key}\n" for key in sorted(keys)))


def main() -> None:
    """Rank, choose, and write the two lists."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--world", type=Path, default=Path(__file__).parent, help="where the pools are")
    world = parser.parse_args().world

    ranked = rank_categories(world)
    member_side = ranked[: len(ranked) // 3]
    nonmember_side = ranked[len(ranked) // 2 :]
    print(f"members from {', '.join(member_side)}; non-members from {', '.join(nonmember_side)}")

    candidates = read_records(world / "candidates.tar")
    chosen = [
        key
        for key, record in candidates.items()
        if category(record) in (member_side if record["member"] else nonmember_side)
    ]
    nonmembers = read_records(world / "nonmembers.tar")
    alike = [key for key, record in nonmembers.items() if category(record) in nonmember_side]
    write_keys(world / "shifted" / "candidates.txt", chosen)
    write_keys(world / "shifted" / "nonmembers.txt", alike)


if __name__ == "__main__":
    main()
