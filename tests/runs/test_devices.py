"""Which queued runs can start, and where."""

from __future__ import annotations

import pytest

from tui_mia.runs import Launched, Loaded, RunState
from tui_mia.runs.devices import Place, device_names, devices_in_use, startable, visible_gpus, wish_of
from tui_mia.runs.gpu import Gpu
from tui_mia.spec import AuditSpec

GPUS = [Gpu(0, "GPU-aaaa", "A"), Gpu(1, "GPU-aabb", "B"), Gpu(2, "GPU-cccc", "C")]
A, B, C = (gpu.uuid for gpu in GPUS)


def test_on_a_cpu_one_run_goes_at_a_time_in_the_order_they_came() -> None:
    queue = [("first", "auto"), ("second", "cpu"), ("third", "auto")]
    assert startable(queue, [], set()) == [("first", Place("cpu"))]
    assert startable(queue[1:], [], {"cpu"}) == []


def test_as_many_runs_go_as_there_are_gpus_each_on_one_of_its_own() -> None:
    queue = [(name, "auto") for name in "abcd"]
    assert startable(queue, GPUS, set()) == [("a", Place(A, A)), ("b", Place(B, B)), ("c", Place(C, C))]
    assert startable(queue, GPUS, {A, C}) == [("a", Place(B, B))]


def test_a_run_that_asks_for_a_gpu_by_number_waits_for_that_one_and_keeps_nobody_waiting() -> None:
    queue = [("numbered", "cuda:1"), ("any", "cuda"), ("none", "cpu")]
    assert startable(queue, GPUS, {B}) == [("any", Place(A, A)), ("none", Place("cpu"))]
    assert startable(queue[:1], GPUS, set()) == [("numbered", Place(B))]


@pytest.mark.parametrize("wish", ["cuda", "cuda:0", "cuda:7"])
def test_a_gpu_that_nobody_knows_of_is_for_the_worker_to_miss(wish: str) -> None:
    assert startable([("run", wish)], [], set()) == [("run", Place(wish))]


@pytest.mark.parametrize(
    ("variable", "visible"),
    [
        (None, [A, B, C]),
        ("", []),
        ("-1", []),
        ("2,0", [C, A]),
        ("1", [B]),
        ("0,9,1", [A]),
        ("1,1,2", [B]),
        ("GPU-cc", [C]),
        ("GPU-aa", []),
        ("GPU-aabb, 0", [B, A]),
        ("MIG-12345", []),
    ],
)
def test_gpus_are_visible_as_cuda_sees_them(variable: str | None, visible: list[str]) -> None:
    assert [gpu.uuid for gpu in visible_gpus(GPUS, variable)] == visible


def loaded_on(device: str, launched: Launched | None = None) -> RunState:
    return RunState(launched=launched, loaded=Loaded(device, "fp32", "", "", ""))


@pytest.mark.parametrize(
    ("wish", "state", "device"),
    [
        ("auto", RunState(), A),
        ("cpu", RunState(), "cpu"),
        ("cuda:2", RunState(), C),
        ("auto", loaded_on("cuda:1"), B),
        ("auto", loaded_on("cpu"), "cpu"),
        # Its only GPU is the first one for a worker that sees no other.
        ("auto", loaded_on("cuda:0", Launched(C)), C),
        ("auto", RunState(launched=Launched(C)), C),
        ("auto", loaded_on("cpu", Launched(C)), "cpu"),
    ],
)
def test_a_run_that_goes_on_has_a_device(wish: str, state: RunState, device: str) -> None:
    assert devices_in_use(wish, state, GPUS) == (device,)


def test_a_run_of_several_devices_waits_for_all_and_takes_all() -> None:
    queue = [("two", "cuda:0+cuda:2"), ("any", "auto"), ("all", "all")]
    assert startable(queue, GPUS, set()) == [("two", Place(A, beside=(C,))), ("any", Place(B, B))]
    assert startable(queue, GPUS, {C}) == [("any", Place(A, A))]
    assert startable(queue[2:], GPUS, set()) == [("all", Place(A, beside=(B, C)))]
    assert startable(queue[2:], [], set()) == [("all", Place("cpu"))]
    assert startable([("cpus", "cpu+cpu")], GPUS, {A}) == [("cpus", Place("cpu"))]
    assert devices_in_use("cuda:0+cuda:2", loaded_on("cuda:0"), GPUS) == (A, C)
    assert devices_in_use("all", RunState(), GPUS) == (A, B, C)


def test_what_a_spec_wants_is_one_device_or_several() -> None:
    pools = {"candidates": {"source": "pairs.tar"}}
    model = {"architecture": "ViT-B-32"}

    def wish(**run: object) -> str:
        return wish_of(AuditSpec.model_validate({"model": model, "pools": pools, "run": run}))

    assert wish() == "auto"
    assert wish(devices="all") == "all"
    assert wish(devices=["cuda:1"]) == "cuda:1"
    assert wish(devices=["cuda:1", "cuda:3"]) == "cuda:1+cuda:3"


def test_devices_have_names_that_people_use() -> None:
    assert device_names(GPUS[1:]) == {B: "cuda:0", C: "cuda:1"}
