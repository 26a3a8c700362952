"""What follows the encoding, on parts of chance: what is told of it, and samples where all is too much."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tui_mia import tables
from tui_mia.attacks import make_attacks
from tui_mia.attacks import wsa as wsa_module
from tui_mia.audit import score_and_judge
from tui_mia.crew import About
from tui_mia.crew.loaded import ModelFacts
from tui_mia.encoder import EncodedPool, PoolAppearances
from tui_mia.encoder.appearance import FORM_NAMES, STATISTICS_NAMES
from tui_mia.encoder.fingerprint import Fingerprint
from tui_mia.encoder.parts import REJECTS, samples_schema, write_part
from tui_mia.evidence import blind
from tui_mia.recompute import recompute
from tui_mia.runs import RunDirectory
from tui_mia.runs.reporter import Reporter
from tui_mia.spec import AuditSpec

COUNTS = {"candidates": 90, "nonmembers": 100, "general": 200}
PART = 25
WORDS = ("red", "blue", "dog", "cat", "house", "tree", "river", "mountain", "old", "small", "car", "boat")


class Told(Reporter):
    """Keeps what is told of each phase."""

    def __init__(self, directory: RunDirectory) -> None:
        super().__init__(directory)
        self.of_phase: dict[str, list[float]] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        self.of_phase[name] = []
        with super().phase(name):
            yield

    def progress(self, fraction: float, *arguments: Any, **named: Any) -> None:
        self.of_phase[self._phase].append(fraction)
        super().progress(fraction, *arguments, **named)


def part(pool: str, first: int, count: int) -> pa.Table:
    """Samples that depend on nothing but their pool and number."""
    schema = samples_schema(2, 4)
    rows: list[dict[str, object]] = []
    for number in range(first, first + count):
        digest = hashlib.sha256(f"{pool} {number}".encode())
        random = np.random.default_rng(int.from_bytes(digest.digest()[:8]))
        vectors = random.normal(size=(2, 4))
        image, text = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        rows.append(
            {
                "sample_id": digest.hexdigest()[:32],
                "key": str(number),
                "source": f"{pool}.tar",
                "caption": " ".join(random.choice(WORDS, 5)),
                "width": 48,
                "height": 40,
                "image_form": random.integers(0, 4, len(FORM_NAMES)).astype(np.float32),
                "image_statistics": random.normal(size=len(STATISTICS_NAMES)).astype(np.float32),
                "perceptual_hash": int(random.integers(2**63)),
                "similarities": random.normal(0.2, 0.05, 3).astype(np.float32),
                "image_embedding": image.astype(np.float32),
                "text_embedding": text.astype(np.float32),
            }
        )
    return pa.Table.from_pylist(rows, schema)


Audit: TypeAlias = tuple[RunDirectory, Told]


def audit(folder: Path, order: int = 1, attacks: Sequence[str] = ("csa", "wsa")) -> Audit:
    """What follows the encoding of pools whose parts come in some order."""
    spec = AuditSpec.model_validate(
        {
            "model": {"architecture": "made-up"},
            "pools": {pool: {"source": ["made-up.tar"]} for pool in COUNTS},
            "attacks": {attack: {"seeds": 1} if attack == "wsa" else {} for attack in attacks},
            "output": {"database": str(folder / "made-up.duckdb")},
        }
    )
    directory = RunDirectory.create(spec, "")
    for pool, count in COUNTS.items():
        for number, first in enumerate(list(range(0, count, PART))[::order]):
            samples = part(pool, first, min(PART, count - first))
            write_part(directory.parts, pool, number, 0, samples, REJECTS.empty_table())
    facts = ModelFacts("fp32", Fingerprint("", "", "", ""), 50.0)
    told = Told(directory)
    score_and_judge(spec, directory, told, make_attacks(spec.attacks), About("cpu", facts, None, {}), [])
    return directory, told


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    """Everything is fitted to all that it may be."""
    return audit(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Audit, list[int]]]:
    """Beyond bounds, with the shards forth and back; and of how many samples looks were taken at a time."""
    found, appearances = {}, EncodedPool.appearances
    for name, order in (("forth", 1), ("back", -1)):
        taken: list[int] = []

        def noting(pool: EncodedPool, rows: Any, taken: list[int] = taken) -> PoolAppearances:
            taken.append(len(rows))
            return appearances(pool, rows)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(wsa_module, "LARGEST_CLASS", 30)
            patch.setattr(blind, "DRAWN_AT_MOST", 50)
            patch.setattr(blind, "SCORED_AT_ONCE", 40)
            patch.setattr(EncodedPool, "appearances", noting)
            found[name] = audit(tmp_path_factory.mktemp(name), order), taken
    return found


def rows_of(directory: RunDirectory, table: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(directory.tables / f"{table}.parquet").to_pylist()
    return rows


def checks(directory: RunDirectory) -> dict[tuple[str, str | None], dict[str, Any]]:
    return {(row["check"], row["attack"]): row for row in rows_of(directory, "checks")}


def test_progress_of_each_phase_never_goes_back_ends_at_the_whole_and_never_leaps(whole: Audit) -> None:
    _, told = whole
    for phase in ("attack", "check", "judge"):
        fractions = told.of_phase[phase]
        assert fractions == sorted(fractions), phase
        assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    assert np.diff(told.of_phase["check"]).max() < 0.15


def test_what_fits_is_fitted_to_whole(whole: Audit) -> None:
    directory, _ = whole
    assert not [name for name, _ in checks(directory) if name.startswith("sampled_")]
    facts = {row["metric"] for row in rows_of(directory, "metrics") if row["attack"] == "wsa"}
    assert {"lambda", "pseudo_members"} <= facts
    assert not {"drawn_of_each", "known_nonmembers"} & facts


def test_what_is_too_much_is_fitted_to_a_sample_all_are_scored_and_it_is_said(drawn: Any) -> None:
    (directory, _), _ = drawn["forth"]
    found = checks(directory)
    of_blind = found["sampled_blind", None]
    assert (of_blind["value"], of_blind["n"], of_blind["outcome"]) == (50, 190, "note")
    assert "fitted to 50 of 190 samples" in of_blind["words"]
    for attack in ("wsa", "wsa_rich"):
        assert "fitted to 30 of " in found["sampled_fit", attack]["words"]
        assert "as many of 80 known non-members" in found["sampled_fit", attack]["words"]
    facts = {row["metric"]: row["value"] for row in rows_of(directory, "metrics") if row["attack"] == "wsa"}
    assert facts["drawn_of_each"] == 30
    assert facts["known_nonmembers"] == pytest.approx(80)
    for table, kinds in (("scores", 3), ("baselines", len(blind.BLIND))):
        scored = [row for row in rows_of(directory, table) if row.get("baseline", "blind") == "blind"]
        assert len(scored) == kinds * (COUNTS["candidates"] + COUNTS["nonmembers"])
        assert np.isfinite([row["score"] for row in scored]).all()


def test_which_are_drawn_does_not_depend_on_the_order_of_shards(drawn: Any) -> None:
    found = []
    for (directory, _), _ in drawn.values():
        by_name = {}
        for table in ("scores", "baselines"):
            for row in rows_of(directory, table):
                of_what = row.get("attack"), row.get("baseline"), row.get("name"), row["sample_id"]
                by_name[of_what] = row["score"]
        found.append(by_name)
    forth, back = found
    assert forth.keys() == back.keys()
    np.testing.assert_allclose([back[name] for name in forth], list(forth.values()), rtol=1e-4, atol=1e-4)


def test_what_was_fitted_to_samples_is_judged_again_from_what_is_stored(drawn: Any) -> None:
    (directory, _), _ = drawn["forth"]
    (directory.tables / "spec.toml").write_text(directory.spec_path.read_text())
    found = recompute(directory.tables)
    assert found["differences"] == []
    assert "sampled_blind" in str(found["not_recomputed"])


def test_captions_and_looks_are_never_all_in_memory(drawn: Any) -> None:
    _, taken = drawn["forth"]
    assert max(taken) <= 50
    # Hashed and scored, and once those that are drawn.
    assert sum(taken) == 2 * 190 + 50


def test_tables_are_the_same_in_however_many_pieces_they_are_written(
    whole: Audit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "ROWS_AT_ONCE", 7)
    pieces, _ = audit(tmp_path)
    for table in ("pools", "scores", "baselines", "duplicates"):
        assert rows_of(pieces, table) == rows_of(whole[0], table), table


def test_the_fingerprint_of_a_pool_is_that_of_its_sorted_ids(whole: Audit) -> None:
    directory, _ = whole
    ids = sorted(row["sample_id"] for row in rows_of(directory, "samples") if row["pool"] == "general")
    (pool,) = (row for row in rows_of(directory, "pools") if row["pool"] == "general")
    assert pool["fingerprint"] == hashlib.sha256("".join(ids).encode()).hexdigest()
    assert pool["samples"] == len(ids) == COUNTS["general"]
