"""Files that only their owner can read: runs, databases, caches, exports, whatever the user's umask is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

# What Popen takes for: as it is.
_AS_IT_IS = -1

_users = _AS_IT_IS


def keep_private() -> None:
    """From now on what this process makes is its user's alone."""
    global _users  # as the umask is the process's
    before = os.umask(0o077)
    _users = before if _users == _AS_IT_IS else _users


def users_umask() -> int:
    """What the user had set, for a child process that has things of both kinds to make."""
    return _users


@contextmanager
def as_the_user_has_it() -> Iterator[None]:
    """Within the block files are made as by any other program: specs, and models in the hub's cache."""
    if _users == _AS_IT_IS:
        yield
        return
    os.umask(_users)
    try:
        yield
    finally:
        os.umask(0o077)
