"""One worker a device: a file lock that its holder's death releases."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from platformdirs import user_cache_path


@contextmanager
def device_lock(device: str, identity: str, on_wait: Callable[[str], None]) -> Iterator[None]:
    """Hold a device for this process; `on_wait` hears of another run that has it.

    `device` is what this process calls it ("cpu", "cuda:0"), `identity` what
    every process would, whichever devices are visible to it.
    """
    folder = user_cache_path("tui-mia", ensure_exists=True)
    with (folder / f"{identity}.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait(f"waiting for {device}: another run is using it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
