"""What is taken over from earlier runs, and what never is."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.encoder.conftest import IMAGE, encode_pools, write_tar
from tui_mia.encoder import (
    BatchLimit,
    Reuse,
    TargetModel,
    content,
    encoding_of,
    load_target,
    model,
    part_paths,
    reuse,
)
from tui_mia.encoder.encode import encode_shard
from tui_mia.encoder.parts import matrix_of
from tui_mia.encoder.views import make_view
from tui_mia.pools import PoolError, Shard, plan_shards, read_shard
from tui_mia.spec import AuditSpec, ModelSpec, PoolSpec

Ran = tuple[int, str | None]


@pytest.fixture
def tars(tmp_path: Path, image_bytes: Callable[..., bytes]) -> Path:
    """Two tars of six entries, the last of them no image."""
    folder = tmp_path / "tars"
    folder.mkdir()
    for shard in range(2):
        pictures = {row: image_bytes(shard * 6 + row) for row in range(5)}
        write_tar(folder / f"{shard}.tar", pictures | {5: b"no image"})
    return folder


@pytest.fixture
def run(tmp_path: Path, clip: TargetModel, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """Encodes into the parts of a run; says how many shards were encoded, and what is told of reuse."""
    encoded: list[object] = []

    def counting(*arguments: object) -> object:
        encoded.append(arguments)
        return encode_shard(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("tui_mia.encoder.shard_encoder.encode_shard", counting)

    def make(
        name: str,
        source: Path,
        model: TargetModel = clip,
        views: int = 1,
        view_seed: int = 0,
        reference: TargetModel | None = None,
        precision: str = "exact",
        rows_per_shard: int = 10_000,
        limit_of_batches: BatchLimit | None = None,
        **pool: object,
    ) -> Ran:
        folder = tmp_path / "runs" / name / "parts"
        folder.mkdir(parents=True, exist_ok=True)
        spec = AuditSpec.model_validate(
            {
                "model": {"architecture": "x", "precision": precision},
                "pools": {"candidates": {"source": [str(source)]} | pool},
                "attacks": {"aea": {"views": views, "seed": view_seed}} if views else {"csa": {}},
            }
        )
        shards = {name: plan_shards(name, pool, rows_per_shard) for name, pool in spec.pool_specs().items()}
        others = sorted(other for other in tmp_path.glob("runs/*/parts") if other != folder)
        reuse = Reuse(folder, others, encoding_of(spec, model, reference, 3))
        encoded.clear()
        encode_pools(
            spec, shards, model, 3, folder, lambda *progress: None, reference, reuse, limit_of_batches
        )
        return len(encoded), reuse.counts.summary()

    return make


def assert_same_bits(table: pa.Table, other: pa.Table) -> None:
    """Also where 0.0 equals -0.0."""
    assert table.equals(other, check_metadata=True)
    for name in table.column_names:
        if pa.types.is_fixed_size_list(table.schema.field(name).type):
            assert matrix_of(table[name]).tobytes() == matrix_of(other[name]).tobytes()


def parts(tmp_path: Path, name: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (tmp_path / "runs" / name / "parts").glob("*.parquet")}


def test_the_same_audit_again_encodes_nothing(tars: Path, tmp_path: Path, run: Callable[..., Ran]) -> None:
    assert run("1", tars) == (2, None)
    assert run("2", tars) == (0, "12 of 12 pairs had been encoded by an earlier run and are reused")
    assert len(parts(tmp_path, "2")) == 4
    assert parts(tmp_path, "2") == parts(tmp_path, "1")


def test_a_reused_shard_is_reused_again_when_the_first_run_is_deleted(
    tars: Path, tmp_path: Path, run: Callable[..., Ran]
) -> None:
    run("1", tars)
    whole = parts(tmp_path, "1")
    run("2", tars)
    shutil.rmtree(tmp_path / "runs" / "1")
    assert parts(tmp_path, "2") == whole
    assert run("3", tars)[0] == 0
    assert parts(tmp_path, "3") == whole


def test_parts_are_shared_where_the_file_system_can_and_copied_where_not(
    tars: Path, tmp_path: Path, run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    run("1", tars)
    run("2", tars)
    part = "candidates-000000-000000.parquet"
    assert (tmp_path / "runs/2/parts" / part).samefile(tmp_path / "runs/1/parts" / part)

    def refused(*_: object) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", refused)
    assert run("3", tars)[0] == 0
    assert not (tmp_path / "runs/3/parts" / part).samefile(tmp_path / "runs/1/parts" / part)
    assert parts(tmp_path, "3") == parts(tmp_path, "1")


def test_a_changed_checkpoint_under_the_same_name_is_another_model(
    tars: Path,
    tmp_path: Path,
    run: Callable[..., Ran],
    make_model: Callable[..., ModelSpec],
) -> None:
    first, second = make_model(seed=1), make_model(seed=2)
    run("1", tars, load_target(first))
    weights = "open_clip_model.safetensors"
    folders = [Path(spec.architecture.removeprefix("local-dir:")) for spec in (first, second)]
    before = (folders[0] / weights).stat()
    shutil.copyfile(folders[1] / weights, folders[0] / weights)
    os.utime(folders[0] / weights, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert run("2", tars, load_target(first)) == (
        2,
        "nothing is reused of what run 1 encoded: not the same weights",
    )
    run("3", tars, load_target(second))
    assert parts(tmp_path, "2") == parts(tmp_path, "3") != parts(tmp_path, "1")


def test_a_tar_is_told_by_content(
    tars: Path, tmp_path: Path, run: Callable[..., Ran], image_bytes: Callable[..., bytes]
) -> None:
    run("1", tars)
    for tar in tars.iterdir():
        tar.touch()
    assert run("2", tars)[0] == 0
    before = (tars / "1.tar").stat()
    write_tar(tars / "1.tar", {row: image_bytes(100 + row) for row in range(6)})
    os.utime(tars / "1.tar", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert run("3", tars) == (1, "6 of 12 pairs had been encoded by an earlier run and are reused")
    assert parts(tmp_path, "3") != parts(tmp_path, "1")


@pytest.mark.parametrize(
    ("change", "encoded"),
    [
        ({"views": 2}, 2),
        ({"limit": 9}, 1),
        ({"limit": 6}, 0),
        ({"member": [True]}, 2),
        ({"limit": 3}, 1),
        ({"limit": 12}, 0),
    ],
)
def test_what_changes_a_part_is_encoded_again(
    change: dict[str, object], encoded: int, tars: Path, run: Callable[..., Ran]
) -> None:
    run("1", tars)
    assert run("2", tars, **change)[0] == encoded
    assert run("3", tars, **change)[0] == 0


def test_what_was_cut_off_is_not_reused_and_the_cut_off_run_goes_on(
    tars: Path, tmp_path: Path, run: Callable[..., Ran]
) -> None:
    run("1", tars)
    whole = parts(tmp_path, "1")
    folder = tmp_path / "runs" / "1" / "parts"
    lines = (folder / "index.jsonl").read_text().splitlines()
    (folder / "index.jsonl").write_text("\n".join(lines[:-1]) + "\n" + lines[-1][:50])
    (folder / "candidates-000001-000000.parquet").unlink()
    assert run("2", tars)[0] == 1
    assert run("1", tars)[0] == 1
    assert parts(tmp_path, "1") == parts(tmp_path, "2") == whole


def test_a_run_that_went_on_with_another_library_is_not_for_others(
    tars: Path, tmp_path: Path, run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        older.setattr("tui_mia.encoder.encoding.version", lambda name: "0")
        run("1", tars)
        for path in (tmp_path / "runs/1/parts").glob("*candidates-000001*"):
            path.unlink()
    assert run("1", tars)[0] == 1
    assert run("2", tars) == (2, "nothing is reused of what run 1 encoded: not the same versions")


def test_a_tar_that_goes_away_or_changes_while_it_is_read_is_not_for_others(
    tars: Path, tmp_path: Path, run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    def disturbed(*arguments: object) -> object:
        whole = encode_shard(*arguments)  # type: ignore[arg-type]
        (tars / "0.tar").unlink(missing_ok=True)
        with (tars / "1.tar").open("ab") as tar:
            tar.write(bytes(512))
        return whole

    monkeypatch.setattr("tui_mia.encoder.shard_encoder.encode_shard", disturbed)
    run("1", tars)
    entries = (tmp_path / "runs/1/parts" / "index.jsonl").read_text().splitlines()
    assert [json.loads(line).keys() == {"encoding"} for line in entries] == [True]


def test_an_index_that_says_something_else_is_no_index(
    tars: Path, tmp_path: Path, run: Callable[..., Ran]
) -> None:
    run("1", tars)
    index = tmp_path / "runs" / "1" / "parts" / "index.jsonl"
    index.write_text('{"key": "of another version"}\n5\n\x00\n{}\n' + json.dumps({"encoding": {}}) + "\n")
    assert run("2", tars) == (2, None)


def test_a_part_that_is_gone_is_encoded(tars: Path, tmp_path: Path, run: Callable[..., Ran]) -> None:
    run("1", tars)
    (tmp_path / "runs/1/parts/candidates-000001-000000.parquet").unlink()
    assert run("2", tars)[0] == 1
    assert len(parts(tmp_path, "2")) == 4


def test_where_all_embeddings_were_removed_that_is_told(
    tars: Path, tmp_path: Path, run: Callable[..., Ran]
) -> None:
    run("1", tars)
    for path in (tmp_path / "runs/1/parts").glob("*.parquet"):
        path.unlink()
    assert run("2", tars) == (
        2,
        "nothing is reused of what run 1 encoded: its embeddings were removed since",
    )


def test_fast_is_not_exact_even_where_both_calculate_in_the_same_format(
    tars: Path, tmp_path: Path, run: Callable[..., Ran], clip_spec: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "choose_number_format", lambda precision, device: "fp32")
    fast = load_target(clip_spec.model_copy(update={"precision": "fast"}))
    run("1", tars)
    encoded, why = run("2", tars, fast, precision="fast")
    assert encoded == 2
    assert why == "nothing is reused of what run 1 encoded: not the same precision"
    assert run("3", tars, fast, precision="fast")[0] == 0


def test_what_would_be_taken_over_of_a_table_is_told_without_reading_it(
    write: Callable[..., Path],
    tmp_path: Path,
    run: Callable[..., Ran],
    clip: TargetModel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = write("csv")
    run("1", source)
    spec = AuditSpec.model_validate(
        {
            "model": {"architecture": "x"},
            "pools": {"candidates": {"source": [str(source)]}},
            "attacks": {"aea": {"views": 1}},
        }
    )

    def read(*_: object) -> None:
        raise AssertionError("it was read")

    monkeypatch.setattr(reuse, "read_shard", read)

    def entries(limit: int | None = None) -> int:
        (shard,) = plan_shards("candidates", spec.pools.candidates)
        (tmp_path / "looking").mkdir(exist_ok=True)
        known = Reuse(tmp_path / "looking", [tmp_path / "runs/1/parts"], encoding_of(spec, clip, None, 3))
        return known.entries(shard, spec.pools.candidates, limit)

    assert [entries(limit) for limit in (None, 4, 3)] == [4, 4, 0]
    write("csv", ("one", "two"))
    assert entries() == 0


def test_what_would_be_taken_over_is_known_without_reading_a_file_that_no_run_has_read(
    tars: Path,
    tmp_path: Path,
    run: Callable[..., Ran],
    clip: TargetModel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = AuditSpec.model_validate(
        {
            "model": {"architecture": "x"},
            "pools": {"candidates": {"source": [str(tars)]}},
            "attacks": {"aea": {"views": 1}},
        }
    )
    shards = plan_shards("candidates", spec.pools.candidates)
    encoding = encoding_of(spec, clip, None, 3)

    def entries(earlier: list[Path]) -> list[int]:
        folder = tmp_path / "looking"
        folder.mkdir(exist_ok=True)
        known = Reuse(folder, earlier, encoding)
        return [known.entries(shard, spec.pools.candidates, None) for shard in shards]

    run("1", tars)
    earlier = [tmp_path / "runs/1/parts"]
    assert entries(earlier) == [6, 6]
    (tars / "1.tar").write_bytes((tars / "0.tar").read_bytes() + bytes(1024))
    assert entries(earlier) == [6, 0]

    def read(path: Path) -> str:
        raise AssertionError(f"{path} was read")

    monkeypatch.setattr(content, "file_digest", read)
    assert entries([]) == [0, 0]


KINDS = ("csv", "jsonl", "parquet", "folder", "coco")


@pytest.fixture
def write(tmp_path: Path, image_bytes: Callable[..., bytes]) -> Callable[..., Path]:
    """Writes a source of a kind with a pair for each caption; the image of the last one is no image."""

    def source(kind: str, captions: Sequence[str] = ("one", "two", "three", "four")) -> Path:
        folder = tmp_path / kind
        folder.mkdir(exist_ok=True)
        rows = [
            {"image": f"{row}.png", "caption": caption, "width": row} for row, caption in enumerate(captions)
        ]
        for row, each in enumerate(rows):
            last = row == len(rows) - 1
            (folder / str(each["image"])).write_bytes(b"no image" if last else image_bytes(row))
        file = folder / f"pairs.{'json' if kind == 'coco' else kind}"
        if kind == "folder":
            for row, caption in enumerate(captions):
                (folder / f"{row}.txt").write_text(caption)
            return folder
        if kind == "csv":
            with file.open("w", newline="") as table:
                writer = csv.DictWriter(table, rows[0].keys())
                writer.writeheader()
                writer.writerows(rows)
        elif kind == "jsonl":
            file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        elif kind == "parquet":
            pq.write_table(pa.Table.from_pylist(rows), file)
        else:
            images = [{"id": row, "file_name": each["image"]} for row, each in enumerate(rows)]
            annotations = [
                {"id": row, "image_id": row, "caption": each["caption"]} for row, each in enumerate(rows)
            ]
            file.write_text(json.dumps({"images": images, "annotations": annotations}))
        return file

    return source


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often shards were read to be encoded, and ahead of it."""
    counts = {"to encode": 0, "ahead": 0}

    def counting(name: str) -> Callable[..., object]:
        def read_and_count(shard: Shard, spec: PoolSpec) -> object:
            counts[name] += 1
            return read_shard(shard, spec)

        return read_and_count

    monkeypatch.setattr("tui_mia.encoder.shard_encoder.read_shard", counting("to encode"))
    monkeypatch.setattr("tui_mia.encoder.reuse.read_shard", counting("ahead"))
    return counts


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_tar_is_reused_too_and_read_ahead_only_where_an_earlier_run_has_it(
    kind: str, write: Callable[..., Path], tmp_path: Path, run: Callable[..., Ran], read: dict[str, int]
) -> None:
    source = write(kind)
    assert run("1", source) == (1, None)
    assert read == {"to encode": 1, "ahead": 0}
    assert run("2", source) == (0, "4 of 4 pairs had been encoded by an earlier run and are reused")
    assert read == {"to encode": 1, "ahead": 1}
    assert len(parts(tmp_path, "1")) == 2
    assert parts(tmp_path, "2") == parts(tmp_path, "1")


