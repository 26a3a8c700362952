"""What is said of a spec while it is being written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tui_mia.tui.panes.audit.spec_check import Checked, Models, Question, check, in_words, with_pools

MODELS = {"ViT-B-32": ["laion2b", "openai"], "ViT-L-14": []}
MODEL = {"architecture": "ViT-B-32", "pretrained": "laion2b"}


@pytest.fixture
def checked(tmp_path: Path) -> Any:
    (tmp_path / "a.csv").touch()

    def look(models: Models = MODELS, **document: Any) -> Checked:
        question = Question(
            {"model": MODEL, "pools": {"candidates": {"source": "a.csv"}}, **document},
            tmp_path,
            tmp_path / "audits.duckdb",
            models,
        )
        return next(check(question, lambda: False))

    return look


def test_a_spec_without_a_database_gets_the_one_that_is_open(checked: Any, tmp_path: Path) -> None:
    found = checked(pools={"candidates": {"source": "a.csv"}, "nonmembers": {"source": "a.csv"}})
    assert found.spec.output.database == str(tmp_path / "audits.duckdb")
    assert in_words(found, tmp_path / "audits.duckdb") == "ready, f5 runs it."
    other = tmp_path / "other.duckdb"
    assert in_words(found, other) == f"ready, f5 runs it. A run from here goes to {other}, which is open."


def test_what_was_not_typed_yet_is_needed_and_what_is_wrong_is_a_problem(
    checked: Any, tmp_path: Path
) -> None:
    found = checked(model={}, pools={"candidates": {}, "general": {"limit": "x"}})
    assert found.spec is None
    assert found.needed == ("model.architecture", "pools.candidates.source", "pools.general.source")
    assert found.problems == {"pools.general.limit": "must be a valid integer, not 'x'"}
    assert in_words(found, tmp_path) == "! pools.general.limit: must be a valid integer, not 'x'"
    needed = checked(model={}, pools={"candidates": {}})
    assert in_words(needed, tmp_path) == "still needed: model.architecture, pools.candidates.source"


@pytest.mark.parametrize(
    ("model", "key", "words"),
    [
        ({"architecture": "ViT-B-33"}, "model.architecture", "knows no 'ViT-B-33'; did you mean ViT-B-32"),
        ({"architecture": "ViT-B-32", "pretrained": "x"}, "model.pretrained", "has no tag 'x'"),
    ],
)
def test_names_that_open_clip_does_not_know_are_problems(
    checked: Any, model: Any, key: str, words: str
) -> None:
    assert words in checked(model=model).problems[key]
    assert key not in checked(model=model, models={}).problems, "while they are not known"


def test_a_reference_is_checked_like_the_model(checked: Any) -> None:
    wrong = checked(reference={"architecture": "ViT-B-32", "pretrained": "x"})
    assert "has no tag 'x'" in wrong.problems["reference.pretrained"]
    assert checked(reference={}).needed == ("reference.architecture",)


def test_weights_are_needed_for_a_known_architecture(checked: Any, tmp_path: Path) -> None:
    assert checked(model={"architecture": "ViT-B-32"}).needed == ("model.pretrained",)
    (tmp_path / "w.pt").touch()
    assert checked(model={"architecture": "ViT-B-32", "pretrained": "w.pt"}).spec is not None
    assert checked(model={"architecture": "hf-hub:org/name"}).spec is not None


@pytest.mark.parametrize("table", ["model", "reference"])
@pytest.mark.parametrize("models", [MODELS, {}])
def test_weights_beside_an_architecture_that_has_its_own_are_a_problem(
    checked: Any, table: str, models: Models
) -> None:
    written = {"architecture": "hf-hub:org/name", "pretrained": "openai"}
    found = checked(**{table: written}, models=models)
    assert found.spec is None
    assert "hf-hub:org/name has weights of its own" in found.problems[f"{table}.pretrained"]


def test_what_an_audit_will_lack_is_told_before_it_runs(checked: Any, tmp_path: Path) -> None:
    words = in_words(checked(), tmp_path / "audits.duckdb")
    assert words.endswith("Without non-members there are no p-values, wsa and loss will be skipped.")
    words = in_words(checked(attacks={"csa": {}}), tmp_path / "audits.duckdb")
    assert words.endswith("Without non-members there are no p-values.")


def test_a_source_that_can_not_be_read_is_a_problem_like_any_other(checked: Any) -> None:
    found = with_pools(checked(), {"candidates": "is of an unknown format", "bank": ""})
    assert found.spec is None
    assert found.problems == {"pools.candidates.source": "is of an unknown format"}
    assert with_pools(checked(), {"bank": ""}).spec is not None
