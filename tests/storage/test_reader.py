"""Objects as files: what is read, in which requests, and what comes of a store that fails."""

from __future__ import annotations

import io
import threading
from functools import partial
from itertools import pairwise
from typing import Any

import pytest

from tui_mia.storage import StorageError, Url, reader, store


def test_an_object_is_a_file_of_known_size_that_is_read_from_any_place(s3: Any, noise: bytes) -> None:
    url = Url(s3.put("pool/noise.bin", noise))
    with url.open() as file:
        assert file.seekable()
        assert file.seek(0, io.SEEK_END) == len(noise)
        assert file.read() == b""
        for start, size in [(0, 10), (len(noise) - 7, 100), (9 * 2**20 - 3, 8), (5, 2**20), (20 * 2**20, 9)]:
            file.seek(start)
            assert file.read(size) == noise[start : start + size]
        file.seek(-5, io.SEEK_END)
        assert file.read() == noise[-5:]
        with pytest.raises(ValueError):
            file.seek(-1)


def test_an_object_is_read_in_ranges_of_several_megabytes_each_once(
    s3: Any, between: Any, noise: bytes
) -> None:
    url = Url(s3.put("pool/noise.bin", noise))
    with url.open() as file:
        assert file.read() == noise
    ranges = sorted(between.ranges())
    assert ranges[0][0] == 0
    assert ranges[-1][1] == len(noise)
    assert all(before[1] == after[0] for before, after in pairwise(ranges))
    assert len(ranges) <= 6
    assert ranges[-2][1] - ranges[-2][0] == reader.RANGE_BYTES


def test_what_comes_next_is_fetched_before_it_is_asked_for(s3: Any, between: Any, noise: bytes) -> None:
    url = Url(s3.put("pool/noise.bin", noise))
    asked_for_third = threading.Event()
    between.fault = lambda asked: (
        asked_for_third.set() if asked.range and asked.range[0] >= 5 * 2**20 else None
    )
    with url.open() as file:
        file.read(reader.SMALLEST_RANGE_BYTES + 1)  # the beginning of the second range
        assert asked_for_third.wait(30)


def test_reading_here_and_there_takes_no_more_than_it_needs(s3: Any, between: Any, noise: bytes) -> None:
    url = Url(s3.put("pool/noise.bin", noise))
    places = (3 * 2**20, 15 * 2**20, 22 * 2**20)
    with url.open() as file:
        for step in range(0, 2**20, 2**18):
            for place in places:
                file.seek(place + step)
                assert file.read(2**17) == noise[place + step : place + step + 2**17]
    assert sorted(start for start, _ in between.ranges()) == list(places)


def test_a_small_object_and_an_empty_one_are_read(s3: Any, between: Any) -> None:
    assert Url(s3.put("pool/small", b"abc")).open().read() == b"abc"
    assert Url(s3.put("pool/empty", b"")).open().read() == b""
    assert between.ranges() == [(0, 3)]


@pytest.mark.parametrize("fault", [500, 503, 429, "cut", "reset"])
def test_a_store_that_fails_now_and_then_loses_nothing(
    fault: int | str, s3: Any, between: Any, noise: bytes
) -> None:
    url = Url(s3.put("pool/noise.bin", noise))
    between.fault = lambda asked: fault if asked.number % 3 == 1 else None
    with url.open() as file:
        assert file.read() == noise
    assert len(between.ranges()) > 6


def test_a_store_that_stays_down_is_an_error_in_words(s3: Any, between: Any, noise: bytes) -> None:
    url = Url(s3.put("pool/noise.bin", noise))
    between.fault = lambda asked: 503 if asked.range and asked.range[0] > 0 else None
    with url.open() as file:
        assert file.read(100) == noise[:100]
        with pytest.raises(StorageError) as error:
            file.read()
    assert str(error.value) == (
        "s3://pool/noise.bin: the server fails (503), 6 times in a row; "
        "try again when it is up; a run keeps what it has encoded (tui-mia resume)"
    )
    assert error.value.is_passing