def test_another_model_does_not_read_a_table_ahead_and_is_told_why_nothing_is_reused(
    write: Callable[..., Path],
    run: Callable[..., Ran],
    read: dict[str, int],
    make_model: Callable[..., ModelSpec],
) -> None:
    source = write("csv")
    run("1", source)
    other = load_target(make_model(seed=3))
    assert run("2", source, other) == (1, "nothing is reused of what run 1 encoded: not the same weights")
    assert read == {"to encode": 2, "ahead": 0}


@pytest.mark.parametrize("config", [{"quick_gelu": True}, {"vision_cfg": IMAGE | {"head_width": 8}}])
def test_the_same_weights_in_a_model_that_does_something_else_with_them_are_another_model(
    config: dict[str, Any], tars: Path, run: Callable[..., Ran], make_model: Callable[..., ModelSpec]
) -> None:
    run("1", tars, load_target(make_model(seed=1)))
    assert run("2", tars, load_target(make_model(seed=1, **config))) == (
        2,
        "nothing is reused of what run 1 encoded: not the same structure",
    )
    assert run("3", tars, load_target(make_model(seed=1)))[0] == 0


def test_what_was_encoded_in_halved_batches_is_not_for_others(tars: Path, run: Callable[..., Ran]) -> None:
    halved = BatchLimit()
    halved.halve(2)
    run("1", tars, limit_of_batches=halved)
    assert run("2", tars) == (2, None)


