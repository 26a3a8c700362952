"""Audits of what is in a store: the same as of files, whatever goes wrong on the way."""

from __future__ import annotations

import json
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.conftest import SMALL_AUDIT
from tests.storage.conftest import SECRET

TuiMia = Callable[..., subprocess.CompletedProcess[str]]

PASSWORD = "hush-of-the-netrc"


@pytest.fixture
def pools(s3: Any, world: Path) -> str:
    """The pools of the sample world in a store; what to write for their folder."""
    for name in ("candidates", "nonmembers", "general"):
        s3.put(f"pool/world/{name}.tar", (world / f"{name}.tar").read_bytes())
    return "s3://pool/world"


@pytest.fixture
def audit(pools: str, world: Path, tmp_path: Path) -> Path:
    """The spec of the small audit, with its pools in a store."""
    path = tmp_path / "audit.toml"
    text = SMALL_AUDIT.format(world=world).replace(f'source = "{world}/', f'source = "{pools}/')
    assert text.count("s3://") == 3
    path.write_text(text)
    return path


def run(tui_mia: TuiMia, audit: Path, *options: str) -> dict[str, Any]:
    completed = tui_mia("run", audit, "--db", audit.parent / "a.duckdb", "--json", *options)
    assert completed.returncode == 0, completed.stderr
    document: dict[str, Any] = json.loads(completed.stdout)
    return document


def tables_of(run_directory: str | Path) -> dict[str, list[dict[str, Any]]]:
    """What is the same of an audit wherever its pairs come from."""
    names = ("similarities", "scores", "baselines", "metrics", "verdicts", "duplicates")
    return {
        name: pq.read_table(Path(run_directory) / "tables" / f"{name}.parquet").to_pylist() for name in names
    }


def test_an_audit_of_what_is_in_a_store_has_the_very_scores_of_one_of_files(
    audit: Path, finished_run: Any, tui_mia: TuiMia
) -> None:
    document = run(tui_mia, audit)
    assert repr(tables_of(document["run_directory"])) == repr(tables_of(finished_run.directory.path))
    samples = pq.read_table(Path(document["run_directory"]) / "tables" / "samples.parquet")
    assert set(samples["source"].to_pylist()) == {
        f"s3://pool/world/{name}.tar" for name in ("candidates", "nonmembers", "general")
    }


def test_a_store_that_fails_now_and_then_costs_an_audit_nothing(
    audit: Path, between: Any, finished_run: Any, tui_mia: TuiMia
) -> None:
    faults = {2: 500, 5: "cut", 8: "reset", 11: 503, 14: "cut", 17: 429}
    between.fault = lambda asked: faults.get(asked.number)
    document = run(tui_mia, audit)
    assert repr(tables_of(document["run_directory"])) == repr(tables_of(finished_run.directory.path))
    assert len(between.asked) > max(faults)


def test_what_was_encoded_of_objects_that_have_not_changed_is_not_encoded_again(
    audit: Path, s3: Any, world: Path, tui_mia: TuiMia
) -> None:
    first = run(tui_mia, audit, "--attacks", "csa")
    assert "had been encoded by an earlier run" not in said(first)
    second = run(tui_mia, audit, "--attacks", "csa")
    assert "230 of 230 pairs had been encoded by an earlier run and are reused" in said(second)
    s3.put("pool/world/general.tar", (world / "general.tar").read_bytes() + bytes(512))
    third = run(tui_mia, audit, "--attacks", "csa")
    assert "140 of 230 pairs had been encoded by an earlier run and are reused" in said(third)


def said(document: dict[str, Any]) -> str:
    return (Path(document["run_directory"]) / "events.jsonl").read_text()


def test_a_store_that_stays_down_ends_a_run_which_goes_on_once_it_is_back(
    audit: Path, between: Any, s3: Any, world: Path, finished_run: Any, tui_mia: TuiMia
) -> None:
    between.fault = lambda asked: 503 if asked.range and "general" in asked.path else None
    database = audit.parent / "a.duckdb"
    failed = tui_mia("run", audit, "--db", database, "--attacks", "csa")
    assert failed.returncode == 1
    assert "pools.general: s3://pool/world/general.tar: the server fails (503), 6 times in a" in failed.stderr
    [folder] = (path.parent for path in database.with_name("a.duckdb.runs").glob("*/spec.toml"))
    assert "Traceback" not in (folder / "worker.log").read_text()
    assert_no_secret(audit.parent, failed.stdout, failed.stderr)

    between.fault = lambda asked: 503
    unknown = tui_mia("resume", folder.name, "--db", database)
    assert unknown.returncode == 1
    assert "the server fails (503), 3 times in a row" in unknown.stderr
    assert "have changed" not in unknown.stderr

    between.fault = lambda asked: None
    s3.put("pool/world/general.tar", (world / "nonmembers.tar").read_bytes())
    changed = tui_mia("resume", folder.name, "--db", database)
    assert changed.returncode == 1
    assert "its input files have changed since" in changed.stderr

    s3.put("pool/world/general.tar", (world / "general.tar").read_bytes())
    completed = tui_mia("resume", folder.name, "--db", database)
    assert completed.returncode == 0, completed.stderr
    expected = tables_of(finished_run.directory.path)
    plain = [row for row in expected["similarities"] if row["view"] == 0]
    assert tables_of(folder)["similarities"] == plain
    of_csa = [row for row in expected["scores"] if row["attack"] == "csa"]
    assert tables_of(folder)["scores"] == of_csa