def test_a_server_that_is_not_there_is_an_error_in_words(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(
        StorageError, match=r"does not answer \(\w+\), 3 times in a row; try again when it is up"
    ):
        Url("s3://pool/x.tar").look()


@pytest.mark.parametrize("status", [403, 404])
def test_what_won_t_pass_is_not_tried_again(status: int, s3: Any, between: Any, noise: bytes) -> None:
    url = Url(s3.put("pool/noise.bin", noise))
    between.fault = lambda asked: status if asked.range else None
    with url.open() as file, pytest.raises(StorageError) as error:
        file.read()
    words = {403: "access is refused (403", 404: "there is no such object; correct its name"}
    assert words[status] in str(error.value)
    assert error.value.is_missing == (status == 404)
    assert len(between.ranges()) == 1


def test_without_credentials_it_is_said_where_they_come_from(
    s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(StorageError, match=r"no credentials were found .*; set AWS_ACCESS_KEY_ID and .*anon"):
        Url(s3.put("pool/x.tar", b"x")).look()


def test_what_is_public_is_read_without_credentials(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from fsspec.config import conf

    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setitem(conf, "s3", {"anon": True})  # as FSSPEC_S3 does in a fresh process
    assert Url(s3.put("pool/x.tar", b"x", public=True)).open().read() == b"x"


def test_an_object_that_changes_while_it_is_read_is_an_error_and_no_mixture(s3: Any, noise: bytes) -> None:
    url = Url(s3.put("pool/noise.bin", noise))
    with url.open() as file:
        read = file.read(10)
        s3.put("pool/noise.bin", bytes(len(noise)))  # of the same size
        for piece in iter(partial(_piece, file), b""):
            read += piece
        with pytest.raises(
            StorageError, match=r"s3://pool/noise.bin: has changed since it was opened"
        ) as error:
            file.read()
    assert noise.startswith(read)
    assert not error.value.is_passing


def _piece(file: io.BufferedReader) -> bytes:
    """The next bytes of a file; none where it can't be read on."""
    try:
        return file.read(2**16)
    except StorageError:
        return b""


def test_an_object_that_is_gone_while_it_is_read_is_an_error(s3: Any, noise: bytes) -> None:
    url = Url(s3.put("pool/noise.bin", noise))
    with url.open() as file:
        file.read(10)
        s3.delete("pool/noise.bin")
        with pytest.raises(StorageError, match="there is no such object"):
            file.read()


def test_whoever_closes_a_file_is_not_waited_for_by_its_retries(
    s3: Any, between: Any, noise: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "FIRST_PAUSE_SECONDS", 3600)
    url = Url(s3.put("pool/noise.bin", noise))
    failed = threading.Event()

    def fault(asked: Any) -> int | None:
        if not asked.range or asked.range[0] < 5 * 2**20:
            return None
        failed.set()
        return 500

    between.fault = fault
    with url.open() as file:
        file.read(reader.SMALLEST_RANGE_BYTES + 1)
        assert failed.wait(30)
    for thread in threading.enumerate():
        if thread.name == "range":
            thread.join(30)
            assert not thread.is_alive()


def test_a_web_server_is_read_in_ranges(web: Any, noise: bytes) -> None:
    web.files["/some/noise.bin"] = noise
    with Url(f"{web.endpoint}/some/noise.bin").open() as file:
        assert file.read() == noise


def test_a_web_server_that_sends_files_only_as_a_whole_is_refused_unless_they_are_small(
    web: Any, noise: bytes
) -> None:
    web.files |= {"/noise.bin": noise, "/small.bin": b"small"}
    web.ranges = False
    assert Url(f"{web.endpoint}/small.bin").open().read() == b"small"
    with (
        Url(f"{web.endpoint}/noise.bin").open() as file,
        pytest.raises(StorageError, match="only as a whole"),
    ):
        file.read()


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, r"access is refused \(401\); put them into ~/.netrc"),
        (404, "there is no such object"),
        (500, r"the server fails \(500\), 3 times"),
    ],
)
def test_what_a_web_server_refuses_is_told(status: int, words: str, web: Any) -> None:
    web.status = status
    with pytest.raises(StorageError, match=words):
        Url(f"{web.endpoint}/x.tar").look()


def test_a_web_server_that_changes_a_file_is_noticed(web: Any, noise: bytes) -> None:
    web.files["/noise.bin"] = noise
    with Url(f"{web.endpoint}/noise.bin").open() as file:
        file.read(10)
        web.files["/noise.bin"] = bytes(len(noise))
        with pytest.raises(StorageError, match="has changed"):
            file.read()


def test_credentials_for_a_web_server_come_from_netrc(
    web: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password something\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    web.files["/x"] = b"x"
    assert Url(f"{web.endpoint}/x").open().read() == b"x"
    assert all(each and each.startswith("Basic ") for each in web.authorizations)
