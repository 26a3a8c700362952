"""Options of the command line as keys of the spec."""

from __future__ import annotations

from typing import Any

import pytest

from tui_mia.overrides import attack_overrides, parse_assignment
from tui_mia.spec import SpecError


@pytest.mark.parametrize(
    ("assignment", "key", "value"),
    [
        ("model.device=cpu", "model.device", "cpu"),
        ("run.seed=3", "run.seed", 3),
        ("attacks.wsa.lambda=1.5", "attacks.wsa.lambda", 1.5),
        ("pools.candidates.member=[true, false]", "pools.candidates.member", [True, False]),
        ('model.pretrained="3"', "model.pretrained", "3"),
        ("attacks.csa={}", "attacks.csa", {}),
        ("pools.general.source=a=b.csv", "pools.general.source", "a=b.csv"),
        (" run.seed =3", "run.seed", 3),
        ("model.pretrained=", "model.pretrained", ""),
    ],
)
def test_a_value_is_toml_where_it_is_that_and_text_otherwise(assignment: str, key: str, value: Any) -> None:
    assert parse_assignment(assignment) == (key, value)


@pytest.mark.parametrize("assignment", ["model.device", "=cpu", " =cpu", ""])
def test_an_assignment_without_key_or_value_is_explained(assignment: str) -> None:
    with pytest.raises(SpecError, match="write KEY=VALUE"):
        parse_assignment(assignment)


def test_attacks_by_name_run_as_they_are_by_default() -> None:
    assert attack_overrides("csa, aea,") == {"attacks": {"csa": {}, "aea": {}}}
