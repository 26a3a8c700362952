"""URLs of objects: which are read, what must not be in them, and their parts."""

from __future__ import annotations

import importlib.util
import io
import posixpath
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias
from urllib.parse import unquote

# The package that reads a scheme, and the extra of tui-mia that brings it.
_PACKAGES: Final = {
    "s3": ("s3fs", "s3"),
    "gs": ("gcsfs", "gs"),
    "https": ("aiohttp", "https"),
    "http": ("aiohttp", "https"),
}
SCHEMES: Final = tuple(_PACKAGES)
# Where a `?` begins a query; elsewhere it is a letter of a name, or stands for any.
_WITH_QUERIES: Final = ("https", "http")

_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_USER: Final = re.compile(r"(://)[^\s'\"]*@")
_BUCKET: Final = re.compile(r"arn:[^/@]+|[^/:@]+")
_SERVER: Final = re.compile(r"(?:\[[0-9a-fA-F:.]+\]|[^/:@\[\]]+)(?::[0-9]{1,5})?")
_QUERY: Final = re.compile(r"(://[^\s'\"?]*\?)[^\s'\"]+")
# What parameters are called that are as good as a password.
_SECRET_NAME: Final = re.compile(
    r".*(?:signature|token|credential|secret|passw|access.?key|api.?key|authorization).*|"
    r"(?:.*[-_.])?(?:sig|auth|pwd|key|keyid|key-pair-id|accessid|googleaccessid|jwt|sas|policy|session)",
    re.IGNORECASE | re.DOTALL,
)
_UNPRINTABLE: Final = "has characters in it that can't be shown, which no name should have"


class Seen(NamedTuple):
    """What a store says of an object: bytes, and its ETag, generation or time of change, if it has one."""

    size: int
    version: str | None


@dataclass(frozen=True, slots=True)
class Url:
    """An object in a store, with what readers use of a path; `seen` is what it was when it was listed."""

    text: str
    seen: Seen | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return self.text

    @property
    def scheme(self) -> str:
        return self.text.partition("://")[0]

    @property
    def name(self) -> str:
        """The last part of its path; nothing where the URL ends in a slash."""
        return self._path.rpartition("/")[2] if "/" in self._path else ""

    @property
    def suffix(self) -> str:
        return posixpath.splitext(self.name)[1]

    @property
    def parent(self) -> Url:
        """The URL that names beside this one go on from, with a slash at its end."""
        above = self._path.rpartition("/")[0] or self._path
        return Url(f"{self.scheme}://{above}/")

    @property
    def host(self) -> str:
        """The bucket or the server."""
        return self._path.partition("/")[0]

    def is_dir(self) -> bool:
        """Never: a store has objects, and no folders."""
        return False

    def look(self) -> Seen:
        """What the store says of the object now.

        Raises:
            StorageError: if it is not there, may not be read, or the store does not answer.
        """
        from tui_mia.storage.store import look

        return look(self)

    def open(self, mode: str = "rb") -> io.BufferedReader:
        """The object as a binary file of known size, read a range at a time.

        Raises:
            StorageError: as `look`; and while it is read, if the store stays away or the object changes.
        """
        from tui_mia.storage.reader import open_object

        assert mode == "rb", "objects are only read"
        return open_object(self)

    def beginning(self, limit: int) -> bytes:
        """What the object begins with, up to `limit` bytes, in one request.

        Raises:
            StorageError: as `look`.
        """
        from tui_mia.storage.store import read_beginning

        return read_beginning(self, limit)

    @property
    def _path(self) -> str:
        """What follows the scheme, without a query."""
        behind = self.text.partition("://")[2]
        return behind.partition("?")[0] if self.scheme in _WITH_QUERIES else behind


Location: TypeAlias = Path | Url


def is_url(text: str) -> bool:
    """Whether a text names something by URL, of whatever scheme; all else is a path."""
    return _URL.match(text) is not None


def wrong_with(text: str) -> str | None:
    """Why a URL is not taken, and what to do; None where it is. It is not looked for.

    What carries credentials is refused: specs are stored, logged and passed on.
    """
    url = Url(text)
    if url.scheme not in SCHEMES:
        return f"{url.scheme}:// is not read; known are {', '.join(f'{each}://' for each in SCHEMES)}"
    behind = text.partition("://")[2]
    with_queries = url.scheme in _WITH_QUERIES
    if not text.isprintable() or (with_queries and " " in text):
        return _UNPRINTABLE if not text.isprintable() else "has a space in it; write %20"
    if not url.host:
        return f"names no {'server' if with_queries else 'bucket'}"
    if not (_SERVER if with_queries else _BUCKET).fullmatch(url.host):
        return f"has a user name, a password or no right name before the first slash; {_instead(url.scheme)}"
    query = (unquote(each.partition("=")[0]) for each in re.split("[&;]", behind.partition("?")[2]))
    secret = next((name for name in query if _SECRET_NAME.fullmatch(name.strip())), None)
    if secret is not None:
        return f"carries a signature or a token ({secret}=); leave it out: {_instead(url.scheme)}"
    if with_queries and "#" in behind:
        return "has a # in it, which no server is sent; write %23 where it is part of a name"
    return None


def _instead(scheme: str) -> str:
    """Where credentials belong, by scheme."""
    match scheme:
        case "s3":
            return "credentials come from the environment (AWS_ACCESS_KEY_ID ...), a profile or the instance"
        case "gs":
            return "credentials come from GOOGLE_APPLICATION_CREDENTIALS, gcloud or the instance"
        case _:
            return "credentials come from ~/.netrc, or the file that NETRC names"


def without_credentials(text: str) -> str:
    """A text with `...` for users, passwords and queries in its URLs."""
    return _QUERY.sub(r"\1...", _USER.sub(r"\1...@", text))


def lacking_package(text: str) -> str | None:
    """What is to be installed before a URL can be read; None where nothing is. Nothing is imported."""
    scheme = Url(text).scheme
    package, extra = _PACKAGES[scheme]
    if importlib.util.find_spec("fsspec") and importlib.util.find_spec(package):
        return None
    command = f"pip install 'tui-mia[{extra}]'"
    return f"{scheme}:// is read by the package {package}, which is not installed: {command}"
