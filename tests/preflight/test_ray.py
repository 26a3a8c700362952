"""What a check says of an audit that is to be encoded on Ray."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from tui_mia.preflight.model import Costs, Device, device_of, of_models
from tui_mia.spec import AuditSpec


@pytest.fixture
def on_ray(audit_of: Callable[..., AuditSpec]) -> AuditSpec:
    return audit_of({"candidates": {"source": "x.csv"}}, run={"engine": "ray"})


def test_a_machine_without_ray_is_a_problem_with_the_command(
    on_ray: AuditSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    (found,) = of_models(on_ray, Device("cpu"), Costs())
    assert (found.level, found.words) == (
        "problem",
        "run.engine: Ray is not installed; pip install 'tui-mia[ray]'",
    )


def test_a_check_is_of_this_machine_which_need_not_have_a_gpu(
    on_ray: AuditSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    monkeypatch.setattr("tui_mia.preflight.model.gpus", list)
    asks = on_ray.model_copy(update={"model": on_ray.model.model_copy(update={"device": "cuda"})})
    assert device_of(asks) == Device("cpu")
    (found,) = of_models(asks, device_of(asks), Costs())
    assert (found.level, found.words) == (
        "warning",
        "times and memory are of this machine alone, not of the Ray cluster.",
    )
