"""Inputs that lie in object storage: named by URL, looked at, and read as if they were files.

A `Location` is a path or a `Url`, which has of a path what readers of files use;
whatever reads inputs asks a location and not what it is. Everything that asks a
store goes through here: fsspec and its libraries are imported when a URL is first
looked at or read, and what they raise comes out as a `StorageError` without any
of their words, which may quote what is secret.
"""

from tui_mia.storage.errors import StorageError
from tui_mia.storage.looking import expand_url, look_at_all, size_of
from tui_mia.storage.url import (
    Location,
    Seen,
    Url,
    is_url,
    lacking_package,
    without_credentials,
    wrong_with,
)

__all__ = [
    "Location",
    "Seen",
    "StorageError",
    "Url",
    "expand_url",
    "is_url",
    "lacking_package",
    "look_at_all",
    "size_of",
    "without_credentials",
    "wrong_with",
]
