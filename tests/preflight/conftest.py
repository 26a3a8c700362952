"""Specs of audits, and a tar with whatever is needed in it."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tui_mia.pools import PoolName
from tui_mia.preflight.reading import PoolRead, read_pools
from tui_mia.spec import AuditSpec


@pytest.fixture
def audit_of(world: Path) -> Callable[..., AuditSpec]:
    """Makes a spec with these pools and other tables."""

    def make(pools: Mapping[str, Mapping[str, Any]], **tables: Any) -> AuditSpec:
        model = {"architecture": f"local-dir:{world}/models/target", "device": "cpu"}
        return AuditSpec.model_validate({"model": model, "pools": pools, **tables})

    return make


@pytest.fixture
def read(audit_of: Callable[..., AuditSpec]) -> Callable[..., dict[PoolName, PoolRead]]:
    """Reads the pools of an audit."""

    def read_them(entries_a_source: int | None = None, **pools: Any) -> dict[PoolName, PoolRead]:
        return read_pools(audit_of(pools), entries_a_source, lambda event: None)

    return read_them


@pytest.fixture
def tar(tmp_path: Path) -> Callable[..., str]:
    """Makes a tar of members by name."""

    def make(members: Mapping[str, bytes], name: str = "pairs.tar") -> str:
        path = tmp_path / name
        with tarfile.open(path, "w") as archive:
            for member, content in members.items():
                info = tarfile.TarInfo(member)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        return str(path)

    return make


@pytest.fixture
def pairs(image_bytes: Callable[..., bytes]) -> Callable[..., dict[str, bytes]]:
    """The members of pairs: numbers make images, and captions unless there is one for all."""

    def make(*numbers: int, caption: str | None = None, label: str | None = None) -> dict[str, bytes]:
        members: dict[str, bytes] = {}
        for number in numbers:
            text = caption or f"picture {number}"
            members[f"{number:04}.png"] = image_bytes(number)
            members[f"{number:04}.json"] = (
                f'{{"caption": "{text}"{"" if label is None else f", {chr(34)}member{chr(34)}: {label}"}}}'
            ).encode()
        return members

    return make
