"""One worker a device: a file lock that its holder's death releases."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from platformdirs import user_cache_path


@contextmanager
def device_lock(device: str, identity: str, tell: Callable[[str], None]) -> Iterator[None]:
    """Hold a device for this process; `tell` hears of another run that has it.

    `device` is what this process calls it ("cpu", "cuda:0"), `identity` what
    every process would, whichever devices are visible to it. Where no file can be
    had for it, `tell` hears that too, and others may use the device as well.
    """
    path = user_cache_path("tui-mia") / f"{identity}.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        opened = path.open("a")
    except OSError as error:
        tell(f"can't keep {device} to this run: {path}: {error.strerror}; other runs may use it meanwhile")
        yield
        return
    with opened as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell(f"waiting for {device}: another run is using it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
