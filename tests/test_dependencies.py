"""What is installed beside tui-mia: within bounds, and pinned for whoever wants the very same."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
CONSTRAINTS = ROOT / "constraints.txt"


def requirements() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    return [Requirement(line) for line in [*project["dependencies"], *extras]]


def pins() -> dict[str, str]:
    lines = [
        line for line in CONSTRAINTS.read_text(encoding="utf-8").splitlines() if not line.startswith("#")
    ]
    # A name and a version: no address, no path, no option.
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line) for line in lines)
    return dict(line.split("==") for line in lines)


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_a_dependency_has_an_oldest_and_a_newest_version(requirement: Requirement) -> None:
    signs = {specifier.operator for specifier in requirement.specifier}
    assert signs == {"=="} or signs == {">=", "<"}


def test_the_constraints_pin_every_dependency_within_its_bounds() -> None:
    pinned = pins()
    needed = [requirement for requirement in requirements() if requirement.name != "textual-image"]
    for requirement in needed:
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), requirement


def test_no_known_vulnerability_is_in_what_the_constraints_pin() -> None:
    if shutil.which("pip-audit") is None:
        pytest.skip("pip-audit is not installed: known vulnerabilities were not looked up")
    command = ["pip-audit", "--requirement", str(CONSTRAINTS), "--no-deps", "--disable-pip"]
    completed = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if re.search("ConnectionError|ServiceError|Max retries|Name or service", completed.stderr):
        pytest.skip("the list of known vulnerabilities can't be reached from here")
    assert completed.returncode == 0, completed.stdout
