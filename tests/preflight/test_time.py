"""How long an audit takes: encoding from the best source there is, and what follows it from miniatures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tui_mia.costs import AfterCost, ModelCost
from tui_mia.pools import PoolName
from tui_mia.preflight import workload
from tui_mia.preflight.after import estimate_after
from tui_mia.preflight.counts import PoolCount
from tui_mia.preflight.earlier import EarlierRuns
from tui_mia.preflight.model import Costs, Device, device_of
from tui_mia.preflight.workload import EXPECTED_SHARE, Workload, estimate_time, of_time
from tui_mia.runs.gpu import Gpu
from tui_mia.spec import AuditSpec, RunSpec

AuditOf = Callable[..., AuditSpec]

PAIRS = 1000
WORK = Workload(PAIRS, PAIRS, PAIRS)
AFTER = AfterCost(0.6, 128, 0.02, 0.005, 40e-6, 1e-9)
COSTS = Costs(
    models={"model": ModelCost(image_flops=10**12, caption_flops=0)},
    encode_seconds_a_pair=0.1,
    decode_seconds_a_pair=0.001,
    pairs_timed=128,
    start_seconds=5.0,
    load_seconds=2.0,
    after=AFTER,
)
GPU = Device("cuda", Gpu(0, "GPU-a", "NVIDIA H100"))


@pytest.fixture
def spec(audit_of: AuditOf) -> AuditSpec:
    return audit_of({"candidates": {"source": "a.tar"}}, attacks={"csa": {}})


def counts(**kept: int) -> dict[PoolName, PoolCount]:
    return {name: PoolCount(count, 0, 0, count * 4 // 5) for name, count in kept.items()}  # type: ignore[misc]


def words(spec: AuditSpec, device: Device, costs: Costs = COSTS) -> str:
    estimate = estimate_time(spec, WORK, costs, device, None, PAIRS, 10.0)
    return " ".join(finding.words for finding in of_time(spec, WORK, costs, estimate))


def test_the_whole_is_start_encoding_and_what_follows(spec: AuditSpec) -> None:
    time = estimate_time(spec, WORK, COSTS, Device("cpu"), None, PAIRS, 10.0)
    assert time is not None
    assert time.start_seconds == pytest.approx(5 + 2 + 0.25 * 5)
    assert time.source == "measured"
    assert time.encode_seconds == pytest.approx(100)
    # One in 32 is encoded again.
    assert time.rest_seconds == pytest.approx(10 + 0.1 * 31)
    assert time.total_seconds == pytest.approx(8.25 + 100 + 13.1)
    assert "about 2 min in all: 8 s to start, 100 s of encoding, 13 s of attacks" in words(
        spec, Device("cpu")
    )


def test_a_gpu_that_was_never_measured_is_assumed_and_the_way_to_measure_it_is_named(spec: AuditSpec) -> None:
    assert "10.0 TFLOP a second, which is an assumption; run tui-mia doctor" in words(spec, GPU)


def test_a_gpu_that_was_measured_is_expected_to_reach_a_share_of_that(
    spec: AuditSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {("NVIDIA H100", "fp32"): 50e12, ("NVIDIA H100", "fp16"): 600e12}
    monkeypatch.setattr(
        workload, "measured_flops", lambda name, number_format: known.get((name, number_format))
    )
    time = estimate_time(spec, WORK, COSTS, GPU, None, PAIRS, None)
    assert time is not None
    assert (time.source, time.gpu_flops) == ("doctor", 50e12 * EXPECTED_SHARE)
    assert time.encode_seconds == pytest.approx(PAIRS * 1e12 / (50e12 * EXPECTED_SHARE))
    assert "45% of what tui-mia doctor measured on it; the share is an assumption" in words(spec, GPU)
    fast = spec.model_copy(update={"model": spec.model.model_copy(update={"precision": "fast"})})
    time = estimate_time(fast, WORK, COSTS, GPU, None, PAIRS, None)
    assert time is not None
    assert time.gpu_flops == 600e12 * EXPECTED_SHARE


def test_several_gpus_share_the_work(spec: AuditSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    visible = [Gpu(number, f"GPU-{number}", "NVIDIA H100") for number in range(4)]
    monkeypatch.setattr("tui_mia.preflight.model.gpus", lambda: visible)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def device(devices: object) -> Device:
        run, model = (
            RunSpec.model_validate({"devices": devices}),
            spec.model.model_copy(update={"device": "auto"}),
        )
        return device_of(spec.model_copy(update={"run": run, "model": model}))

    assert device("all") == Device("cuda", visible[0], count=4)
    assert device(["cuda:1", "cuda:3"]).count == 2
    assert "there is no cuda:4 here (4 GPUs are visible)" in (device(["cuda:0", "cuda:4"]).problem or "")
    assert device(["cpu", "cpu"]) == Device("cpu")
    one = estimate_time(spec, WORK, COSTS, GPU, None, PAIRS, None)
    four = estimate_time(spec, WORK, COSTS, replace(GPU, count=4), None, PAIRS, None)
    assert one is not None
    assert four is not None
    assert four.encode_seconds == pytest.approx(one.encode_seconds / 4)


def test_a_gpu_waits_for_a_cpu_that_decodes_slower(spec: AuditSpec) -> None:
    time = estimate_time(spec, WORK, replace(COSTS, decode_seconds_a_pair=1.0), GPU, None, PAIRS, None)
    assert time is not None
    assert time.encode_seconds == PAIRS


def test_earlier_runs_go_before_what_was_timed(spec: AuditSpec) -> None:
    earlier = EarlierRuns(2, 6.0, 0.05, 0.004)
    time = estimate_time(spec, WORK, COSTS, Device("cpu"), earlier, PAIRS, 10.0)
    assert time is not None
    assert (time.source, time.runs, time.rest_is_earlier) == ("earlier runs", 2, True)
    assert time.encode_seconds == pytest.approx(50)
    assert time.rest_seconds == pytest.approx(4)
    other = estimate_time(spec, WORK, COSTS, Device("cpu"), replace(earlier, seconds_after=None), PAIRS, 10.0)
    assert other is not None
    assert other.rest_seconds == pytest.approx(10 + 0.05 * 31)
    assert not other.rest_is_earlier


def test_what_is_taken_over_takes_no_time(spec: AuditSpec) -> None:
    costs = replace(COSTS, entries_encoded=750)
    time = estimate_time(spec, WORK, costs, Device("cpu"), None, PAIRS, 10.0)
    assert time is not None
    assert time.encode_seconds == pytest.approx(25)
    assert "750 pairs have been encoded by an earlier run" in words(spec, Device("cpu"), costs)


def test_where_nothing_was_timed_what_follows_is_not_known(spec: AuditSpec) -> None:
    assert estimate_after(spec, counts(candidates=100), 100, replace(COSTS, after=None)) is None
    costs = replace(COSTS, after=None)
    time = estimate_time(spec, WORK, costs, Device("cpu"), None, PAIRS, None)
    assert "attacks and evidence come on top" in " ".join(
        finding.words for finding in of_time(spec, WORK, costs, time)
    )


def test_blind_baselines_grow_with_the_samples_compared(spec: AuditSpec) -> None:
    few, many = (estimate_after(spec, counts(candidates=2000), compared, COSTS) for compared in (128, 1400))
    assert few is not None
    assert many is not None
    assert few == pytest.approx(0.6, rel=0.2)
    assert 3 * few < many < 5 * few


def test_classifiers_take_as_many_steps_as_folds_forms_and_known_non_members_ask_for(
    audit_of: AuditOf,
) -> None:
    audit = audit_of({"candidates": {"source": "a.tar"}}, attacks={"wsa": {"seeds": 5}})
    pools = counts(candidates=1000, nonmembers=300, general=600)
    known = estimate_after(audit, pools, 0, COSTS)
    assert known is not None
    # Five folds and two forms; 2 * 240 samples, a tenth held out, make 14 batches of 32.
    assert known > 10 * 14 * 12 * 0.02
    halves = estimate_after(audit, counts(candidates=1000, nonmembers=300), 0, COSTS)
    assert halves is not None
    assert halves > 1.5 * known
    # So high a lambda leaves 14 pseudo-members of 600.
    high = audit_of({"candidates": {"source": "a.tar"}}, attacks={"wsa": {"seeds": 5, "lambda": 2.0}})
    assert (estimate_after(high, pools, 0, COSTS) or 0) < known / 2
    assert estimate_after(audit, counts(candidates=1000), 0, COSTS) == pytest.approx(0, abs=0.1)
