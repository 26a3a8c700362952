"""One worker a device, also over processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tui_mia.runs.device_lock import device_lock

WAIT_FOR_IT = """
import sys
from tui_mia.runs.device_lock import device_lock
with device_lock("cuda:0", sys.argv[1], lambda message: print(message, flush=True)):
    print("mine", flush=True)
"""


def start(identity: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", WAIT_FOR_IT, identity], stdout=subprocess.PIPE, text=True)


def test_a_second_process_says_that_it_waits_and_gets_the_device_when_it_is_free() -> None:
    told: list[str] = []
    with device_lock("cuda:0", "gpu-a", told.append):
        waiting, other = start("gpu-a"), start("gpu-b")
        assert waiting.stdout is not None
        assert waiting.stdout.readline() == "waiting for cuda:0: another run is using it\n"
        assert other.communicate(timeout=30)[0] == "mine\n"
        assert waiting.poll() is None
    assert waiting.communicate(timeout=30)[0] == "mine\n"
    assert told == []


def test_the_death_of_its_holder_frees_a_device() -> None:
    with device_lock("cuda:0", "gpu-c", lambda message: None):
        waiting = start("gpu-c")
        assert waiting.stdout is not None
        waiting.stdout.readline()
        waiting.kill()
        waiting.communicate()
    with device_lock("cuda:0", "gpu-c", lambda message: pytest_fail(message)):
        pass


def pytest_fail(message: str) -> None:
    raise AssertionError(message)


def test_where_no_lock_can_be_kept_the_run_goes_on_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    told: list[str] = []
    with device_lock("cuda:0", "gpu-d", told.append):
        pass
    (message,) = told
    assert message.startswith("can't keep cuda:0 to this run: ")
    assert str(tmp_path / "cache" / "tui-mia" / "gpu-d.lock") in message
