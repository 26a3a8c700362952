"""The archive for a bug report: all that helps, of any run, and nothing of anybody's pairs."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tui_mia.bundle import clean_log, run_to_bundle, shortened, without_quotes, write_bundle
from tui_mia.exit_codes import ExitCode
from tui_mia.runs import Finished, Note, RunDirectory, RunDirectoryError, Started
from tui_mia.runs.directory import runs_folder
from tui_mia.spec import load_spec
from tui_mia.store.connect import writing

TuiMia = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def unfinished(tmp_path: Path, small_audit: Path) -> RunDirectory:
    """A run that was cut off early, of a database that never was."""
    spec = load_spec(small_audit, {"output.database": str(tmp_path / "audits.duckdb")})
    directory = RunDirectory.create(spec, "")
    directory.append(Started(1, {"tui-mia": "0.1"}))
    return directory


def contents(path: Path) -> dict[str, str]:
    with tarfile.open(path) as tar:
        return {Path(member.name).name: tar.extractfile(member).read().decode() for member in tar}  # type: ignore[union-attr]


def bundled(directory: RunDirectory, folder: Path) -> dict[str, str]:
    return contents(write_bundle(directory, directory.database, folder).path)


def test_a_finished_run_is_told_by_its_counts_and_verdicts_and_by_none_of_its_samples(
    finished_run: Any, tmp_path: Path
) -> None:
    directory: RunDirectory = finished_run.directory
    found = bundled(directory, tmp_path)
    assert found.keys() == {
        "about.txt", "spec.toml", "versions.json", "machine.json", "run.json", "events.jsonl", "worker.log"
    }  # fmt: skip
    run = json.loads(found["run.json"])
    assert run["status"] == "done"
    assert {pool["pool"]: pool["samples"] for pool in run["pools"]} == finished_run.document["samples"]
    assert next(each for each in run["verdicts"] if each["attack"] is None)["reasons"]
    assert sum(each["rejects"] for each in run["rejects"]) == finished_run.document["rejects"]
    assert run["database"]["has_run"] is True
    assert json.loads(found["versions.json"])["attempts"][0]["torch"]
    assert json.loads(found["machine.json"])["cores"] >= 1
    assert len(found["events.jsonl"].splitlines()) == len(directory.events())
    samples = pq.read_table(directory.tables / "samples.parquet")
    everything = "\n".join(found.values())
    for caption in set(samples["caption"].to_pylist()) - {""}:
        assert caption not in everything


def test_a_run_that_was_cut_off_is_bundled_without_a_database(
    unfinished: RunDirectory, tmp_path: Path
) -> None:
    run = json.loads(bundled(unfinished, tmp_path)["run.json"])
    assert (run["status"], run["pools"], run["verdicts"], run["error"]) == ("cut off", None, None, None)
    assert run["database"]["bytes"] is None
    with unfinished.claim():
        assert json.loads(bundled(unfinished, tmp_path)["run.json"])["status"] == "running"


def test_a_run_is_bundled_while_its_database_is_held(finished_run: Any, tmp_path: Path) -> None:
    database = tmp_path / "audits.duckdb"
    shutil.copytree(finished_run.directory.path, runs_folder(database) / finished_run.run_id)
    shutil.copyfile(finished_run.database, database)
    with writing(database, wait_seconds=1):
        run = json.loads(bundled(run_to_bundle(database, "latest"), tmp_path)["run.json"])
    assert run["verdicts"]
    assert run["database"]["has_run"] is None
    assert "is held by" in run["database"]["problem"]


def test_what_a_run_says_loses_what_it_quotes_of_the_pools(unfinished: RunDirectory, tmp_path: Path) -> None:
    secret = "Jane Doe at the clinic"
    error = f"nothing usable; all 3 entries were rejected, most often: no file {secret + '.png'!r}"
    unfinished.append(Note(f"can't use {secret!r}, won't try again", "warning"))
    unfinished.append(Finished("failed", error))
    with unfinished.events_path.open("a") as events:
        events.write(f'{{"event": "note", "message": "{secret}')
    unfinished.log_path.write_text(f"Traceback:\n  File 'x.py', line 1\nKeyError: {secret!r}\n")
    found = bundled(unfinished, tmp_path)
    assert not [name for name, text in found.items() if "Jane" in text]
    assert "can't use '...', won't try again" in found["events.jsonl"]
    assert '{"event": "unreadable", "bytes": ' in found["events.jsonl"]
    assert found["worker.log"] == "Traceback:\n  File 'x.py', line 1\nKeyError: '...'\n"
    assert json.loads(found["run.json"])["error"].endswith("no file '...'")


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("can't be read: it isn't there", "can't be read: it isn't there"),
        ("member is 'x'; write true", "member is '...'; write true"),
        (r"""no file 'it\'s.png' here""", "no file '...' here"),
        ('no file "it\'s.png" here', "no file '...' here"),
        ("no file 'it's mine.png' here", "no file '...' here"),
        ("bytes b'abc' here", "bytes '...' here"),
        ("no file 'cut sho...", "no file '...'"),
        ("'a' and 'b'\nthe next 'c'", "'...' and '...'\nthe next '...'"),
    ],
)
def test_quotes_are_emptied_and_apostrophes_are_none(said: str, left: str) -> None:
    assert without_quotes(said) == left


def test_the_home_folder_is_a_tilde(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/jane")
    assert shortened("/home/jane/a.tar, /home/janet/b.tar, /home/jane") == "~/a.tar, /home/janet/b.tar, ~"
    assert clean_log('  File "/home/jane/x.py"\n') == '  File "~/x.py"\n'
    monkeypatch.setenv("HOME", "/")
    assert shortened("/data/a.tar") == "/data/a.tar"


def test_what_cannot_be_read_is_named_and_keeps_nobody_from_the_rest(
    unfinished: RunDirectory, tmp_path: Path
) -> None:
    unfinished.log_path.mkdir()
    (unfinished.tables / "verdicts.parquet").write_bytes(b"no table")
    bundle = write_bundle(unfinished, unfinished.database, tmp_path)
    assert bundle.left_out[-1].startswith("worker.log: ")
    found = contents(bundle.path)
    assert "worker.log" not in found
    assert bundle.left_out[-1] in found["about.txt"]
    assert json.loads(found["run.json"])["verdicts"].startswith("can't be read: ")


def test_no_archive_is_written_over_and_only_its_owner_may_look(
    unfinished: RunDirectory, tmp_path: Path
) -> None:
    paths = [write_bundle(unfinished, unfinished.database, tmp_path).path for _ in range(3)]
    name = f"tui-mia-{unfinished.run_id}"
    assert [path.name for path in paths] == [f"{name}{end}.tar.gz" for end in ("", "-2", "-3")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o600}


def test_an_archive_that_cannot_be_written_is_an_error_with_its_folder(
    unfinished: RunDirectory, tmp_path: Path
) -> None:
    with pytest.raises(RunDirectoryError, match="gone: the bundle can't be written: No such file"):
        write_bundle(unfinished, unfinished.database, tmp_path / "gone")


def test_a_run_is_found_by_its_directory_alone(unfinished: RunDirectory, tmp_path: Path) -> None:
    database = tmp_path / "audits.duckdb"
    older = runs_folder(database) / "20200101-000000-aaaa"
    shutil.copytree(unfinished.path, older)
    for name in (
        "latest",
        unfinished.run_id,
        unfinished.run_id[:15],
        str(unfinished.path),
    ):
        assert run_to_bundle(database, name).run_id == unfinished.run_id
    assert run_to_bundle(database, "2020").path == older
    with pytest.raises(RunDirectoryError, match="2 run directories fit '20'"):
        run_to_bundle(database, "20")
    with pytest.raises(
        RunDirectoryError, match=f"no run directory for 'x'.*newest first: {unfinished.run_id}"
    ):
        run_to_bundle(database, "x")


def test_the_command_says_what_is_inside_and_what_was_left_out(
    unfinished: RunDirectory, tmp_path: Path, tui_mia: TuiMia
) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    arguments = ("doctor", "--db", unfinished.database, "--bundle", "latest")
    completed = tui_mia(*arguments, cwd=folder)
    assert completed.returncode == ExitCode.DONE, completed.stderr
    assert completed.stdout == ""
    assert f"wrote tui-mia-{unfinished.run_id}.tar.gz" in completed.stderr
    assert "left out:\n  images, captions" in completed.stderr
    document = json.loads(tui_mia(*arguments, "--json", cwd=folder).stdout)
    assert sorted(folder.iterdir()) == sorted(
        [Path(document["path"]), folder / f"tui-mia-{unfinished.run_id}.tar.gz"]
    )
    missing = tui_mia("doctor", "--db", unfinished.database, "--bundle", "nothing", cwd=folder)
    assert (missing.returncode, len(list(folder.iterdir()))) == (ExitCode.FAILED, 2)