def test_keys_that_are_written_again_meanwhile_are_not_those_that_were_looked_for(
    tars: Path, tmp_path: Path
) -> None:
    keys = tmp_path / "keys.txt"
    spec = PoolSpec(source=[str(tars)], keys=str(keys))
    keys.write_text("0\n1\n")
    (shard, *_) = plan_shards("candidates", spec)
    asked = reuse._asked(shard, spec)
    keys.write_text("2\n3\n")
    assert reuse._asked(shard, spec) == asked
    (shard, *_) = plan_shards("candidates", spec)
    assert reuse._asked(shard, spec) != asked


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("what", ["image", "reject", "caption", "one more", "one less"])
def test_whatever_changes_in_what_is_no_tar_it_is_encoded_again(
    kind: str,
    what: str,
    write: Callable[..., Path],
    tmp_path: Path,
    run: Callable[..., Ran],
    image_bytes: Callable[..., bytes],
) -> None:
    source = write(kind)
    folder = source if source.is_dir() else source.parent
    run("1", source)
    before = source.stat()
    if what in ("image", "reject"):
        (folder / ("1.png" if what == "image" else "3.png")).write_bytes(image_bytes(50))
    else:
        captions = {
            "caption": "one,TWO,three,four",
            "one more": "one,two,three,four,five",
            "one less": "one,two",
        }
        write(kind, captions[what].split(","))
        if kind == "folder" and what == "one less":
            for name in ("2.png", "3.png"):
                (folder / name).unlink()
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert run("2", source) == (1, None)
    run("3", source)
    assert parts(tmp_path, "3") == parts(tmp_path, "2") != parts(tmp_path, "1")


