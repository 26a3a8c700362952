"""The list of open_clip's models: from the real thing once, and from what is remembered of it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from tui_mia import architectures as module
from tui_mia.architectures import ArchitecturesError, architectures

MODELS = {"ViT-Tiny": ["tag-1", "tag-2"], "ViT-Untrained": []}
LISTING = f"import json; print('a library says hello'); print(json.dumps({MODELS}))"
BROKEN = "import open_clip_that_is_not_there"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the list is remembered: a place of the test's own, not made yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "tui-mia" / f"architectures-{version('open_clip_torch')}.json"


async def test_open_clip_itself_is_asked_and_stays_out_of_this_process(cache: Path) -> None:
    before = "open_clip" in sys.modules
    known = await architectures()
    assert "laion2b_s34b_b79k" in known["ViT-B-32"]
    assert len(known) > 100
    assert ("open_clip" in sys.modules) == before
    assert json.loads(cache.read_text()) == known


async def test_what_is_remembered_is_not_asked_again(cache: Path) -> None:
    assert await architectures(LISTING) == MODELS
    assert await architectures(BROKEN) == MODELS


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"a": "b"}', b'{"a": [1]}', b"\xff"])
async def test_what_is_remembered_wrongly_is_asked_again(cache: Path, content: bytes) -> None:
    cache.parent.mkdir()
    cache.write_bytes(content)
    assert await architectures(LISTING) == MODELS
    assert json.loads(cache.read_text()) == MODELS


async def test_where_nothing_can_be_remembered_the_list_is_there_all_the_same(cache: Path) -> None:
    cache.parent.write_text("a file where the folder should be")
    assert await architectures(LISTING) == MODELS


async def test_an_open_clip_that_can_not_be_loaded_is_explained(cache: Path) -> None:
    with pytest.raises(ArchitecturesError, match="can't be loaded: ModuleNotFoundError: No module named"):
        await architectures(BROKEN)
    with pytest.raises(ArchitecturesError, match="can't be read"):
        await architectures("print('no list')")
    assert not cache.exists()


async def test_an_open_clip_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(module, "version", missing)
    with pytest.raises(ArchitecturesError, match="is not installed"):
        await architectures(LISTING)


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


async def test_giving_up_leaves_no_process_behind(cache: Path, pipe: Path) -> None:
    """The program writes its id into a pipe and hangs; it is gone soon after somebody cancels."""
    program = f"import os, signal; open({str(pipe)!r}, 'w').write(str(os.getpid())); signal.pause()"
    asking = asyncio.create_task(architectures(program))
    process = int(await asyncio.to_thread(pipe.read_text))
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    async with asyncio.timeout(20):
        while _is_there(process):
            await asyncio.sleep(0.01)


def _is_there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
