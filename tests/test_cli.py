"""The command line: data on stdout, narration on stderr, and exit codes that mean something."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from tui_mia import landing, store
from tui_mia.cli import _exit_code, app
from tui_mia.exit_codes import ExitCode
from tui_mia.runs import Note, RunDirectory, RunDirectoryError
from tui_mia.runs.directory import runs_folder
from tui_mia.runs.identity import inputs_digest
from tui_mia.spec import AuditSpec, SpecError
from tui_mia.store import DatabaseLocked, DatabaseMissing, QueryHandle, list_runs

TuiMia = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def database(finished_run: Any, tmp_path: Path) -> Path:
    """The database of the finished run and its directory, as copies."""
    copy = tmp_path / "audits.duckdb"
    shutil.copy(finished_run.database, copy)
    shutil.copytree(runs_folder(finished_run.database), runs_folder(copy))
    return copy


def asked(*arguments: object) -> str:
    """What a command that goes well prints on stdout."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == ExitCode.DONE, (result.output, result.exception)
    return result.stdout


def test_run_json_prints_one_document_and_nothing_else(finished_run: Any) -> None:
    document = finished_run.document
    assert document.keys() >= {
        "run_id",
        "status",
        "database",
        "run_directory",
        "samples",
        "rejects",
        "seconds",
        "verdict",
        "attacks",
        "blind",
        "checks",
        "skipped",
        "error",
    }
    assert document["status"] == "done"
    assert document["samples"] == {"candidates": 70, "general": 90, "nonmembers": 70}
    assert document["rejects"] == 0
    assert document["database"] == str(finished_run.database)
    assert Path(document["run_directory"]).parent == runs_folder(finished_run.database)
    assert document["seconds"].keys() == {
        "start",
        "plan",
        "load",
        "encode",
        "repeat",
        "sort",
        "attack",
        "check",
        "judge",
    }
    assert document["verdict"].keys() == {"outcome", "reasons"}
    for figures in document["attacks"].values():
        assert {"auc", "interval", "adjusted_auc", "balanced_accuracy", "facts", "verdict"} <= figures.keys()
        assert figures["tpr_at_fpr"].keys() == {"0.1", "0.01", "0.001"}
    for found in document["blind"].values():
        assert found.keys() == {"auc", "interval"}
        assert found["interval"][0] <= found["auc"] <= found["interval"][1]
    assert finished_run.completed.stderr == ""


def test_only_the_owner_can_look_into_a_run_and_its_database(finished_run: Any) -> None:
    run = finished_run.directory.path
    for path in (run.parent, run, *run.rglob("*"), finished_run.database):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


@pytest.mark.parametrize("command", [["runs"], ["show", "latest"], ["query", "SELECT 1"], ["run"]])
def test_a_database_that_is_a_link_to_itself_is_told_so(
    tmp_path: Path, small_audit: Path, tui_mia: TuiMia, command: list[str]
) -> None:
    (tmp_path / "one.duckdb").symlink_to(tmp_path / "two.duckdb")
    (tmp_path / "two.duckdb").symlink_to(tmp_path / "one.duckdb")
    arguments = [*command, small_audit] if command == ["run"] else command
    completed = tui_mia(*arguments, "--db", tmp_path / "one.duckdb")
    assert completed.returncode in (ExitCode.FAILED, ExitCode.USAGE)
    assert "is a link that leads back to itself" in completed.stderr
    assert "Traceback" not in completed.stderr


def test_a_run_directory_that_is_a_link_to_itself_is_none(tmp_path: Path, tui_mia: TuiMia) -> None:
    (tmp_path / "run").symlink_to(tmp_path / "run")
    completed = tui_mia("ingest", tmp_path / "run")
    assert completed.returncode != 0
    assert "is not a run directory" in completed.stderr


def test_what_a_user_writes_for_others_is_made_by_their_own_umask(tmp_path: Path, tui_mia: TuiMia) -> None:
    assert tui_mia("init", tmp_path / "audit.toml", umask=0o027).returncode == 0
    assert stat.S_IMODE((tmp_path / "audit.toml").stat().st_mode) == 0o640