@pytest.mark.parametrize(
    ("first", "second", "encoded"),
    [
        ({}, {"limit": 2}, 1),
        ({"limit": 2}, {}, 1),
        ({"limit": 2}, {"limit": 2}, 0),
        ({"limit": 2}, {"limit": 3}, 1),
        ({}, {"limit": 4}, 0),
        ({}, {"member": [True]}, 1),
        ({"caption": "caption"}, {}, 1),
    ],
)
def test_how_a_table_is_read_is_part_of_what_it_is_told_by(
    first: dict[str, object],
    second: dict[str, object],
    encoded: int,
    write: Callable[..., Path],
    tmp_path: Path,
    run: Callable[..., Ran],
) -> None:
    source = write("csv")
    run("1", source, **first)
    assert run("2", source, **second)[0] == encoded
    folder = tmp_path / "runs" / "1"
    shutil.rmtree(folder)
    reused = parts(tmp_path, "2")
    shutil.rmtree(tmp_path / "runs" / "2")
    run("3", source, **second)
    assert parts(tmp_path, "3") == reused


def test_of_a_table_in_several_shards_those_that_stayed_the_same_are_reused(
    write: Callable[..., Path], run: Callable[..., Ran]
) -> None:
    source = write("csv")
    assert run("1", source, rows_per_shard=2) == (2, None)
    write("csv", ("one", "two", "three", "FOUR"))
    reused = "2 of 4 pairs had been encoded by an earlier run and are reused"
    assert run("2", source, rows_per_shard=2) == (1, reused)
    assert run("3", source, rows_per_shard=2)[0] == 0


