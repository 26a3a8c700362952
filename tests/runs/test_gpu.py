"""What the driver tells of GPUs, with a driver that is made up: there may be none where tests run."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from pynvml import NVMLError, NVMLError_LibraryNotFound  # type: ignore[import-untyped]

from tui_mia.runs import gpu
from tui_mia.runs.gpu import Gpu, gpus


class Driver:
    """A driver of two GPUs; a handle is the number of one. `without` are the questions it can't answer."""

    NVMLError = NVMLError

    def __init__(self, *without: str) -> None:
        self.without = without
        self.opened = 0

    def _answer(self, question: str, answer: Any) -> Any:
        if question in self.without:
            raise NVMLError(3)
        return answer

    def nvmlInit(self) -> None:  # noqa: N802
        self.opened += 1
        if "library" in self.without:
            raise NVMLError_LibraryNotFound

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return int(self._answer("count", 2))

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Any:  # noqa: N802
        return self._answer(f"handle {index}", SimpleNamespace(index=index))

    def nvmlDeviceGetUUID(self, handle: Any) -> Any:  # noqa: N802
        return self._answer("uuid", f"GPU-{handle.index}")

    def nvmlDeviceGetName(self, handle: Any) -> Any:  # noqa: N802
        return self._answer("name", b"H100")

    def nvmlDeviceGetMemoryInfo(self, handle: Any) -> Any:  # noqa: N802
        return self._answer("memory", SimpleNamespace(used=2**30, total=2**34))

    def nvmlDeviceGetUtilizationRates(self, handle: Any) -> Any:  # noqa: N802
        return self._answer("rates", SimpleNamespace(gpu=37, memory=5))


@pytest.fixture(autouse=True)
def a_driver_of_each_tests_own() -> Iterator[None]:
    gpu._driver_is_there.cache_clear()
    yield
    gpu._driver_is_there.cache_clear()


def use(monkeypatch: pytest.MonkeyPatch, driver: Driver) -> Driver:
    monkeypatch.setattr(gpu, "pynvml", driver)
    return driver


def test_every_gpu_is_told_with_its_memory_and_how_busy_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = use(monkeypatch, Driver())
    assert gpus() == [Gpu(number, f"GPU-{number}", "H100", 2**30, 2**34, 0.37) for number in (0, 1)]
    gpus()
    assert driver.opened == 1


def test_without_a_driver_there_are_no_gpus_and_it_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = use(monkeypatch, Driver("library"))
    assert gpus() == gpus() == []
    assert driver.opened == 1


def test_what_the_driver_does_not_tell_is_left_open(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Driver("memory", "rates", "name"))
    assert gpus() == [Gpu(0, "GPU-0", "GPU"), Gpu(1, "GPU-1", "GPU")]


@pytest.mark.parametrize(("missing", "left"), [("count", 0), ("handle 0", 1), ("uuid", 0)])
def test_a_gpu_that_cannot_be_asked_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, missing: str, left: int
) -> None:
    use(monkeypatch, Driver(missing))
    assert len(gpus()) == left


def test_this_machine_can_be_asked() -> None:
    for found in gpus():
        assert found.uuid
