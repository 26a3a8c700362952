"""What is offered while a field is typed into."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from tui_mia.tui.panes.audit.completions import Completer, search
from tui_mia.tui.panes.audit.spec_fields import all_groups

Offered: TypeAlias = Callable[[str, str], Awaitable[list[str]]]

FIELDS = {field.key: field for group in all_groups() for field in group.fields}
MODELS = {"ViT-B-32": ["laion2b_s34b_b79k", "openai"], "ViT-L-14": ["openai"], "RN50": []}


@pytest.fixture
def offered(tmp_path: Path) -> Offered:
    (tmp_path / "models" / "tiny").mkdir(parents=True)
    (tmp_path / "weights.pt").touch()
    chosen = {"model": "ViT-B-32", "reference": "ViT-L-14"}
    completer = Completer(tmp_path, "a.duckdb", lambda: MODELS, chosen.__getitem__)

    async def offer(key: str, typed: str) -> list[str]:
        complete = completer.of(FIELDS[key])
        assert complete is not None
        return list((await complete(typed)).texts)

    return offer


def test_names_are_found_by_any_of_their_words_those_that_begin_so_first() -> None:
    names = ["coca_ViT-B-32", "ViT-B-32", "ViT-B-16", "RN50"]
    assert search(names, "vit-b") == ["ViT-B-32", "ViT-B-16", "coca_ViT-B-32"]
    assert search(names, "b-32") == ["ViT-B-32", "coca_ViT-B-32"]
    assert search(names, "coca 32") == ["coca_ViT-B-32"]
    assert search(names, "") == names
    assert search(names, "x") == []


@pytest.mark.parametrize(
    ("key", "typed", "texts"),
    [
        ("model.architecture", "vit", ["ViT-B-32", "ViT-L-14"]),
        ("model.architecture", "lo", ["local-dir:"]),
        ("model.architecture", "local-dir:", ["local-dir:models/"]),
        ("model.architecture", "local-dir:models/t", ["local-dir:models/tiny/"]),
        ("model.pretrained", "", ["laion2b_s34b_b79k", "openai"]),
        ("model.pretrained", "./w", ["./weights.pt"]),
        ("reference.architecture", "rn", ["RN50"]),
        ("reference.pretrained", "", ["openai"]),
        ("model.device", "cu", ["cuda", "cuda:0", "cuda:1"]),
        ("pools.general.source", "m", ["models/"]),
        ("output.database", "w", ["weights.pt"]),
    ],
)
async def test_each_field_is_completed_by_what_may_stand_there(
    offered: Offered, key: str, typed: str, texts: list[str]
) -> None:
    assert await offered(key, typed) == texts


def test_a_field_that_may_hold_anything_is_not_completed(tmp_path: Path) -> None:
    completer = Completer(tmp_path, "a.duckdb", dict, str)
    assert completer.of(FIELDS["pools.general.caption"]) is None


def test_the_default_of_the_database_is_the_one_that_is_open(tmp_path: Path) -> None:
    completer = Completer(tmp_path, "a.duckdb", dict, str)
    assert completer.default(FIELDS["output.database"]) == "a.duckdb"
    assert completer.default(FIELDS["attacks.aea.views"]) == "8"
    assert completer.default(FIELDS["pools.general.keys"]) == ""
