"""Options of the command line as keys of the spec."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from tui_mia import cli
from tui_mia.clean import printable
from tui_mia.overrides import attack_names, command_line, parse_assignment
from tui_mia.spec import AuditSpec, SpecError, audit_spec, check_document


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


NAMES = (
    "a.csv",
    "b c.csv",
    "-dash.csv",
    "[x].csv",
    "it's $HOME.csv",
    "\x1b]2;title\x07.csv",
    "new\nline.csv",
)
texts = st.sampled_from(
    ["jpg", "true", "3", "-x", "", "a=b", "[1]", '"', "\x1b[2J", "\u202e", "é 🙂"]
) | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
files = st.sampled_from(NAMES)
pools = st.fixed_dictionaries(
    {"source": st.lists(files, min_size=2, max_size=2)},
    optional={
        "image": texts,
        "caption": texts,
        "member": texts | st.just([True, False]),
        "keys": files,
        "limit": st.integers(1, 10**12),
    },
)
documents = st.fixed_dictionaries(
    {
        "model": st.fixed_dictionaries(
            {"architecture": texts | st.just("ViT-B-32")},
            optional={
                "pretrained": st.sampled_from(["laion2b", "./a.csv", "-tag"]),
                "precision": st.sampled_from(["exact", "fast"]),
                "device": st.sampled_from(["auto", "cpu", "cuda:1"]),
            },
        ),
        "pools": st.fixed_dictionaries(
            {"candidates": pools}, optional={"nonmembers": pools, "general": pools, "bank": pools}
        ),
    },
    optional={
        "reference": st.fixed_dictionaries(
            {"architecture": texts | st.just("ViT-B-32")},
            optional={
                "pretrained": st.sampled_from(["laion2b", "./a.csv", "-tag"]),
                "precision": st.sampled_from(["exact", "fast"]),
            },
        ),
        "evidence": st.fixed_dictionaries({}, optional={"smallest_auc": st.sampled_from([0.6, 0.75])}),
        "attacks": st.fixed_dictionaries(
            {"csa": st.just({})},
            optional={
                "aea": st.fixed_dictionaries(
                    {}, optional={"views": st.integers(1, 64), "seed": st.integers(0, 9)}
                ),
                "wsa": st.fixed_dictionaries(
                    {}, optional={"lambda": st.floats(-5, 5) | st.just("auto"), "seeds": st.integers(1, 100)}
                ),
                "loss": st.just({}),
            },
        ),
        "run": st.fixed_dictionaries({}, optional={"seed": st.integers(0, 9), "batch_size": st.just(7)}),
        "output": st.fixed_dictionaries({"database": texts.filter(lambda name: "\0" not in name)}),
    },
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of files that a spec may name."""
    folder = tmp_path_factory.mktemp("files of every name")
    for name in NAMES:
        (folder / name).touch()
    return folder


@pytest.fixture(scope="module")
def asked() -> Callable[[list[str]], AuditSpec]:
    """The spec that the command line makes of some arguments, with nothing started."""

    def parse(arguments: list[str]) -> AuditSpec:
        specs: list[AuditSpec] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cli, "_audit", lambda spec, **_: specs.append(spec))
            result = CliRunner().invoke(cli.app, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return specs[0]

    return parse


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(document=documents)
def test_a_command_line_asks_for_the_same_audit(
    document: dict[str, Any], folder: Path, asked: Callable[[list[str]], AuditSpec]
) -> None:
    try:
        spec = check_document(document, folder, "document")
    except SpecError:
        return
    command = command_line(spec)
    assert command[0] == "tui-mia"
    assert asked(command[1:]) == spec
    assert shlex.split(shlex.join(command)) == command
    assert all(printable(argument) == argument for argument in command)


def test_a_command_line_says_no_more_than_it_must(folder: Path) -> None:
    document = {
        "model": {"architecture": "ViT-B-32", "pretrained": "laion2b", "device": "auto"},
        "pools": {"candidates": {"source": "a.csv", "limit": 70}, "bank": {"source": "a.csv"}},
        "reference": {"architecture": "ViT-L-14", "pretrained": "openai"},
        "evidence": {"smallest_auc": 0.6},
        "attacks": {"csa": {}, "aea": {"views": 8}, "wsa": {"lambda": 1.5}},
        "output": {"database": "/audits.duckdb"},
    }
    assert command_line(check_document(document, folder, "document")) == [
        "tui-mia", "run", "--model", "ViT-B-32", "--pretrained", "laion2b",
        "--candidates", f"{folder}/a.csv", "--set", "pools.candidates.limit=70",
        "--set", f"pools.bank.source={folder}/a.csv", "--reference", "ViT-L-14",
        "--reference-pretrained", "openai", "--db", "/audits.duckdb",
        "--attacks", "csa,aea,wsa", "--set", "attacks.wsa.lambda=1.5",
    ]  # fmt: skip


def test_attacks_that_other_packages_add_are_passed_on_as_a_table(
    folder: Path, asked: Callable[[list[str]], AuditSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    points = [EntryPoint("their.own", "theirs:Attack", "tui_mia.attacks")]
    monkeypatch.setattr(audit_spec, "entry_points", lambda **_: points)
    options = {"steps": [1, 2], "mode": {"deep": "yes, deep"}}
    document = {
        "model": {"architecture": "x"},
        "pools": {"candidates": {"source": "a.csv"}},
        "attacks": {"aea": {"views": 3}, "their.own": options},
    }
    spec = check_document(document, folder, "document")
    assert asked(command_line(spec)[1:]) == spec