@pytest.mark.skipif(sys.platform != "linux", reason="what a process has open is told by Linux")
def test_what_a_query_spills_is_for_its_owner_only(tmp_path: Path, finished_run: Any) -> None:
    database = tmp_path / "audits.duckdb"
    shutil.copy(finished_run.database, database)
    program = """
import os, stat, sys
from pathlib import Path
from tui_mia.private import keep_private
from tui_mia.store import query
from tui_mia.store.connect import limit_memory
keep_private()
limit_memory("64MB", 1)
sql = "SELECT hash(n) AS h, repeat('x', 100) FROM range(2000000) AS t(n) ORDER BY h"
rows = iter(query(Path(sys.argv[1]), sql))
next(rows)
spilled = [Path(sys.argv[1] + ".tmp"), *Path(sys.argv[1] + ".tmp").rglob("*")]
print(*[stat.S_IMODE(path.stat().st_mode) for path in spilled])
"""
    # From a file: to DuckDB a program without one is a session, which is shown its progress.
    (tmp_path / "spill.py").write_text(program)
    command = [sys.executable, str(tmp_path / "spill.py"), str(database)]
    completed = subprocess.run(command, capture_output=True, text=True, timeout=120, umask=0o022)
    assert completed.returncode == 0, completed.stderr
    modes = [int(mode) for mode in completed.stdout.split()]
    assert len(modes) > 1
    assert all(mode & 0o077 == 0 for mode in modes)


