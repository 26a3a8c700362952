"""The audit.toml that `tui-mia init` writes."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest

from tui_mia.spec import AeaSpec, AuditSpec, EvidenceSpec, PoolSpec, load_spec
from tui_mia.spec_template import spec_template


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A folder with everything that the template names."""
    for folder in ("candidates", "general"):
        (tmp_path / folder).mkdir()
    for number in range(13):
        (tmp_path / "candidates" / f"part-{number:03}.tar").touch()
    for name in ("nonmembers.csv", "bank.parquet", "keys.txt"):
        (tmp_path / name).touch()
    return tmp_path


def loaded(folder: Path, text: str) -> AuditSpec:
    path = folder / "audit.toml"
    path.write_text(text, encoding="utf-8")
    return load_spec(path)


def test_the_template_is_a_spec_once_its_sources_exist(sources: Path) -> None:
    spec = loaded(sources, spec_template())
    assert spec.attacks.requested() == ["csa", "aea", "wsa", "loss"]
    assert list(spec.pool_specs()) == ["candidates", "nonmembers", "general"]
    assert spec.reference is None


# One names the devices of this machine, the others a Ray cluster.
@pytest.mark.parametrize("left_out", ["devices", "engine|address|actors"])
def test_what_is_commented_out_is_the_default_and_known(sources: Path, left_out: str) -> None:
    uncommented = re.sub(r"^# (?=\[|\w+ = )", "", spec_template(), flags=re.MULTILINE)
    assert not re.search(r"^# \w+ =", uncommented, flags=re.MULTILINE)
    spec = loaded(sources, re.sub(rf"^({left_out}) = .*\n", "", uncommented, flags=re.MULTILINE))
    assert spec.attacks.aea == AeaSpec()
    assert spec.model.device == "auto"
    assert spec.evidence == EvidenceSpec()
    assert spec.reference is not None
    assert spec.reference.precision == "exact"
    assert spec.pools.candidates.limit == 1000
    assert spec.pools.bank == PoolSpec(source=[str(sources / "bank.parquet")])


def test_every_key_carries_its_documentation() -> None:
    lines = spec_template().splitlines()
    undocumented = [
        line
        for before, line in pairwise(lines)
        if re.match(r"(# )?\w+ = ", line) and not before.startswith("## ") and "source" not in line
    ]
    assert undocumented == []
