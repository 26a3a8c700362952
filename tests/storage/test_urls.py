"""Which URLs are taken, and that none that carries a secret is passed on."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tui_mia.network import names_a_hub, names_a_url
from tui_mia.spec import AuditSpec, SpecError, check_document, map_paths, read_spec
from tui_mia.storage import Url, is_url, lacking_package, without_credentials, wrong_with


def document(**candidates: Any) -> dict[str, Any]:
    return {
        "model": {"architecture": "ViT-B-32", "pretrained": "openai"},
        "pools": {"candidates": candidates or {"source": "s3://bucket/a.tar"}},
    }


def problem(tmp_path: Path, written: dict[str, Any]) -> str:
    with pytest.raises(SpecError) as error:
        check_document(written, tmp_path, "audit.toml")
    return str(error.value)


@pytest.mark.parametrize(
    "url",
    [
        "s3://AKIAEXAMPLE:hushhush@bucket/a.tar",
        "s3://AKIAEXAMPLE:hush/hushhush@bucket/a.tar",
        "https://somebody:hushhush@host/a.tar",
        "https://somebody:hush/hushhush@host/a.tar",
        "https://hushhush@host/a.tar",
        "https://host/a.tar?X-Amz-Signature=hushhush",
        "https://host/a.tar?x-amz-security-token=hushhush&x=1",
        "https://host/a.tar?sv=2024&sp=r&sig=hushhush%3D",
        "https://host/a.tar?x=1;%73ig=hushhush",
        "https://host/a.tar?access_token=hushhush",
        "https://host/a.tar?Expires=1&Key-Pair-Id=hushhush",
        "https://host/a.tar?GoogleAccessId=hushhush",
        "https://host/a.tar?AWSAccessKeyId=hushhush",
        "gs://bucket/a.tar?X-Goog-Signature=hushhush",
        "http://host/a.tar?apikey=hushhush",
    ],
)
@pytest.mark.parametrize("key", ["source", "sources", "keys", "pretrained"])
def test_a_url_that_carries_a_secret_is_refused_without_repeating_it(
    url: str, key: str, tmp_path: Path
) -> None:
    written = document()
    if key == "pretrained":
        written["model"]["pretrained"] = url
    elif key == "sources":
        written["pools"]["candidates"]["source"] = ["s3://bucket/b.tar", url]
    else:
        written["pools"]["candidates"][key] = url
    said = problem(tmp_path, written)
    assert "credentials come from" in said
    assert "hush" not in said
    (tmp_path / "spec.toml").write_text(
        f'[model]\narchitecture = "ViT-B-32"\npretrained = "openai"\n[pools.candidates]\nsource = "{url}"\n'
    )
    with pytest.raises(SpecError) as error:
        read_spec(tmp_path / "spec.toml")
    assert "hush" not in str(error.value)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://host/a.tar", "ftp:// is not read; known are s3://, gs://, https://, http://"),
        ("file:///etc/passwd", "file:// is not read"),
        ("S3://bucket/a.tar", "S3:// is not read"),
        ("s3:///a.tar", "names no bucket"),
        ("https:///a.tar", "names no server"),
        ("https://host/a b.tar", "has a space in it; write %20"),
        ("https://host/a.tar#b", "write %23"),
        ("s3://bucket/a\x1b[2J.tar", "can't be shown"),
        ("s3://bucket/\u202ea.tar", "can't be shown"),
        ("s3://bucket/a\n.tar", "can't be shown"),
        ("s3://bucket/{000000..999999}.tar", "stands for more than 100,000 names"),
        ("s3://bucket/{a,b}{a,b}" + "{a,b}" * 18 + ".tar", "stands for more than 100,000 names"),
    ],
)
def test_a_url_that_is_not_read_is_said_to_be_none(url: str, words: str, tmp_path: Path) -> None:
    assert words in problem(tmp_path, document(source=url))


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket/a.tar",
        "s3://bucket/some data/@home/a#1.tar",
        "s3://bucket/part-{000..012}.tar",
        "s3://bucket/*/[ab]?.tar",
        "s3://arn:aws:s3:eu-central-1:123456789012:accesspoint/mine/a.tar",
        "gs://bucket/a.parquet",
        "https://host:8443/a%20b.tar?download=1",
        "http://[::1]:8000/a.tar",
    ],
)
def test_all_else_is_taken_as_it_is_written(url: str, tmp_path: Path) -> None:
    spec = check_document(document(source=url), tmp_path, "audit.toml")
    assert spec.pools.candidates.source == [url]


@pytest.mark.parametrize(
    ("table", "key"),
    [("output", "database"), ("model", "architecture"), ("pools.candidates", "image")],
)
def test_what_must_be_on_this_machine_can_t_be_a_url(table: str, key: str, tmp_path: Path) -> None:
    written = document()
    place = written
    for name in table.split("."):
        place = place.setdefault(name, {})
    place[key] = "local-dir:s3://bucket/x" if key == "architecture" else "s3://bucket/x"
    assert f"{table}.{key}: can't be a URL; name a place on this machine" in problem(tmp_path, written)


def test_urls_are_not_taken_for_relative_paths() -> None:
    written = document(source=["s3://bucket/a.tar", "b.tar"], keys="https://host/keys.txt")
    written["model"]["pretrained"] = "gs://bucket/weights.pt"
    mapped = map_paths(written, lambda path: f"/folder/{path}")
    assert mapped["pools"]["candidates"] == {
        "source": ["s3://bucket/a.tar", "/folder/b.tar"],
        "keys": "https://host/keys.txt",
    }
    assert mapped["model"]["pretrained"] == "gs://bucket/weights.pt"


@pytest.mark.parametrize(
    ("scheme", "package", "extra"),
    [
        ("s3", "s3fs", "s3"),
        ("gs", "gcsfs", "gs"),
        ("https", "aiohttp", "https"),
        ("http", "aiohttp", "https"),
    ],
)
def test_without_the_package_of_a_scheme_the_command_that_installs_it_is_told(
    scheme: str, package: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert lacking_package(f"{scheme}://there/a.tar") is None
    monkeypatch.setitem(sys.modules, package, None)
    said = problem(tmp_path, document(source=f"{scheme}://there/a.tar"))
    assert said.endswith(f"{package}, which is not installed: pip install 'tui-mia[{extra}]'")


def test_the_parts_of_a_url() -> None:
    url = Url("https://host:80/a/b/c.tar.gz?download=1/2.zip")
    assert (url.scheme, url.host, url.name, url.suffix) == ("https", "host:80", "c.tar.gz", ".gz")
    assert str(url.parent) == "https://host:80/a/b/"
    assert Url("s3://bucket/what?.CSV").suffix == ".CSV"
    assert Url("s3://bucket").name == ""
    assert Url("s3://bucket/folder/").name == ""
    assert str(Url("s3://bucket/a.csv").parent) == "s3://bucket/"


def test_what_is_no_url_is_a_path() -> None:
    for path in ("s3:/a", "a.tar", "/a//b", "local-dir:x", "hf-hub:a/b", "C:\\a", "://a", ""):
        assert not is_url(path)


def test_texts_lose_what_may_be_secret_in_their_urls() -> None:
    text = "at s3://a:b/c@d/e and https://f/g?h=i, 'http://j?k'"
    assert without_credentials(text) == "at s3://...@d/e and https://f/g?... 'http://j?...'"


def test_a_spec_that_names_a_url_may_use_the_network_and_no_hub() -> None:
    local = {"architecture": "local-dir:/m"}
    for written in (
        {"model": local, "pools": {"candidates": {"source": ["a.tar", "s3://bucket/a.tar"]}}},
        {"model": local, "pools": {"candidates": {"source": "a.tar", "keys": "https://h/k"}}},
        {
            "model": {"architecture": "ViT-B-32", "pretrained": "gs://bucket/w.pt"},
            "pools": {"candidates": {"source": "a.tar"}},
        },
    ):
        spec = AuditSpec.model_validate(written)
        assert names_a_url(spec)
        assert not names_a_hub(spec)
    assert not names_a_url(
        AuditSpec.model_validate({"model": local, "pools": {"candidates": {"source": "a"}}})
    )


def test_every_scheme_is_right_with_a_name() -> None:
    assert all(wrong_with(f"{scheme}://there/a.tar") is None for scheme in ("s3", "gs", "https", "http"))
