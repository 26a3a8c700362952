"""What libraries of stores raise, told in words of our own: theirs may quote URLs, headers and tokens."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

# By name, so that no library is imported to ask; subclasses count.
_PASSING: Final = {
    "ClientConnectionError",  # aiohttp
    "ClientPayloadError",
    "ConnectionError",
    "HTTPClientError",  # botocore
    "IncompleteRead",
    "IncompleteReadError",
    "ResponseStreamingError",
    "TimeoutError",
    "RequestException",  # requests, by which Google's are authorised
    "TransportError",
    "gaierror",
}
_LASTING: Final = {"ClientSSLError", "SSLError", "ClientConnectorCertificateError"}
_WITHOUT_CREDENTIALS: Final = {
    "NoCredentialsError",
    "PartialCredentialsError",
    "CredentialRetrievalError",
    "TokenRetrievalError",
    "SSOError",
    "ProfileNotFound",
    "DefaultCredentialsError",
    "RefreshError",
}
_PASSING_STATUS: Final = {408, 425, 429, *range(500, 600)} - {501, 505}
_LONGEST_CODE: Final = 40


class StorageError(OSError):
    """An object can't be read, as an OSError whose `filename` is its URL.

    `strerror` says why and what to do. `is_missing` where the store has no such
    object; `is_passing` where the same may work later.
    """

    def __init__(
        self, url: object, problem: str, *, is_missing: bool = False, is_passing: bool = False
    ) -> None:
        super().__init__(errno.ENOENT if is_missing else errno.EIO, problem, str(url))
        self.is_missing = is_missing
        self.is_passing = is_passing

    def __str__(self) -> str:
        return f"{self.filename}: {self.strerror}"


@dataclass(frozen=True)
class Failure:
    """What went wrong in one attempt, and whether another one may go better."""

    problem: str
    is_passing: bool = False
    is_missing: bool = False


def explained(error: BaseException, scheme: str) -> Failure:
    """What a library raised, without a word of it but the name of the error, a status and a code."""
    chain = list(_chain(error))
    status, code = _status_and_code(chain)
    names = {kind.__name__ for each in chain for kind in type(each).__mro__}
    kinds = (FileNotFoundError, PermissionError)
    told = f"{status}{f', {code}' if code else ''}" if status else type(chain[-1]).__name__
    if names & _WITHOUT_CREDENTIALS:
        return Failure(f"no credentials were found ({told}); {_CREDENTIALS[scheme]}")
    if status in _PASSING_STATUS:
        return Failure(f"the server fails ({told})", is_passing=True)
    if status in (404, 410) or (status is None and isinstance(error, kinds[0])):
        return Failure("there is no such object; correct its name", is_missing=True)
    if status in (401, 403, 407) or (status is None and _is_forbidden(error)):
        missing = ", which stores also say of what is not there to those who may not list it"
        return Failure(
            f"access is refused ({told}{missing if status == 403 else ''}); {_CREDENTIALS[scheme]}"
        )
    if status in (412, 416):
        return Failure(CHANGED)
    if status is None and names & _LASTING:
        return Failure(
            f"the server's certificate is not trusted ({told}); mend it, or let SSL_CERT_FILE name its issuer"
        )
    if status is None and names & _PASSING:
        return Failure(f"the server does not answer ({told})", is_passing=True)
    return Failure(f"the server refuses it ({told})")


CHANGED: Final = (
    "has changed since it was opened; once it stays as it is, start afresh with tui-mia run --new"
)

_CREDENTIALS: Final = {
    "s3": (
        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; "
        """for what is public FSSPEC_S3='{"anon": true}'"""
    ),
    "gs": (
        "set GOOGLE_APPLICATION_CREDENTIALS, or log in with gcloud auth application-default login; "
        """for what is public FSSPEC_GCS='{"token": "anon"}'"""
    ),
    "https": "put them into ~/.netrc, or the file that NETRC names",
    "http": "put them into ~/.netrc, or the file that NETRC names",
}


def status_of(error: BaseException) -> int | None:
    """The HTTP status that an error is about, if any."""
    return _status_and_code(_chain(error))[0]


def _status_and_code(chain: Iterable[BaseException]) -> tuple[int | None, str]:
    return next(filter(None, map(_status, chain)), (None, ""))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what led to it, up to the first."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _status(error: BaseException) -> tuple[int, str] | None:
    """The HTTP status of an error and the store's code for it, where it has one."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):  # botocore
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        code = str(response.get("Error", {}).get("Code", ""))
        # Of a HEAD there is no body, and the code is the status once more.
        return (status, code if code.isalpha() and len(code) < _LONGEST_CODE else "") if status else None
    kinds = {kind.__name__ for kind in type(error).__mro__}
    # Not of all that have one: aiohttp gives 400 to answers that break off.
    for kind, name in (("ClientResponseError", "status"), ("HttpError", "code")):  # aiohttp, gcsfs
        status = str(getattr(error, name, "")) if kind in kinds else ""
        if status.isdecimal() and 400 <= int(status) < 600:
            return int(status), ""
    return None


def _is_forbidden(error: BaseException) -> bool:
    # gcsfs has no status with this one.
    return isinstance(error, PermissionError) or (
        isinstance(error, OSError) and str(error).startswith("Forbidden: ")
    )
