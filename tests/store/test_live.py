from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tui_mia.runs import RunDirectory
from tui_mia.runs.tables import ENCODED_SAMPLE
from tui_mia.store import (
    LiveRun,
    SampleSort,
    ScoredAttack,
    StoredRun,
    StoreError,
    attacks_of,
    count_samples,
    find_sample,
    first_samples,
    order_samples,
    read_sample,
    read_samples,
)


def write_part(directory: RunDirectory, pool: str, part: int, similarities: list[list[float]]) -> None:
    """A part as the encoder leaves it."""
    size, views = len(similarities), len(similarities[0]) if similarities else 3
    schema = pa.schema(
        [
            *ENCODED_SAMPLE,
            ("similarities", pa.list_(pa.float32(), views)),
            ("image_embedding", pa.list_(pa.float32(), 2)),
        ]
    )
    rows = [
        {
            "sample_id": f"{pool}{part}{place}",
            "key": f"{part}-{place}",
            "source": f"{pool}.tar",
            "caption": f"the {place} of {pool}",
            "member": None,
            "similarities": values,
            "image_embedding": [0.0, 1.0],
        }
        for place, values in enumerate(similarities)
    ]
    assert len(rows) == size
    path = directory.parts / f"{pool}-000000-{part:06d}.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema), path.with_suffix(".tmp"))
    path.with_suffix(".tmp").rename(path)


@pytest.fixture
def directory(tmp_path: Path) -> RunDirectory:
    directory = RunDirectory(tmp_path / "audits.duckdb.runs" / "run-live")
    directory.parts.mkdir(parents=True)
    return directory


@pytest.fixture
def live(directory: RunDirectory) -> Iterator[LiveRun]:
    live = LiveRun(directory)
    yield live
    live.close()


def test_a_run_without_parts_has_no_samples_yet(live: LiveRun) -> None:
    assert live.refresh() == 0
    assert count_samples(live) == {}
    assert first_samples(live) == []
    assert attacks_of(live) == []


def test_parts_are_taken_in_as_they_come_and_each_once(directory: RunDirectory, live: LiveRun) -> None:
    write_part(directory, "candidates", 0, [[0.1, 0.2, 0.3], [0.5, 0.5, 0.2]])
    pq.write_table(
        pa.table({"reason": ["bad"]}), directory.parts / "rejects-candidates-000000-000000.parquet"
    )
    assert live.refresh() == 2
    assert live.refresh() == 2
    write_part(directory, "nonmembers", 0, [[0.3, 0.3, 0.0]])
    write_part(directory, "candidates", 1, [[0.2, 0.4, 0.0]])
    assert live.refresh() == 4
    assert count_samples(live) == {"candidates": 3, "nonmembers": 1}
    assert attacks_of(live) == [ScoredAttack("aea_mean", False), ScoredAttack("csa", False)]
    assert order_samples(live, SampleSort("score", True, "csa")).numbers.tolist() == [1, 3, 2, 0]
    (row,) = read_samples(live, [2])
    assert (row.sample_id, row.pool, row.caption) == ("candidates10", "candidates", "the 0 of candidates")
    assert row.scores == {"csa": pytest.approx(0.2), "aea_mean": pytest.approx(0.2)}
    assert row.p_values == {}
    assert find_sample(live, "1-0") == 2
    sample = read_sample(live, 1)
    assert sample.similarities == pytest.approx([0.5, 0.5, 0.2])
    assert [(score.attack, score.rank, score.of) for score in sample.scores] == [
        ("aea_mean", 1, 3),
        ("csa", 1, 3),
    ]


def test_one_view_has_no_mean(directory: RunDirectory, live: LiveRun) -> None:
    write_part(directory, "candidates", 0, [[0.1]])
    live.refresh()
    assert attacks_of(live) == [ScoredAttack("csa", False)]


def test_a_part_of_rejects_only_is_no_trouble(directory: RunDirectory, live: LiveRun) -> None:
    write_part(directory, "candidates", 0, [])
    write_part(directory, "candidates", 1, [[0.1, 0.2, 0.3]])
    assert live.refresh() == 1


def test_a_refresh_takes_in_at_least_one_part_and_leaves_the_rest_for_the_next(
    directory: RunDirectory, live: LiveRun
) -> None:
    for part in range(3):
        write_part(directory, "candidates", part, [[0.1, 0.2, 0.3]])
    assert [live.refresh(seconds=0) for _ in range(4)] == [1, 2, 3, 3]


def test_a_part_that_can_not_be_read_is_named_and_the_others_stay(
    directory: RunDirectory, live: LiveRun
) -> None:
    write_part(directory, "candidates", 0, [[0.1, 0.2, 0.3]])
    live.refresh()
    (directory.parts / "general-000000-000000.parquet").write_bytes(b"PAR1")
    with pytest.raises(StoreError, match=r"general-000000-000000\.parquet can't be read"):
        live.refresh()
    assert len(order_samples(live)) == 1


def test_a_part_that_is_removed_while_it_is_taken_in_is_passed_over(
    directory: RunDirectory, live: LiveRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_part(directory, "candidates", 0, [[0.1, 0.2]])
    gone = directory.parts / "candidates-000000-000001.parquet"
    there = live._new_parts()
    monkeypatch.setattr(live, "_new_parts", lambda: [gone, *there])
    assert live.refresh() == 1


def test_a_run_that_was_closed_says_so_and_leaves_nothing(directory: RunDirectory) -> None:
    live = LiveRun(directory)
    folder = Path(live._folder.name)
    live.close()
    live.close()
    assert not folder.exists()
    for ask in (order_samples, LiveRun.refresh):
        with pytest.raises(StoreError, match=r"run-live: the run has ended .* open the sample again from"):
            ask(live)


def test_no_room_for_the_temporary_file_is_told(
    directory: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(StoreError, match="run-live: no temporary file for its samples"):
        LiveRun(directory)


def test_a_temporary_file_that_duckdb_can_not_make_is_told_and_leaves_nothing(
    directory: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(connection: duckdb.DuckDBPyConnection) -> None:
        raise duckdb.IOException("No space left on device")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("tui_mia.store.live.create_schema", full)
    with pytest.raises(StoreError, match="No space left on device"):
        LiveRun(directory)
    assert not list(tmp_path.glob("tui-mia-live-*"))


def test_what_is_live_is_what_the_database_has_later(finished_run: Any) -> None:
    live = LiveRun(finished_run.directory)
    stored = StoredRun(finished_run.database, finished_run.run_id)
    live.refresh(seconds=60)
    assert count_samples(live) == count_samples(stored)
    ours, theirs = read_samples(live, range(140)), read_samples(stored, range(140))
    for mine, its in zip(ours, theirs, strict=True):
        assert (mine.sample_id, mine.pool, mine.key, mine.caption, mine.member) == (
            its.sample_id,
            its.pool,
            its.key,
            its.caption,
            its.member,
        )
        assert mine.scores == pytest.approx({attack: its.scores[attack] for attack in ("csa", "aea_mean")})
    live.close()
