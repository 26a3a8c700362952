"""What the pools of a run were read from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tui_mia.store.connect import WAIT_SECONDS, reading


@dataclass(frozen=True, slots=True)
class PoolRow:
    """A row of the table `pools`: its sources, a hash of its content, and what came of its pairs."""

    pool: str
    source: str
    fingerprint: str
    samples: int
    rejects: int


def read_pools(database: Path, run_id: str, wait_seconds: float = WAIT_SECONDS) -> list[PoolRow]:
    """The pools of a run, candidates first."""
    with reading(database, wait_seconds) as connection:
        rows = connection.execute(
            "SELECT coalesce(pool, ''), coalesce(source, ''), coalesce(fingerprint, ''),"
            " coalesce(samples, 0), coalesce(rejects, 0) FROM pools WHERE run_id = ?"
            " ORDER BY pool != 'candidates', pool != 'nonmembers', pool",
            [run_id],
        ).fetchall()
    return [PoolRow(*row) for row in rows]
