"""Audits by the real engine: in this process where only the outcome counts."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tui_mia.encoder.parts import write_part
from tui_mia.encoder.reuse_index import read_index, tell_encoding
from tui_mia.image_formats import OF_NO_KNOWN_FORMAT
from tui_mia.pools import Pair, plan_shards, read_shard
from tui_mia.runs import Finished, Note, Progress, RunDirectory, RunDirectoryError, RunState
from tui_mia.runs.identity import inputs_digest
from tui_mia.runs.opening import move
from tui_mia.runs.reporter import Reporter
from tui_mia.runs.tables import TABLES
from tui_mia.spec import PoolName, SpecError, load_spec
from tui_mia.worker import _run

Audit = Callable[..., RunDirectory]


@pytest.fixture
def audit(small_audit: Path, tmp_path: Path) -> Audit:
    """Carries out the small audit, with keys of its spec changed, as the worker does."""

    def run(text: str | None = None, **overrides: Any) -> RunDirectory:
        if text is not None:
            small_audit.write_text(text)
        keys = {key.replace("__", "."): value for key, value in overrides.items()}
        spec = load_spec(small_audit, {"output.database": str(tmp_path / "audits.duckdb"), **keys})
        directory = RunDirectory.create(spec, inputs_digest(spec))
        report = Reporter(directory)
        report.tell(_run(directory, report))
        return directory

    return run


def end(directory: RunDirectory) -> Finished:
    finished = RunState.of(directory.events()).finished
    assert finished is not None
    return finished


def table(directory: RunDirectory, name: str) -> pa.Table:
    return pq.read_table(directory.tables / f"{name}.parquet")


def scores(directory: RunDirectory) -> dict[tuple[str, str], float]:
    rows = table(directory, "scores").to_pylist()
    return {(row["attack"], row["sample_id"]): row["score"] for row in rows}


def pairs_of(small_audit: Path, name: PoolName = "candidates") -> list[Pair]:
    """The pairs of a pool of the small audit."""
    pool = load_spec(small_audit).pool_specs()[name]
    items = [item for shard in plan_shards(name, pool) for item in read_shard(shard, pool)]
    return [item for item in items[: pool.limit] if isinstance(item, Pair)]


def write_pairs(path: Path, pairs: list[Pair], member: list[bool | None]) -> list[str]:
    columns = {
        "image": [pair.image for pair in pairs],
        "caption": [pair.caption for pair in pairs],
        "member": member,
    }
    pq.write_table(pa.table(columns), path)
    return [str(path)]


def test_a_run_leaves_the_tables_that_the_database_takes(finished_run: Any) -> None:
    directory: RunDirectory = finished_run.directory
    assert end(directory).status == "done"
    for name, schema in TABLES.items():
        assert table(directory, name).schema.equals(schema), name
    samples = table(directory, "samples")
    assert samples["pool"].value_counts().to_pylist() == [
        {"values": "candidates", "counts": 70},
        {"values": "nonmembers", "counts": 70},
        {"values": "general", "counts": 90},
    ]
    assert samples["number"].to_pylist() == list(range(230))
    assert table(directory, "similarities").num_rows == 230 * 3
    number = dict(zip(samples["sample_id"].to_pylist(), samples["number"].to_pylist(), strict=True))
    for name in ("similarities", "scores"):
        assert all(row["number"] == number[row["sample_id"]] for row in table(directory, name).to_pylist())
    attacks = {"csa", "aea", "aea_standardised", "aea_mean", "wsa", "wsa_rich", "loss"}
    assert table(directory, "scores").num_rows == 140 * len(attacks)
    assert set(table(directory, "scores")["attack"].to_pylist()) == attacks


def test_no_score_sees_a_label_and_the_same_audit_gives_the_same_bytes(
    audit: Audit, finished_run: Any, small_audit: Path, tmp_path: Path
) -> None:
    """In another process, with every label turned round."""
    pairs = pairs_of(small_audit)
    source = write_pairs(tmp_path / "flipped.parquet", pairs, [not pair.member for pair in pairs])
    flipped = audit(pools__candidates__source=source)
    assert end(flipped).status == "done", end(flipped).error
    told = [table(directory, "samples") for directory in (flipped, finished_run.directory)]
    labels = [
        dict(zip(samples["sample_id"].to_pylist(), samples["member"].to_pylist(), strict=True))
        for samples in told
    ]
    assert all(labels[0][sample] is not label for sample, label in labels[1].items() if label is not None)
    for name in ("scores.parquet", "similarities.parquet"):
        assert (flipped.tables / name).read_bytes() == (finished_run.directory.tables / name).read_bytes()
    turned = {
        row["attack"]: row["value"] for row in table(flipped, "metrics").to_pylist() if row["metric"] == "auc"
    }
    for row in table(finished_run.directory, "metrics").to_pylist():
        if row["metric"] == "auc":
            assert turned[row["attack"]] == pytest.approx(1 - row["value"])


# The spread of WSA's log-odds over seeds is about 1; its classifier amplifies the last digits.
TOLERANCE = {"wsa": 2e-2, "wsa_rich": 2e-2}


def test_the_batch_size_changes_scores_by_next_to_nothing(audit: Audit, finished_run: Any) -> None:
    small = scores(audit(run__batch_size=7))
    expected = scores(finished_run.directory)
    assert small.keys() == expected.keys()
    for (attack, sample), score in small.items():
        assert score == pytest.approx(expected[attack, sample], abs=TOLERANCE.get(attack, 1e-4)), attack


def test_the_order_of_the_pools_changes_no_score(
    audit: Audit, finished_run: Any, small_audit: Path, tmp_path: Path
) -> None:
    sources: dict[str, object] = {}
    names: tuple[PoolName, ...] = ("candidates", "nonmembers", "general")
    for name in names:
        pairs = pairs_of(small_audit, name)[::-1]
        path = tmp_path / f"{name}.parquet"
        sources[f"pools__{name}__source"] = write_pairs(path, pairs, [pair.member for pair in pairs])
    found = scores(audit(**sources))
    expected = scores(finished_run.directory)
    assert found.keys() == expected.keys()
    for (attack, sample), score in found.items():
        assert score == pytest.approx(expected[attack, sample], abs=TOLERANCE.get(attack, 1e-4)), attack


def test_without_known_nonmembers_the_attacks_that_need_none_run_and_the_others_say_why(
    audit: Audit, world: Path
) -> None:
    text = (
        f'[model]\narchitecture = "local-dir:{world}/models/target"\n'
        f'[pools.candidates]\nsource = "{world}/candidates.tar"\nlimit = 40\n[attacks.csa]\n[attacks.aea]\n'
        "views = 1\n[attacks.wsa]\n[attacks.loss]\n"
    )
    directory = audit(text)
    assert end(directory).status == "done", end(directory).error
    assert set(table(directory, "scores")["attack"].to_pylist()) == {"csa", "aea", "aea_mean"}
    assert table(directory, "scores")["p_value"].null_count == 120
    skipped = RunState.of(directory.events()).skipped
    assert set(skipped) == {"aea_standardised", "wsa", "wsa_rich", "loss"}
    assert set(skipped.values()) == {"needs known non-members; add [pools.nonmembers]"}


def test_a_pool_that_only_repeats_the_candidates_is_named_with_the_reason(audit: Audit, world: Path) -> None:
    directory = audit(pools__nonmembers__source=[str(world / "candidates.tar")])
    assert end(directory).status == "failed"
    assert end(directory).error == (
        "pools.nonmembers: nothing usable; all 70 entries were rejected, "
        "most often: the same pair is in candidates"
    )


def test_a_pool_with_nothing_usable_is_named_with_the_most_common_reason(
    audit: Audit, tmp_path: Path
) -> None:
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("image,caption\nmissing.png,a\nmissing.png,b\nmissing.png,\n")
    directory = audit(pools__candidates__source=[str(pairs)])
    error = end(directory).error
    assert error is not None
    assert error.startswith("pools.candidates: nothing usable; all 3 entries were rejected, most often: ")
    assert "missing.png" in error


def test_an_attack_that_cannot_be_fitted_fails_the_run_and_keeps_the_other_scores(audit: Audit) -> None:
    directory = audit(attacks={"csa": {}, "wsa": {"lambda": 50.0, "seeds": 1}})
    assert end(directory).status == "failed"
    error = end(directory).error
    assert error is not None
    assert "lambda 50 leaves 0 pseudo-members" in error
    assert "largest that works" in error
    assert set(table(directory, "scores")["attack"].to_pylist()) == {"csa"}


def test_a_defect_of_ours_fails_the_run_and_says_where_the_whole_of_it_is(
    audit: Audit, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def defect(*arguments: object) -> None:
        raise ZeroDivisionError("what nobody thought of")

    monkeypatch.setattr("tui_mia.crew.loaded.load_target", defect)
    directory = audit()
    error = end(directory).error
    assert error is not None
    assert error.startswith("ZeroDivisionError: what nobody thought of")
    assert str(directory.log_path) in error
    assert "Traceback" in capsys.readouterr().err


def test_a_device_that_is_gone_fails_the_run_with_the_reason_and_it_goes_on_on_another(
    audit: Audit, finished_run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = "CUDA error: unspecified launch failure\nCUDA kernel errors might be asynchronously reported"
    written: list[Any] = []

    def one_part(*arguments: Any) -> None:
        if written:
            raise RuntimeError(words)
        written.append(arguments)
        write_part(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr("tui_mia.encoder.shard_encoder.write_part", one_part)
        directory = audit(model__device="auto")
    error = end(directory).error
    assert error is not None
    assert error.startswith("cpu failed: CUDA error: unspecified launch failure (the whole of it is in ")
    assert error.endswith(f"tui-mia resume {directory.run_id} --device cpu")
    (kept,) = directory.parts.glob("candidates-*.parquet")
    before, created = kept.stat().st_mtime_ns, directory.created_at

    move(directory, "cpu")
    assert directory.spec().model.device == "cpu"
    assert directory.created_at == created
    report = Reporter(directory)
    report.tell(_run(directory, report))
    assert end(directory).status == "done", end(directory).error
    assert kept.stat().st_mtime_ns == before
    assert scores(directory) == scores(finished_run.directory)


def test_a_run_is_moved_to_a_device_and_not_while_it_goes_on(audit: Audit) -> None:
    directory = audit(attacks={"csa": {}})
    with pytest.raises(SpecError, match=r"model\.device"):
        move(directory, "gpu")
    with directory.claim(), pytest.raises(RunDirectoryError, match="is going on; stop it first"):
        move(directory, "cuda:1")


def test_rejects_are_rows_with_a_reason(audit: Audit, small_audit: Path, tmp_path: Path) -> None:
    pairs = pairs_of(small_audit)[:4]
    broken = [Pair("x", "x", b"no image", "\x1b[2Jcaption", 0), pairs[0]]
    source = write_pairs(tmp_path / "some.parquet", [*pairs, *broken], [True] * 6)
    directory = audit(pools__candidates__source=source, attacks={"csa": {}})
    assert end(directory).status == "done", end(directory).error
    rejects = [row for row in table(directory, "rejects").to_pylist() if row["pool"] == "candidates"]
    assert [row["reason"] for row in rejects] == [
        f"image {OF_NO_KNOWN_FORMAT}",
        "the same pair came before in candidates",
    ]
    pools = {row["pool"]: row for row in table(directory, "pools").to_pylist()}
    assert (pools["candidates"]["samples"], pools["candidates"]["rejects"]) == (4, 2)


def test_similarities_are_cosines_of_the_stored_embeddings(finished_run: Any) -> None:
    directory: RunDirectory = finished_run.directory
    (part,) = sorted(directory.parts.glob("candidates-*.parquet"))
    samples = pq.read_table(part)
    image, text = (np.array(samples[f"{kind}_embedding"].to_pylist()) for kind in ("image", "text"))
    stored = table(directory, "similarities").to_pylist()
    plain = {row["sample_id"]: row["cosine"] for row in stored if row["view"] == 0}
    for sample, cosine in zip(samples["sample_id"].to_pylist(), (image * text).sum(axis=1), strict=True):
        assert plain[sample] == pytest.approx(cosine, abs=1e-6)


def with_reference(world: Path, model: str = "reference") -> dict[str, Any]:
    return {"reference__architecture": f"local-dir:{world / 'models' / model}"}


def test_a_reference_changes_no_score_and_adds_its_own_and_the_calibrated(
    audit: Audit, finished_run: Any, world: Path
) -> None:
    directory = audit(**with_reference(world))
    assert end(directory).status == "done", end(directory).error
    alone, beside = scores(finished_run.directory), scores(directory)
    assert {key: beside[key] for key in alone} == alone
    added = {attack for attack, _ in set(beside) - set(alone)}
    assert added == {"csa_calibrated", "loss_calibrated"}
    baselines = table(directory, "baselines").filter(pc.field("baseline") == "reference").to_pylist()
    reference = {(row["name"], row["sample_id"]): row["score"] for row in baselines}
    assert set(reference) == set(alone)
    of_pool = {row["sample_id"]: row["pool"] for row in table(directory, "samples").to_pylist()}
    samples = [sample for attack, sample in alone if attack == "csa"]
    known = np.array([of_pool[sample] == "nonmembers" for sample in samples])
    target, other, calibrated = (
        np.array([found[attack, sample] for sample in samples])
        for found, attack in ((beside, "csa"), (reference, "csa"), (beside, "csa_calibrated"))
    )
    # But for the folds, each by the known non-members of the others.
    difference = target / target[known].std() - other / other[known].std()
    assert np.corrcoef(calibrated, difference)[0, 1] > 0.95


def test_the_fingerprint_of_the_reference_is_told(audit: Audit, world: Path) -> None:
    directory = audit(attacks={"csa": {}}, **with_reference(world))
    state = RunState.of(directory.events())
    assert state.loaded is not None
    assert state.reference is not None
    assert state.reference.number_format == "fp32"
    assert state.reference.weights_sha256 != state.loaded.weights_sha256
    assert state.reference.tokenizer_sha256 == state.loaded.tokenizer_sha256


def test_the_target_is_no_reference_of_itself(audit: Audit, world: Path) -> None:
    finished = end(audit(**with_reference(world, "target")))
    assert finished.status == "failed"
    assert "[reference] has the very weights of [model]" in str(finished.error)


def test_a_run_with_a_reference_that_was_cut_off_ends_with_the_same_numbers(
    audit: Audit, world: Path
) -> None:
    whole = audit(attacks={"csa": {}, "loss": {}}, **with_reference(world))
    resumed = RunDirectory.create(whole.spec(), whole.inputs_path.read_text())
    for path in whole.parts.glob("*candidates-*"):
        (resumed.parts / path.name).write_bytes(path.read_bytes())
    report = Reporter(resumed)
    report.tell(_run(resumed, report))
    assert end(resumed).status == "done", end(resumed).error
    assert scores(resumed) == scores(whole)


@pytest.mark.parametrize("changed", ["weights", "structure", "versions"])
def test_a_run_goes_on_with_the_models_that_it_began_with_and_no_others(audit: Audit, changed: str) -> None:
    whole = audit(attacks={"csa": {}})
    resumed = RunDirectory.create(whole.spec(), whole.inputs_path.read_text())
    for path in whole.parts.glob("*candidates-*"):
        (resumed.parts / path.name).write_bytes(path.read_bytes())
    begun = dict(read_index(whole.parts).encoding)
    tell_encoding(resumed.parts, begun | {changed: "another"})
    report = Reporter(resumed)
    report.tell(_run(resumed, report))
    if changed == "versions":
        notes = [event.message for event in resumed.events() if isinstance(event, Note)]
        assert "goes on with another versions: the last digits of scores may differ" in notes
        assert scores(resumed) == scores(whole)
    else:
        assert end(resumed).error == (
            f"the models are not those that this run began with ({changed}); "
            f"start afresh with tui-mia run --new"
        )


def test_the_log_of_a_run_has_a_line_a_phase_and_nobody_s_caption(finished_run: Any) -> None:
    directory: RunDirectory = finished_run.directory
    log = directory.log_path.read_text()
    for phase in end(directory).seconds:
        assert len(re.findall(rf"^[-\d]{{10}} [:\d]{{8}} {phase} took [\d.,]+ s, ", log, re.MULTILINE)) == 1
    assert re.search(r"encode took .* 230 samples, 0 rejected, 230 entries encoded at [\d,]+/s, ", log)
    assert ".tar)" not in log  # no shard
    assert not [caption for caption in table(directory, "samples")["caption"].to_pylist() if caption in log]


def test_the_checks_are_not_done_before_their_end(finished_run: Any) -> None:
    told = [event for event in finished_run.directory.events() if isinstance(event, Progress)]
    *before, last = (event.fraction for event in told if event.phase == "check")
    assert last == 1.0
    assert all(fraction <= 0.8 for fraction in before)