@pytest.mark.parametrize(
    ("status", "words"), [(403, "access is refused (403"), (404, "there is no such object")]
)
def test_what_is_refused_is_told_before_a_run_is_made(
    status: int, words: str, audit: Path, between: Any, tui_mia: TuiMia
) -> None:
    between.fault = lambda asked: status if "general" in asked.path else None
    completed = tui_mia("run", audit, "--db", audit.parent / "a.duckdb")
    assert completed.returncode == 1
    assert completed.stderr.startswith(f"tui-mia: s3://pool/world/general.tar: {words}")
    assert not list(audit.parent.glob("*.runs/*"))
    assert_no_secret(audit.parent, completed.stdout, completed.stderr)


def test_no_credential_is_left_anywhere(
    audit: Path, s3: Any, tui_mia: TuiMia, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = audit.parent / "home" / "netrc"
    netrc.parent.mkdir()
    netrc.write_text(f"machine 127.0.0.1 login a password {PASSWORD}\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("AWS_SESSION_TOKEN", f"session-{SECRET}")
    database = audit.parent / "a.duckdb"
    completed = tui_mia("run", audit, "--db", database, "--verbose", cwd=audit.parent)
    assert completed.returncode == 0, completed.stderr
    bundle = tui_mia("doctor", "--bundle", "latest", "--db", database, cwd=audit.parent)
    assert bundle.returncode == 0, bundle.stderr
    checked = tui_mia("check", audit, "--quick", cwd=audit.parent)
    report = tui_mia("report", "latest", "--db", database, cwd=audit.parent)
    assert report.returncode == 0, report.stderr
    netrc.unlink()
    texts = [each.stdout + each.stderr for each in (completed, bundle, checked, report)]
    assert_no_secret(audit.parent, *texts)


def assert_no_secret(folder: Path, *texts: str) -> None:
    for content in (*map(str.encode, texts), *contents_below(folder)):
        assert SECRET.encode() not in content
        assert PASSWORD.encode() not in content
        assert b"Signature=" not in content


def contents_below(folder: Path) -> Iterator[bytes]:
    for path in folder.rglob("*"):
        if path.is_file():
            yield path.read_bytes()
        if path.name.endswith(".tar.gz"):
            with tarfile.open(path) as archive:
                yield from (archive.extractfile(member).read() for member in archive)  # type: ignore[union-attr]


def test_a_check_knows_of_pools_in_a_store_what_it_knows_of_files(
    audit: Path, s3: Any, world: Path, tui_mia: TuiMia, tmp_path: Path
) -> None:
    of_store = tui_mia("check", audit, "--json")
    assert of_store.returncode == 0, of_store.stderr
    local = tmp_path / "local.toml"
    local.write_text(SMALL_AUDIT.format(world=world))
    of_files = tui_mia("check", local, "--json")
    pools, expected = (json.loads(each.stdout)["pools"] for each in (of_store, of_files))
    for pool in expected:
        for source in (*pools[pool]["sources"], *expected[pool]["sources"]):
            del source["source"]
    assert pools == expected
    s3.delete("pool/world/general.tar")
    missing = tui_mia("check", audit, "--json")
    assert missing.returncode != 0
    assert "s3://pool/world/general.tar: there is no such object" in missing.stdout


def test_a_web_server_serves_an_audit(
    web: Any, world: Path, audit: Path, finished_run: Any, tui_mia: TuiMia
) -> None:
    for name in ("candidates", "nonmembers", "general"):
        web.files[f"/{name}.tar"] = (world / f"{name}.tar").read_bytes()
    audit.write_text(audit.read_text().replace("s3://pool/world", web.endpoint))
    document = run(tui_mia, audit)
    assert repr(tables_of(document["run_directory"])) == repr(tables_of(finished_run.directory.path))
