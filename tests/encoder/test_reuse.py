"""What is taken over from earlier runs, and what never is."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.encoder.conftest import write_tar
from tui_mia.encoder import Reuse, TargetModel, encode_pools, encoding_of, load_target, model, reuse
from tui_mia.encoder.encode import encode_shard
from tui_mia.encoder.reuse import INDEX
from tui_mia.pools import plan_shards
from tui_mia.spec import AuditSpec, ModelSpec

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

    monkeypatch.setattr("tui_mia.encoder.schedule.encode_shard", counting)

    def make(
        name: str,
        source: Path,
        model: TargetModel = clip,
        views: int = 1,
        precision: str = "exact",
        **pool: object,
    ) -> Ran:
        folder = tmp_path / "runs" / name / "parts"
        folder.mkdir(parents=True, exist_ok=True)
        spec = AuditSpec.model_validate(
            {
                "model": {"architecture": "x", "precision": precision},
                "pools": {"candidates": {"source": [str(source)]} | pool},
                "attacks": {"aea": {"views": views}},
            }
        )
        shards = {name: plan_shards(name, pool) for name, pool in spec.pool_specs().items()}
        others = sorted(other for other in tmp_path.glob("runs/*/parts") if other != folder)
        reuse = Reuse(folder, others, encoding_of(spec, model, None, 3))
        encoded.clear()
        encode_pools(spec, shards, model, 3, folder, lambda *progress: None, None, reuse)
        return len(encoded), reuse.summary()

    return make


def parts(tmp_path: Path, name: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (tmp_path / "runs" / name / "parts").glob("*.parquet")}


def test_the_same_audit_again_encodes_nothing(tars: Path, tmp_path: Path, run: Callable[..., Ran]) -> None:
    assert run("1", tars) == (2, None)
    assert run("2", tars) == (0, "2 of 2 tars had been encoded by an earlier run and are reused")
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
    assert run("3", tars) == (1, "1 of 2 tars had been encoded by an earlier run and are reused")
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
    lines = (folder / INDEX).read_text().splitlines()
    (folder / INDEX).write_text("\n".join(lines[:-1]) + "\n" + lines[-1][:50])
    (folder / "candidates-000001-000000.parquet").unlink()
    assert run("2", tars)[0] == 1
    assert run("1", tars)[0] == 1
    assert parts(tmp_path, "1") == parts(tmp_path, "2") == whole


def test_a_run_that_went_on_with_another_library_is_not_for_others(
    tars: Path, tmp_path: Path, run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        older.setattr("tui_mia.encoder.reuse.version", lambda name: "0")
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

    monkeypatch.setattr("tui_mia.encoder.schedule.encode_shard", disturbed)
    run("1", tars)
    entries = (tmp_path / "runs/1/parts" / INDEX).read_text().splitlines()
    assert [json.loads(line).keys() == {"encoding"} for line in entries] == [True]


def test_an_index_that_says_something_else_is_no_index(
    tars: Path, tmp_path: Path, run: Callable[..., Ran]
) -> None:
    run("1", tars)
    index = tmp_path / "runs" / "1" / "parts" / INDEX
    index.write_text('{"key": "of another version"}\n\x00\n{}\n' + json.dumps({"encoding": {}}) + "\n")
    assert run("2", tars) == (2, None)


def test_a_part_that_is_gone_is_encoded(tars: Path, tmp_path: Path, run: Callable[..., Ran]) -> None:
    run("1", tars)
    (tmp_path / "runs/1/parts/candidates-000001-000000.parquet").unlink()
    assert run("2", tars)[0] == 1
    assert len(parts(tmp_path, "2")) == 4


def test_a_folder_is_encoded_every_time(
    tmp_path: Path, run: Callable[..., Ran], image_bytes: Callable[..., bytes]
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "one.png").write_bytes(image_bytes(1))
    (folder / "one.txt").write_text("one")
    assert run("1", folder) == (1, None)
    assert run("2", folder) == (1, None)


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
        return [known.entries(shard, spec.pools.candidates) for shard in shards]

    run("1", tars)
    earlier = [tmp_path / "runs/1/parts"]
    assert entries(earlier) == [6, 6]
    (tars / "1.tar").write_bytes((tars / "0.tar").read_bytes() + bytes(1024))
    assert entries(earlier) == [6, 0]

    def read(path: Path) -> str:
        raise AssertionError(f"{path} was read")

    monkeypatch.setattr(reuse, "_digest", read)
    assert entries([]) == [0, 0]
