"""Google's storage: what of it can be tried where it can't be reached."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from tests.storage.conftest import _range, _serving
from tui_mia.storage import StorageError, Url, expand_url, look_at_all


@dataclass
class Google:
    """What its JSON API says of the objects of a bucket `pool`: one, all below a prefix, bytes of one."""

    objects: dict[str, bytes] = field(default_factory=dict)
    status: int | None = None
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> Iterator[Google]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            there.asked.append(url.path)
            name = unquote(url.path.rpartition("/o/")[2])
            if there.status:
                self._say(there.status, {"error": {"code": there.status, "message": "no ya29.SECRET-TOKEN"}})
            elif url.path == "/storage/v1/b/pool/o":
                prefix = parse_qs(url.query).get("prefix", [""])[0]
                self._say(
                    200, {"items": [self._about(key) for key in there.objects if key.startswith(prefix)]}
                )
            elif name not in there.objects:
                self._say(404, {"error": {"code": 404, "message": "No such object"}})
            elif url.path.startswith("/download/"):
                wanted = _range(self.headers.get("Range"))
                content = there.objects[name]
                self._send(206 if wanted else 200, content[wanted[0] : wanted[1]] if wanted else content)
            else:
                self._say(200, self._about(name))

        def _about(self, name: str) -> dict[str, Any]:
            content = there.objects[name]
            return {
                "name": name,
                "bucket": "pool",
                "size": str(len(content)),
                "generation": str(abs(hash(content))),
                "etag": "CAE=",
                "updated": "2026-01-01T00:00:00.000Z",
            }

        def _say(self, status: int, document: object) -> None:
            self._send(status, json.dumps(document).encode())

        def _send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            pass

    from fsspec.config import conf

    with _serving(Handler) as endpoint:
        there = Google()
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", endpoint)
        monkeypatch.setitem(conf, "gcs", {"token": "anon"})  # as FSSPEC_GCS does in a fresh process
        yield there


def test_objects_are_looked_at_listed_and_read(google: Google, noise: bytes) -> None:
    google.objects |= {"set/b 1.tar": noise, "set/a.tar": b"abc", "set/readme.txt": b""}
    assert [str(url) for url in expand_url("gs://pool/set/*.tar")] == [
        "gs://pool/set/a.tar",
        "gs://pool/set/b 1.tar",
    ]
    [seen] = look_at_all([Url("gs://pool/set/b 1.tar")])
    assert isinstance(seen, Url)
    assert seen.seen is not None
    assert seen.seen.size == len(noise)
    with seen.open() as file:
        assert file.read() == noise
    assert Url("gs://pool/set/a.tar").beginning(2) == b"ab"


def test_a_new_generation_is_another_object(google: Google, noise: bytes) -> None:
    google.objects["a.tar"] = noise
    with Url("gs://pool/a.tar").open() as file:
        file.read(10)
        google.objects["a.tar"] = bytes(len(noise))
        with pytest.raises(StorageError, match="has changed since it was opened"):
            file.read()


@pytest.mark.parametrize(
    ("status", "words"),
    [(403, "access is refused .*gcloud auth application-default login"), (404, "there is no such object")],
)
def test_what_is_refused_is_told_without_the_words_of_the_server(
    status: int,
    words: str,
    google: Google,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    google.status = status
    with pytest.raises(StorageError, match=f"gs://pool/a.tar: {words}") as error:
        Url("gs://pool/a.tar").look()
    printed = capfd.readouterr()
    assert "SECRET-TOKEN" not in f"{error.value} {caplog.text} {printed.out} {printed.err}"
