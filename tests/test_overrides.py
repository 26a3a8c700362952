"""Options of the command line as keys of the spec."""

from __future__ import annotations

from typing import Any

import pytest

from tui_mia.overrides import attack_names, parse_assignment
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


def test_attacks_are_named_with_commas() -> None:
    assert attack_names("csa, aea,") == ["csa", "aea"]


@pytest.mark.parametrize("names", ["", " , "])
def test_naming_no_attack_is_explained(names: str) -> None:
    with pytest.raises(SpecError, match="--attacks names no attack"):
        attack_names(names)