@pytest.mark.parametrize("part_entries", [1, 2, 3, 4])
def test_a_table_of_several_parts_is_reused_whole(
    part_entries: int,
    write: Callable[..., Path],
    tmp_path: Path,
    run: Callable[..., Ran],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tui_mia.encoder.shard_encoder.PART_ENTRIES", part_entries)
    source = write("csv")
    run("1", source)
    assert run("2", source)[0] == 0
    (tmp_path / "runs/2/parts/candidates-000000-000000.parquet").unlink()
    assert run("3", source)[0] == 0
    assert parts(tmp_path, "3") == parts(tmp_path, "1")


def test_a_table_that_was_begun_is_not_for_others(
    write: Callable[..., Path], tmp_path: Path, run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui_mia.encoder.shard_encoder.PART_ENTRIES", 2)
    source = write("csv")
    run("1", source)
    folder = tmp_path / "runs" / "1" / "parts"
    (folder / "index.jsonl").write_text((folder / "index.jsonl").read_text().splitlines()[0] + "\n")
    (folder / "candidates-000000-000001.parquet").unlink()
    write("csv", ("ONE", "two", "three", "four"))
    run("1", source)
    assert run("2", source) == (3, None)


def test_a_table_that_goes_away_is_told_as_such(
    write: Callable[..., Path], run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write("csv")
    run("1", source)

    def gone(shard: Shard, spec: PoolSpec) -> object:
        source.unlink()
        return read_shard(shard, spec)

    monkeypatch.setattr(reuse, "read_shard", gone)
    with pytest.raises(PoolError, match="can't be read: No such file"):
        run("2", source)


@pytest.mark.parametrize(("views", "view_seed"), [(2, 0), (1, 0), (0, 0), (0, 5)])
@pytest.mark.parametrize("with_reference", [False, True])
def test_of_a_run_with_more_views_the_first_are_taken_and_are_what_a_run_alone_would_have(
    views: int,
    view_seed: int,
    with_reference: bool,
    tars: Path,
    tmp_path: Path,
    run: Callable[..., Ran],
    siglip: TargetModel,
) -> None:
    reference = siglip if with_reference else None
    run("1", tars, views=3, reference=reference)
    again = run("2", tars, views=views, view_seed=view_seed, reference=reference)
    assert again == (0, "12 of 12 pairs had been encoded by an earlier run and are reused")
    shutil.move(tmp_path / "runs", tmp_path / "reused")
    assert run("2", tars, views=views, view_seed=view_seed, reference=reference)[0] == 2
    reused = sorted((tmp_path / "reused/2/parts").glob("*.parquet"))
    assert len(reused) == 4
    for path in reused:
        assert_same_bits(pq.read_table(path), pq.read_table(tmp_path / "runs/2/parts" / path.name))


def test_what_was_taken_of_more_views_is_reused_again_and_leaves_the_first_run_as_it_was(
    tars: Path, tmp_path: Path, run: Callable[..., Ran]
) -> None:
    run("1", tars, views=2)
    before = parts(tmp_path, "1")
    run("2", tars, views=1)
    assert parts(tmp_path, "1") == before
    assert run("3", tars, views=1)[0] == 0
    part = "candidates-000000-000000.parquet"
    assert (tmp_path / "runs/3/parts" / part).samefile(tmp_path / "runs/2/parts" / part)
    assert not list((tmp_path / "runs").rglob("*.tmp"))


@pytest.mark.parametrize(
    ("before", "views", "view_seed", "added"),
    [(1, 3, 0, {2, 3}), (2, 3, 0, {3}), (0, 2, 7, {1, 2}), (2, 2, 1, {1, 2}), (3, 1, 1, {1})],
)
@pytest.mark.parametrize("with_reference", [False, True])
@pytest.mark.parametrize("at_once", [3, 2])
def test_of_a_run_with_fewer_views_only_the_others_are_encoded_and_the_numbers_are_those_of_a_run_alone(
    before: int,
    views: int,
    view_seed: int,
    added: set[int],
    with_reference: bool,
    at_once: int,
    tars: Path,
    tmp_path: Path,
    run: Callable[..., Ran],
    siglip: TargetModel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: set[int] = set()

    def noted(canvas: Tensor, keys: NDArray[np.uint64], view: int, seed: int) -> Tensor:
        made.add(view)
        return make_view(canvas, keys, view, seed)

    def no_caption(*_: object) -> None:
        raise AssertionError("a caption is encoded again")

    monkeypatch.setattr(BatchLimit, "size", lambda self, wanted: min(wanted, at_once))
    reference = siglip if with_reference else None
    run("1", tars, views=before, reference=reference)
    first = parts(tmp_path, "1")
    with monkeypatch.context() as patched:
        patched.setattr("tui_mia.encoder.encode.make_view", noted)
        patched.setattr(TargetModel, "encode_tokens", no_caption)
        encoded, told = run("2", tars, views=views, view_seed=view_seed, reference=reference)
    how = "had been encoded by an earlier run (12 without all views, which were added) and are reused"
    assert (encoded, told) == (2, f"12 of 12 pairs {how}")
    assert made == added
    assert parts(tmp_path, "1") == first
    assert run("3", tars, views=views, view_seed=view_seed, reference=reference)[0] == 0
    shutil.move(tmp_path / "runs", tmp_path / "reused")
    run("2", tars, views=views, view_seed=view_seed, reference=reference)
    reused = sorted((tmp_path / "reused/2/parts").glob("*.parquet"))
    assert len(reused) == 4
    for path in reused:
        assert_same_bits(pq.read_table(path), pq.read_table(tmp_path / "runs/2/parts" / path.name))


@pytest.mark.parametrize("part_entries", [2, 4, 16])
def test_views_are_added_to_a_table_part_by_part(
    part_entries: int,
    write: Callable[..., Path],
    tmp_path: Path,
    run: Callable[..., Ran],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tui_mia.encoder.shard_encoder.PART_ENTRIES", part_entries)
    source = write("csv")
    run("1", source, views=1)
    how = "had been encoded by an earlier run (4 without all views, which were added) and are reused"
    assert run("2", source, views=2)[1] == f"4 of 4 pairs {how}"
    added = {name: pq.read_table(tmp_path / "runs/2/parts" / name) for name in parts(tmp_path, "2")}
    shutil.rmtree(tmp_path / "runs")
    run("3", source, views=2)
    assert added.keys() == parts(tmp_path, "3").keys()
    for name, table in added.items():
        assert_same_bits(table, pq.read_table(tmp_path / "runs/3/parts" / name))


def test_the_run_with_most_of_the_views_is_gone_on_from(tars: Path, run: Callable[..., Ran]) -> None:
    run("1", tars, views=2)
    run("2", tars, views=0)
    added = "(12 without all views, which were added)"
    assert added in str(run("3", tars, views=3)[1])
    assert run("4", tars, views=2) == (0, "12 of 12 pairs had been encoded by an earlier run and are reused")


def test_embeddings_that_are_removed_while_views_are_added_are_encoded(
    tars: Path, tmp_path: Path, run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    take = reuse.ShardReuse.take

    def take_in_vain(self: reuse.ShardReuse) -> None:
        take(self)
        for path in (tmp_path / "runs/1/parts").glob("candidates-000001-*.parquet"):
            path.unlink(missing_ok=True)

    run("1", tars, views=1)
    monkeypatch.setattr(reuse.ShardReuse, "take", take_in_vain)
    how = "had been encoded by an earlier run (6 without all views, which were added) and are reused"
    assert run("2", tars, views=2) == (2, f"6 of 12 pairs {how}")
    assert len(parts(tmp_path, "2")) == 4


@pytest.mark.parametrize(("before", "views"), [(2, 1), (2, 3)])
def test_a_pair_that_a_model_overflowed_on_in_one_view_is_looked_at_again_with_other_views(
    before: int,
    views: int,
    tars: Path,
    tmp_path: Path,
    run: Callable[..., Ran],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def second_overflows(canvas: Tensor, keys: NDArray[np.uint64], view: int, seed: int) -> Tensor:
        made = make_view(canvas, keys, view, seed)
        return made * torch.inf if view == 2 else made

    def samples(name: str) -> int:
        return sum(
            pq.read_metadata(path).num_rows
            for path in part_paths(tmp_path / "runs" / name / "parts", "candidates")
        )

    with monkeypatch.context() as overflowing:
        overflowing.setattr("tui_mia.encoder.encode.make_view", second_overflows)
        run("1", tars, views=before)
    assert samples("1") == 0
    assert run("2", tars, views=views) == (2, None)
    assert samples("2") == 10