def test_nothing_is_left_running(finished_run: Any) -> None:
    pid = int(finished_run.directory.pid_path.read_text())
    assert not finished_run.directory.is_running()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_run_that_fails_is_exit_code_1_with_its_document_and_the_reason(
    tmp_path: Path, tui_mia: TuiMia
) -> None:
    document = {
        "model": {"architecture": "ViT-B-32", "pretrained": "openai"},
        "pools": {"candidates": {"source": [str(tmp_path / "gone-[red]\x1b[2J.csv")]}},
        "output": {"database": str(tmp_path / "audits.duckdb")},
    }
    spec = AuditSpec.model_validate(document)
    directory = RunDirectory.create(spec, inputs_digest(spec))
    completed = tui_mia("resume", directory.run_id, "--db", tmp_path / "audits.duckdb", "--json")
    assert completed.returncode == ExitCode.FAILED
    printed = json.loads(completed.stdout)
    assert (printed["run_id"], printed["status"]) == (directory.run_id, "failed")
    assert "pools.candidates.source: no file or folder matches" in printed["error"]
    assert completed.stderr.startswith(f"tui-mia: run {directory.run_id} failed: ")
    assert r"gone-[red]\x1b[2J.csv" in completed.stderr
    assert "\x1b" not in completed.stderr
    shown = asked("show", "latest", "--db", tmp_path / "audits.duckdb")
    assert r"gone-[red]\x1b[2J.csv" in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "gone.toml"], "gone.toml: can't be read"),
        (["run", "--set", "model"], "write KEY=VALUE"),
        (["run", "--model", "x", "--candidates", "gone-\x1b[2J.csv"], r"gone-\x1b[2J.csv"),
        (["run", "--model", "x", "--candidates", ".", "--attacks", "cas"], "did you mean 'csa'?"),
        (["run", "--model", "x", "--candidates", ".", "--device", "tpu"], "model.device"),
        (["run", "--model", "x", "--candidates", ".", "--db", "."], "is a folder"),
    ],
)
def test_a_spec_that_is_wrong_is_exit_code_2_with_a_line_on_stderr(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = main(arguments, monkeypatch, capsys)
    assert code == ExitCode.USAGE
    assert out == ""
    assert err.startswith("tui-mia: ")
    assert words in err
    assert "\x1b" not in err
    assert list(tmp_path.iterdir()) == []


def test_an_empty_tag_takes_away_that_of_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    spec = tmp_path / "audit.toml"
    spec.write_text("[model]\narchitecture = 'ViT-B-32'\npretrained = 'openai'\n")
    arguments = ["check", str(spec), "--model", "hf-hub:org/name", "--candidates", str(tmp_path / "gone.csv")]
    _, _, err = main(arguments, monkeypatch, capsys)
    assert "model.pretrained: hf-hub:org/name has weights of its own, and openai would not be loaded" in err
    code, _, err = main([*arguments, "--pretrained", ""], monkeypatch, capsys)
    assert code == ExitCode.USAGE
    assert "gone.csv" in err
    assert "pretrained" not in err


def main(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[object, str, str]:
    """The whole command line in this process: exit code, stdout, stderr."""
    from tui_mia.cli import main

    monkeypatch.setattr(sys, "argv", ["tui-mia", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    captured = capsys.readouterr()
    return caught.value.code, captured.out, captured.err


@pytest.mark.parametrize("threads", [1, 2])
def test_control_c_in_the_middle_of_a_statement_is_exit_code_130_without_a_word(
    threads: int, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    """With one thread DuckDB hears it, with more it may not, because the main thread has nothing to do."""

    def ask_for_ever(path: Path, sql: str, handle: QueryHandle) -> None:
        interrupting.start()
        with duckdb.connect(config={"threads": threads}) as connection, handle.holding(connection):
            connection.execute(sql)

    interrupting = threading.Timer(0.2, os.kill, [os.getpid(), signal.SIGINT])
    monkeypatch.setattr(store, "query", ask_for_ever)
    monkeypatch.setattr(landing, "land_left_behind", lambda database: [])
    command = ["query", "SELECT count(*) FROM range(10_000_000_000_000)", "--db", str(tmp_path / "a.duckdb")]
    assert main(command, monkeypatch, capsys) == (ExitCode.INTERRUPTED, "", "")
    interrupting.join()


@pytest.mark.parametrize("arguments", [["run", "--nonsense"], ["nonsense"], ["export", "latest"]])
def test_a_command_line_that_is_wrong_is_exit_code_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    code, out, _ = main(arguments, monkeypatch, capsys)
    assert (code, out) == (ExitCode.USAGE, "")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DatabaseLocked("held"), ExitCode.LOCKED),
        (SpecError("wrong"), ExitCode.USAGE),
        (DatabaseMissing("gone"), ExitCode.FAILED),
        (RunDirectoryError("gone"), ExitCode.FAILED),
        (OSError(28, "No space left on device"), ExitCode.FAILED),
        (ZeroDivisionError("ours"), None),
    ],
)
def test_each_error_has_its_exit_code_and_a_defect_of_ours_has_none(
    error: Exception, code: ExitCode | None
) -> None:
    assert _exit_code(error) == code


@pytest.mark.parametrize(
    "command", [["runs"], ["show", "latest"], ["query", "SELECT 1"], ["delete", "latest", "--yes"]]
)
def test_a_database_that_is_not_there_is_named(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    missing = tmp_path / "none" / "audits.duckdb"
    code, out, err = main([*command, "--db", str(missing)], monkeypatch, capsys)
    assert (code, out) == (ExitCode.FAILED, "")
    assert f"there is no database at {missing}" in err
    assert not missing.parent.exists()


def test_runs_and_show_tell_of_the_run(database: Path, finished_run: Any) -> None:
    run_id = finished_run.run_id
    assert run_id in asked("runs", "--db", database)
    (overview,) = json.loads(asked("runs", "--db", database, "--json"))
    assert overview["run_id"] == run_id
    for reference in (run_id, run_id[:-2], "latest"):
        shown = asked("show", reference, "--db", database)
        assert f"{run_id}: done" in shown
        assert "wsa_rich" in shown
    document = json.loads(asked("show", "latest", "--db", database, "--json"))
    assert document["attacks"] == finished_run.document["attacks"]


def test_show_escapes_what_came_from_outside(database: Path, finished_run: Any) -> None:
    directory = RunDirectory(runs_folder(database) / finished_run.run_id)
    from tui_mia.runs import Finished, Launched
    from tui_mia.runs import Skipped as SkippedEvent

    for event in (Launched(), SkippedEvent("csa", "[red]x\x1b[2J"), Finished("failed", "[/]bad\x1b]0;a\x07")):
        directory.append(event)
    shown = asked("show", "latest", "--db", database)
    assert r"[red]x\x1b[2J" in shown
    assert r"[/]bad\x1b]0;a\x07" in shown
    assert "\x1b" not in shown


def test_query_answers_in_csv_or_json(database: Path) -> None:
    sql = "SELECT pool, count(*) AS n FROM samples GROUP BY pool ORDER BY pool"
    expected = [("candidates", "70"), ("general", "90"), ("nonmembers", "70")]
    header, *rows = csv.reader(io.StringIO(asked("query", sql, "--db", database, "--csv")))
    assert header == ["pool", "n"]
    assert [tuple(row) for row in rows] == expected
    documents = json.loads(asked("query", sql, "--db", database, "--json"))
    assert documents == [{"pool": pool, "n": int(count)} for pool, count in expected]


def test_a_query_that_writes_is_refused(
    database: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    code, out, err = main(["query", "DROP TABLE runs", "--db", str(database)], monkeypatch, capsys)
    assert (code, out) == (ExitCode.FAILED, "")
    assert "a query can only read" in err


def test_a_reader_that_leaves_early_ends_a_query_without_a_word(database: Path) -> None:
    command = [sys.executable, "-m", "tui_mia", "query", "SELECT * FROM range(3000000)", "--csv"]
    process = subprocess.Popen(
        [*command, "--db", str(database)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "range\n"
    process.stdout.close()
    assert process.stderr is not None
    error = process.stderr.read()
    process.stderr.close()
    process.wait(60)
    assert error == ""


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".json"])
def test_export_writes_a_row_for_each_scored_sample_and_nothing_over(
    suffix: str, database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    output = tmp_path / f"scores{suffix}"
    arguments = ["export", "latest", str(output), "--db", str(database)]
    code, out, err = main(arguments, monkeypatch, capsys)
    assert (code, out) == (ExitCode.DONE, "")
    assert str(output) in err
    if suffix == ".parquet":
        assert pq.read_table(output).num_rows > 0
    code, out, err = main(arguments, monkeypatch, capsys)
    assert code == ExitCode.FAILED
    assert main([*arguments, "--force"], monkeypatch, capsys)[0] == ExitCode.DONE
    code, _, err = main([*arguments[:2], "scores.xlsx", *arguments[3:]], monkeypatch, capsys)
    assert code == ExitCode.FAILED
    assert "name a file that ends in" in err


def test_delete_takes_a_run_out_of_the_database_and_off_the_disk(database: Path, finished_run: Any) -> None:
    refused = CliRunner().invoke(app, ["delete", "latest", "--db", str(database)], input="n\n")
    assert refused.exit_code != ExitCode.DONE
    assert len(list_runs(database)) == 1
    asked("delete", finished_run.run_id, "--db", database, "--yes")
    assert list_runs(database) == []
    assert list(runs_folder(database).iterdir()) == []


def test_a_run_that_is_going_on_is_not_deleted(
    database: Path, finished_run: Any, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    directory = RunDirectory(runs_folder(database) / finished_run.run_id)
    with directory.claim():
        code, _, err = main(["delete", "latest", "--yes", "--db", str(database)], monkeypatch, capsys)
    assert code == ExitCode.FAILED
    assert "is going on; stop it first" in err
    assert directory.spec_path.exists()


def test_a_run_that_goes_on_while_the_user_is_asked_is_not_deleted(
    database: Path, finished_run: Any, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    directory = RunDirectory(runs_folder(database) / finished_run.run_id)
    with ExitStack() as worker:
        monkeypatch.setattr("typer.confirm", lambda *_, **__: worker.enter_context(directory.claim()))
        code, _, err = main(["delete", "latest", "--db", str(database)], monkeypatch, capsys)
    assert code == ExitCode.FAILED
    assert "is going on; stop it first" in err
    assert any(directory.tables.iterdir())
    assert len(list_runs(database)) == 1


def test_a_run_that_goes_on_while_its_rows_are_deleted_keeps_its_directory(
    database: Path, finished_run: Any, monkeypatch: Any
) -> None:
    directory = RunDirectory(runs_folder(database) / finished_run.run_id)
    with ExitStack() as worker:
        monkeypatch.setattr(landing, "delete_run", lambda *_: worker.enter_context(directory.claim()))
        with pytest.raises(RunDirectoryError, match="is going on; stop it first"):
            landing.forget(database, directory)
    assert any(directory.tables.iterdir())


@pytest.mark.parametrize("reference", ["nonsense", "2"])
def test_resume_needs_the_directory_of_one_run(
    reference: str, database: Path, finished_run: Any, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    twin = runs_folder(database) / ("29991231-" + finished_run.run_id)
    shutil.copytree(runs_folder(database) / finished_run.run_id, twin)
    code, _, err = main(["resume", reference, "--db", str(database)], monkeypatch, capsys)
    assert code == ExitCode.FAILED
    assert ("2 run directories fit" if reference == "2" else "there is no run 'nonsense'") in err


def test_ingest_can_put_a_run_into_another_database(
    database: Path, finished_run: Any, tmp_path: Path
) -> None:
    other = tmp_path / "other.duckdb"
    asked("ingest", runs_folder(database) / finished_run.run_id, "--db", other)
    assert [overview.run.run_id for overview in list_runs(other)] == [finished_run.run_id]


def test_init_writes_a_spec_and_nothing_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    path = tmp_path / "audit.toml"
    code, out, err = main(["init", str(path)], monkeypatch, capsys)
    assert (code, out) == (ExitCode.DONE, "")
    assert f"wrote {path}" in err
    assert "[pools.candidates]" in path.read_text()
    path.write_text("mine")
    code, _, err = main(["init", str(path)], monkeypatch, capsys)
    assert code == ExitCode.USAGE
    assert "--force" in err
    assert path.read_text() == "mine"
    assert main(["init", str(path), "--force"], monkeypatch, capsys)[0] == ExitCode.DONE
    assert path.read_text() != "mine"
    code, _, err = main(["init", str(tmp_path / "no" / "a.toml")], monkeypatch, capsys)
    assert code == ExitCode.FAILED
    assert "can't be written" in err


def test_help_is_quick_because_it_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom tui_mia.cli import main\nsys.argv = ['tui-mia', '--help']\n"
        "try: main()\nexcept SystemExit as end: assert not end.code\n"
        "heavy = {'torch', 'torchvision', 'open_clip', 'sklearn', 'duckdb', 'pydantic', 'pyarrow', 'numpy'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert completed.stderr == "[]\n"
    assert "resume" in completed.stdout
    for command in ("run", "demo", "init", "runs", "show", "query", "export", "delete", "resume", "ingest"):
        assert command in completed.stdout
        assert asked(command, "--help")


def test_a_run_that_was_cut_off_can_be_deleted(database: Path) -> None:
    cut_off = runs_folder(database) / "20200101-000000-dead"
    cut_off.mkdir()
    assert CliRunner().invoke(app, ["delete", "20200101", "--yes", "--db", str(database)]).exit_code == 0
    assert not cut_off.exists()
    assert len(list_runs(database)) == 1


def test_runs_names_a_run_that_was_cut_off_and_how_to_go_on(database: Path, tui_mia: TuiMia) -> None:
    cut_off = runs_folder(database) / "20200101-000000-dead"
    cut_off.mkdir()
    (finished,) = (path for path in runs_folder(database).iterdir() if path != cut_off)
    shutil.copy(finished / "spec.toml", cut_off)
    completed = tui_mia("runs", "--db", database)
    assert completed.returncode == ExitCode.DONE
    assert "tui-mia resume 20200101-000000-dead" in completed.stderr


def test_the_same_spec_again_gives_the_same_bytes(finished_run: Any, tmp_path: Path, tui_mia: TuiMia) -> None:
    """In another database, where everything is encoded anew, and there again, where nothing is."""
    for reused in (False, True):
        again = tui_mia("run", finished_run.spec_path, "--db", tmp_path / "again.duckdb", "--json")
        second = RunDirectory.open(Path(json.loads(again.stdout)["run_directory"]))
        said = [event.message for event in second.events() if isinstance(event, Note)]
        assert (
            any(message.endswith("had been encoded by an earlier run and are reused") for message in said)
            is reused
        )
        for table in ("scores", "similarities"):
            first_bytes = (finished_run.directory.tables / f"{table}.parquet").read_bytes()
            assert (second.tables / f"{table}.parquet").read_bytes() == first_bytes


def test_config_says_where_the_settings_are_and_what_they_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    missing = CliRunner().invoke(app, ["config"])
    assert "not there" in missing.stderr
    path = tmp_path / "tui-mia" / "settings.toml"
    path.parent.mkdir()
    path.write_text('theme = "nord"\n[keymap]\n"app.quit" = "f12"\n')
    there = CliRunner().invoke(app, ["config", "--json"])
    said = json.loads(there.stdout)
    assert said["path"] == str(path)
    assert said["exists"]
    assert said["theme"] == "nord"
    assert said["mouse"] is True
    assert said["keymap"] == {"app.quit": "f12"}


def test_settings_that_are_wrong_are_exit_code_2(tmp_path: Path, tui_mia: TuiMia) -> None:
    path = tmp_path / "tui-mia" / "settings.toml"
    path.parent.mkdir()
    path.write_text("images = 3\n")
    completed = tui_mia("config", env={**os.environ, "XDG_CONFIG_HOME": str(tmp_path)})
    assert completed.returncode == 2
    assert f"{path}: images: must be one of auto" in completed.stderr


def test_config_lists_the_keys_that_can_be_changed(tui_mia: TuiMia) -> None:
    listed = json.loads(tui_mia("config", "--keys", "--json").stdout)
    by_id = {key["id"]: key for key in listed}
    assert by_id["app.quit"]["keys"] == "q,ctrl+c"
    assert by_id["runs.cancel"]["does"]
    assert "app.quit" in tui_mia("config", "--keys").stdout


def test_options_of_the_app_before_a_command_are_refused(tmp_path: Path, tui_mia: TuiMia) -> None:
    completed = tui_mia("--db", tmp_path / "a.duckdb", "runs")
    assert completed.returncode == 2
    assert "tui-mia runs --db PATH" in completed.stderr
