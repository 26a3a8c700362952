"""Boards on databases of their own, and audits that take no longer than their worker needs to wake up."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tui_mia.board import Board
from tui_mia.runs.gpu import Gpu
from tui_mia.spec import AuditSpec, load_spec
from tui_mia.store.connect import create_if_missing

DEADLINE_SECONDS = 90
TINY_AUDIT = """
[model]
architecture = "local-dir:{world}/models/target"
device = "cpu"

[pools.candidates]
source = "{world}/candidates.tar"
limit = 24

[attacks.csa]
"""


async def until(condition: Callable[[], object]) -> None:
    """Let the board work until something is the case, up to a deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


class Told:
    """What a board told its user."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, str]] = []

    def __call__(self, message: str, level: str) -> None:
        self.messages.append((level, message))

    def has(self, text: str, level: str | None = None) -> bool:
        return any(text in message and level in (None, found) for found, message in self.messages)


@pytest.fixture
def told() -> Iterator[Told]:
    found = Told()
    yield found
    assert not found.has("a defect of tui-mia")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "audits.duckdb"


@pytest.fixture
def tiny_audit(tmp_path: Path, world: Path, database: Path) -> AuditSpec:
    path = tmp_path / "tiny.toml"
    path.write_text(TINY_AUDIT.format(world=world))
    return load_spec(path, {"output.database": str(database)})


def with_seed(spec: AuditSpec, seed: int) -> AuditSpec:
    """The same audit, and yet another one."""
    return spec.model_copy(update={"run": spec.run.model_copy(update={"seed": seed})})


def no_gpus() -> list[Gpu]:
    return []


@pytest.fixture
async def make_board(database: Path, told: Told) -> AsyncIterator[Callable[[], Board]]:
    """Makes boards of the same database, and leaves no worker behind."""
    boards: list[Board] = []

    def make() -> Board:
        boards.append(Board(database, told, find_gpus=no_gpus))
        return boards[-1]

    yield make
    for board in boards:
        await board.cancel_all()
        await board.leave()


@pytest.fixture
async def board(make_board: Callable[[], Board]) -> Board:
    board = make_board()
    await board.open()
    return board


HOLD = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1])
print("held", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def held(database: Path) -> Callable[[], AbstractContextManager[None]]:
    """Somebody else who has the database open, in a process of their own."""

    @contextlib.contextmanager
    def hold() -> Iterator[None]:
        create_if_missing(database)
        child = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(database)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        try:
            yield
        finally:
            child.communicate("\n")

    return hold
