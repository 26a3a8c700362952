from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from tui_mia.attacks import AttackError, AttackPools, make_attacks, run_attacks
from tui_mia.embedded import Pool
from tui_mia.spec import AeaSpec, AttacksSpec, CsaSpec, LossSpec, WsaSpec

Install = Callable[..., None]

DOCUMENT = (Path(__file__).parents[2] / "docs" / "attacks.md").read_text(encoding="utf-8")
SHIPPED = ["csa", "aea", "aea_standardised", "aea_mean", "wsa", "wsa_rich", "loss"]
BROUGHT = """
from tui_mia.attacks.csa import CosineSimilarity

def make(name="brought", count=1):
    return [CosineSimilarity(name)] * count

def single():
    return CosineSimilarity("single")
"""


def code_blocks(language: str) -> list[str]:
    """The code blocks of docs/attacks.md in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT, flags=re.DOTALL | re.MULTILINE)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Puts a package with one module and one entry point where Python finds installed packages."""
    modules = []

    def install(module: str, code: str, name: str, value: str) -> None:
        site = tmp_path / module
        metadata = site / f"{module}-1.0.dist-info"
        metadata.mkdir(parents=True)
        (site / f"{module}.py").write_text(code, encoding="utf-8")
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[tui_mia.attacks]\n{name} = {value}\n")
        monkeypatch.syspath_prepend(site)
        modules.append(module)

    yield install
    for module in modules:
        sys.modules.pop(module, None)


def spec(**attacks: Any) -> AttacksSpec:
    return AttacksSpec.model_validate(attacks)


def names(spec: AttacksSpec) -> list[str]:
    return [attack.name for attack in make_attacks(spec)]


def test_shipped_attacks_come_in_the_order_of_the_spec_however_they_are_written() -> None:
    assert names(AttacksSpec(loss=LossSpec(), wsa=WsaSpec(), aea=AeaSpec(), csa=CsaSpec())) == SHIPPED
    assert names(AttacksSpec(loss=LossSpec(), csa=CsaSpec())) == ["csa", "loss"]


def test_the_document_lists_every_shipped_score() -> None:
    for name in SHIPPED:
        assert f"| `{name}` |" in DOCUMENT


def test_the_attack_of_the_document_is_added_by_a_package_of_its_own(
    install: Install, make_pool: Callable[..., Pool]
) -> None:
    (code,) = code_blocks("python")
    packaging, audit = (tomllib.loads(block) for block in code_blocks("toml"))
    ((name, value),) = packaging["project"]["entry-points"]["tui_mia.attacks"].items()
    install(value.split(":")[0], code, name, value)
    attacks = make_attacks(spec(csa={}, **audit["attacks"]))
    assert [attack.name for attack in attacks] == ["csa", name]
    candidates, nonmembers = make_pool(1, 400, members=200), make_pool(2, 200)
    outcome = run_attacks(attacks, AttackPools(candidates, nonmembers, None, None), 50.0, 0)
    assert not outcome.failed
    plain, excess = outcome.scores
    assert excess.facts["others"] == 160
    assert excess.p_values is not None
    assert np.mean(excess.candidates[:200, None] > excess.candidates[None, 200:]) > 0.6
    others, block = nonmembers.take(np.arange(200)), candidates.take(np.arange(400))
    usual = (block.image @ others.text.mean(axis=0) + block.text @ others.image.mean(axis=0)) / 2
    weight = audit["attacks"][name]["weight"]
    # Not all folds are of one size, so the mean over them is only about that of all.
    np.testing.assert_allclose(excess.candidates, plain.candidates - weight * usual, atol=1e-3)


def test_the_attack_of_the_document_says_what_to_give_where_nonmembers_are_few(
    install: Install, make_pool: Callable[..., Pool]
) -> None:
    (code,) = code_blocks("python")
    install("excess_attack", code, "excess", "excess_attack:make")
    pools = AttackPools(make_pool(1, 20), make_pool(2, 5), None, None)
    outcome = run_attacks(make_attacks(spec(csa={}, excess={})), pools, 50.0, 0)
    assert [scores.attack for scores in outcome.scores] == ["csa"]
    assert "give at least 20 known non-members" in outcome.failed["excess"]


def test_added_attacks_come_last_with_their_options(install: Install) -> None:
    install("first_package", BROUGHT, "first", "first_package:make")
    install("second_package", BROUGHT, "second", "second_package:make")
    assert names(spec(second={"name": "b"}, first={"name": "a"}, csa={})) == ["csa", "b", "a"]


def test_an_option_that_an_added_attack_does_not_know_is_an_error_that_names_both(install: Install) -> None:
    install("some_package", BROUGHT, "brought", "some_package:make")
    with pytest.raises(AttackError, match=r"attacks\.brought: .*'strength'"):
        make_attacks(spec(brought={"strength": 3}))


def test_an_entry_point_that_gives_no_list_is_an_error_that_names_it(install: Install) -> None:
    install("some_package", BROUGHT, "single", "some_package:single")
    with pytest.raises(AttackError, match=r"attacks\.single: .*not iterable"):
        make_attacks(spec(single={}))


@pytest.mark.parametrize("options", [{"name": "csa"}, {"count": 2}])
def test_two_scores_of_one_name_are_an_error(install: Install, options: dict[str, object]) -> None:
    install("some_package", BROUGHT, "brought", "some_package:make")
    with pytest.raises(AttackError, match=r"(csa|brought): two attacks bring a score of this name"):
        make_attacks(spec(csa={}, brought=options))


def test_two_packages_that_add_one_name_are_an_error_that_names_both(install: Install) -> None:
    install("first_package", BROUGHT, "brought", "first_package:make")
    install("second_package", BROUGHT, "brought", "second_package:make")
    with pytest.raises(AttackError, match=r"attacks\.brought: \w+:make and \w+:make both add") as raised:
        make_attacks(spec(brought={}))
    assert "first_package:make" in str(raised.value)
    assert "second_package:make" in str(raised.value)


@pytest.mark.parametrize(
    ("code", "value"), [("import no_such_module", "some_package:make"), ("", "some_package:make")]
)
def test_an_added_attack_that_cant_be_imported_is_an_error_that_says_why(
    install: Install, code: str, value: str
) -> None:
    install("some_package", code, "brought", value)
    with pytest.raises(
        AttackError, match=r"attacks\.brought: some_package:make can't be imported: .*(no_such|make)"
    ):
        make_attacks(spec(brought={}))


def test_an_attack_that_nobody_brings_is_an_error_with_the_nearest_name(install: Install) -> None:
    install("some_package", BROUGHT, "brought", "some_package:make")
    with pytest.raises(ValidationError, match="unknown attack 'brough'; did you mean 'brought'"):
        spec(brough={})
