"""The simulations of benchmarks/simulate.py, cut short: intervals cover and tests keep their level."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "simulate.py"
EXPERIMENTS = (
    *("auc_interval", "unequal", "auc_test", "difference", "clustered", "tpr", "share", "adjusted", "power"),
    *("group", "verdicts"),
)


@pytest.fixture(scope="module")
def simulate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmarks_simulate", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_what_should_hold_in_most_draws_does(simulate: ModuleType, experiment: str) -> None:
    rows = list(simulate.EXPERIMENTS[experiment](simulate.SHORT))
    assert rows
    assert [str(row) for row in rows if not row.holds] == []


def test_every_experiment_is_run_here(simulate: ModuleType) -> None:
    assert set(EXPERIMENTS) <= set(simulate.EXPERIMENTS)
