"""Stores of this machine: an S3 server, something between it and us that fails, and a web server."""

from __future__ import annotations

import contextlib
import email.utils
import http.client
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest

from tui_mia.storage import store

# Whoever finds it anywhere has found a leak.
SECRET = "wJalrXUtnFEMI-K7MDENG-bPxRfiCYSECRETKEY"


@dataclass
class S3:
    """An S3 server; whatever signs its requests is let in."""

    endpoint: str

    def put(self, name: str, content: bytes, *, public: bool = False) -> str:
        """Store an object under BUCKET/KEY; its URL."""
        self._request("PUT", quote(name), content, {"x-amz-acl": "public-read"} if public else {})
        return f"s3://{name}"

    def delete(self, name: str) -> None:
        self._request("DELETE", name)

    def _request(
        self, method: str, name: str, content: bytes | None = None, more: Mapping[str, str] | None = None
    ) -> None:
        # As the owner, whose signature is not looked at; and no form.
        owner = "AWS4-HMAC-SHA256 Credential=A/20260101/us-east-1/s3/aws4_request, SignedHeaders=host"
        headers = {"Authorization": f"{owner}, Signature=0", "Content-Type": "application/octet-stream"}
        headers |= more or {}
        request = urllib.request.Request(f"{self.endpoint}/{name}", content, headers, method=method)
        with urllib.request.urlopen(request, timeout=30):
            pass


@pytest.fixture(scope="session")
def _s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (tmp_path_factory.mktemp("s3") / "log").open("wb")
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with log, subprocess.Popen(command, stdout=log, stderr=log) as server:
        endpoint = f"http://127.0.0.1:{port}"
        _wait_for(endpoint)
        try:
            yield endpoint
        finally:
            server.terminate()


def _wait_for(endpoint: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(endpoint, timeout=10):
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@pytest.fixture
def s3(_s3_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> S3:
    """An empty bucket `pool`, and an environment in which it is found."""
    with contextlib.suppress(urllib.error.HTTPError):
        urllib.request.urlopen(
            urllib.request.Request(f"{_s3_server}/moto-api/reset", data=b"", method="POST"), timeout=30
        ).close()
    nowhere = str(tmp_path / "no-such-file")
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": _s3_server,
        "AWS_CONFIG_FILE": nowhere,
        "AWS_SHARED_CREDENTIALS_FILE": nowhere,
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    server = S3(_s3_server)
    server._request("PUT", "pool")
    return server


@pytest.fixture(autouse=True)
def _asks_anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test has the connections and settings of another, and none waits long for a store that is down."""
    monkeypatch.setattr(store, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.delenv("HTTP_PROXY", raising=False)
    monkeypatch.delenv("http_proxy", raising=False)
    store._made.cache_clear()
    yield
    # One that was left to read on would make its connections without the credentials of the next test.
    for thread in threading.enumerate():
        if thread.name in ("range", "load"):
            thread.join(60)
            assert not thread.is_alive()
    store._made.cache_clear()


@dataclass
class Asked:
    """A request that came: its method and path, the range it asked for, and how many came before it."""

    method: str
    path: str
    range: tuple[int, int] | None
    number: int


Fault = Callable[[Asked], "int | str | None"]


@dataclass
class Between:
    """What stands between a client and a server: passes on what it is asked, unless `fault` says otherwise.

    A number is the status that is answered instead; "cut" breaks the connection
    off in the middle of the body, "reset" before any answer.
    """

    endpoint: str
    fault: Fault = lambda asked: None
    asked: list[Asked] = field(default_factory=list)

    def ranges(self) -> list[tuple[int, int]]:
        return [each.range for each in self.asked if each.method == "GET" and each.range]


@pytest.fixture
def between(s3: S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[Between]:
    """Stands before the S3 server, where AWS_ENDPOINT_URL points to."""
    target = s3.endpoint.removeprefix("http://")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            asked = Asked(self.command, self.path, _range(self.headers.get("Range")), len(there.asked))
            there.asked.append(asked)
            fault = there.fault(asked)
            if fault == "reset":
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            if isinstance(fault, int):
                self.send_response(fault)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            connection = http.client.HTTPConnection(target, timeout=30)
            connection.request(self.command, self.path, headers=dict(self.headers))
            with contextlib.closing(connection), connection.getresponse() as answer:
                body = answer.read()
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("connection", "transfer-encoding", "date", "server"):
                        self.send_header(name, value)
                self.end_headers()
                if self.command == "HEAD":
                    return
                if fault == "cut":
                    self.wfile.write(body[: len(body) // 2])
                    self.wfile.flush()
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                self.wfile.write(body)

        do_GET = do_HEAD = _pass_on  # noqa: N815

        def log_message(self, *arguments: Any) -> None:
            pass

    with _serving(Handler) as endpoint:
        there = Between(endpoint)
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        yield there


@dataclass
class Web:
    """A web server with files by path; `ranges` is whether it sends parts of them, `tags` ETags and times."""

    endpoint: str
    files: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    tags: bool = True
    status: int | None = None
    asked: list[str] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)


@pytest.fixture
def web() -> Iterator[Web]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            path = unquote(self.path.partition("?")[0])
            there.asked.append(self.path)
            there.authorizations.append(self.headers.get("Authorization"))
            content = there.files.get(path)
            if there.status or content is None:
                self._head(there.status or 404, 0)
                return
            wanted = _range(self.headers.get("Range")) if there.ranges else None
            piece = content if wanted is None else content[wanted[0] : wanted[1]]
            self.send_response(200 if wanted is None else 206)
            self.send_header("Content-Length", str(len(piece)))
            if wanted is not None:
                end = wanted[0] + len(piece) - 1
                self.send_header("Content-Range", f"bytes {wanted[0]}-{end}/{len(content)}")
            if there.tags:
                self.send_header("ETag", f'"{hash(content):x}"')
                self.send_header("Last-Modified", email.utils.formatdate(0, usegmt=True))
            self.end_headers()
            if self.command == "GET":
                with contextlib.suppress(ConnectionError):  # has heard enough
                    self.wfile.write(piece)

        def _head(self, status: int, size: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(size))
            self.end_headers()

        do_GET = do_HEAD = _answer  # noqa: N815

        def log_message(self, *arguments: Any) -> None:
            pass

    with _serving(Handler) as endpoint:
        there = Web(endpoint)
        yield there


def _range(header: str | None) -> tuple[int, int] | None:
    found = re.fullmatch(r"bytes=(\d+)-(\d+)", header or "")
    return (int(found[1]), int(found[2]) + 1) if found else None


@contextlib.contextmanager
def _serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


@pytest.fixture(scope="session")
def noise() -> bytes:
    """Bytes of which no two places are alike, in more than three ranges."""
    return os.urandom(1024) * (27 * 1024) + os.urandom(333)
