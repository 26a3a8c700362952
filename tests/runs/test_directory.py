"""The run directory, and which run is which."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from tui_mia.runs import Finished, Launched, Note, RunDirectory, RunDirectoryError, find_unfinished
from tui_mia.runs.directory import HALF_MADE, runs_folder
from tui_mia.runs.files import private_folder
from tui_mia.runs.identity import inputs_digest
from tui_mia.runs.scan import scan
from tui_mia.spec import AuditSpec, dump_spec, load_spec

KILLED_WHILE_MAKING = """
import os, signal, sys, tempfile
from pathlib import Path
from tui_mia.runs import RunDirectory
from tui_mia.spec import read_spec

left, replace = int(sys.argv[1]), os.replace

def dying(*arguments):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(*arguments)

os.replace = dying
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, "spec.toml")
    path.write_text(sys.stdin.read())
    spec = read_spec(path)
RunDirectory.create(spec, "")
"""


@pytest.fixture
def spec(tmp_path: Path) -> AuditSpec:
    (tmp_path / "pairs.csv").write_text("image,caption\n")
    return load_spec(
        None,
        {
            "model.architecture": "ViT-B-32",
            "pools.candidates.source": str(tmp_path / "pairs.csv"),
            "output.database": str(tmp_path / "audits.duckdb"),
        },
    )


@pytest.fixture
def directory(spec: AuditSpec) -> RunDirectory:
    return RunDirectory.create(spec, inputs_digest(spec))


def test_a_new_run_lies_beside_its_database_and_only_its_owner_may_look(
    spec: AuditSpec, directory: RunDirectory, tmp_path: Path
) -> None:
    assert directory.path.parent == tmp_path / "audits.duckdb.runs"
    assert stat.S_IMODE(directory.path.stat().st_mode) == 0o700
    assert directory.spec() == spec
    assert directory.events() == []
    assert not directory.is_running()
    assert directory.worker() is None
    assert RunDirectory.open(directory.path) == directory


def test_every_new_run_has_an_id_of_its_own(spec: AuditSpec) -> None:
    assert len({RunDirectory.create(spec, "").run_id for _ in range(5)}) == 5


def test_who_is_killed_while_a_directory_is_made_leaves_no_run_and_nothing_for_long(spec: AuditSpec) -> None:
    folder = runs_folder(Path(spec.output.database))
    for renames in range(2):
        command = [sys.executable, "-c", KILLED_WHILE_MAKING, str(renames)]
        subprocess.run(command, input=dump_spec(spec), text=True, check=False)
        (left,) = folder.iterdir()
        assert left.name.startswith(HALF_MADE)
        assert scan(folder) == {}
        assert find_unfinished(spec, inputs_digest(spec)) is None
    made = RunDirectory.create(spec, "")
    assert list(folder.iterdir()) == [made.path]
    assert sorted(path.name for path in made.path.iterdir()) == ["inputs", "parts", "spec.toml", "tables"]


def test_a_directory_that_is_being_made_is_left_to_who_makes_it(
    spec: AuditSpec, directory: RunDirectory
) -> None:
    folder = directory.path.parent
    with private_folder(folder, HALF_MADE) as theirs:
        other = RunDirectory.create(spec, "")
        assert sorted(folder.iterdir()) == sorted([theirs, directory.path, other.path])


def test_the_folder_of_a_database_is_made_when_it_is_missing(spec: AuditSpec, tmp_path: Path) -> None:
    elsewhere = spec.model_copy(
        update={
            "output": spec.output.model_copy(update={"database": str(tmp_path / "new" / "deep" / "a.duckdb")})
        }
    )
    assert RunDirectory.create(elsewhere, "").path.is_dir()


def test_a_place_where_no_directory_can_be_made_is_an_error_that_names_it(
    spec: AuditSpec, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    nowhere = str(tmp_path / "file" / "a.duckdb")
    wrong = spec.model_copy(update={"output": spec.output.model_copy(update={"database": nowhere})})
    with pytest.raises(RunDirectoryError, match=r"a\.duckdb\.runs.*can't be made: Not a directory"):
        RunDirectory.create(wrong, "")


@pytest.mark.parametrize("name", [".", "gone"])
def test_what_is_no_run_directory_is_not_opened(tmp_path: Path, name: str) -> None:
    with pytest.raises(RunDirectoryError, match=r"is not a run directory; it has no spec\.toml"):
        RunDirectory.open(tmp_path / name)


def test_a_broken_spec_is_an_error_that_names_it(directory: RunDirectory) -> None:
    directory.spec_path.write_text("[model")
    with pytest.raises(RunDirectoryError, match=r"spec\.toml: is not valid TOML"):
        directory.spec()


def test_a_run_can_be_read_after_its_inputs_are_gone(
    spec: AuditSpec, directory: RunDirectory, tmp_path: Path
) -> None:
    (tmp_path / "pairs.csv").unlink()
    assert directory.spec() == spec


def test_a_run_belongs_to_the_database_beside_it_also_where_both_were_moved(
    directory: RunDirectory, tmp_path: Path
) -> None:
    assert directory.database == tmp_path / "audits.duckdb"
    moved = tmp_path / "moved" / "other.duckdb"
    shutil.copytree(directory.path.parent, runs_folder(moved))
    assert RunDirectory.open(runs_folder(moved) / directory.run_id).database == moved
    alone = shutil.copytree(directory.path, tmp_path / "sent-home")
    assert RunDirectory.open(alone).database == tmp_path / "audits.duckdb"


HOLD = """
import os, sys
print("ready", flush=True)
sys.stdin.readline()
"""


def hold(pid_file: IO[bytes]) -> subprocess.Popen[str]:
    """A process that holds what a worker holds."""
    command = [sys.executable, "-c", HOLD]
    child = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        pass_fds=(pid_file.fileno(),),
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def test_a_run_has_a_worker_as_long_as_that_process_lives_and_never_two(directory: RunDirectory) -> None:
    with directory.claim() as pid_file:
        assert pid_file is not None
        assert directory.is_running()
        assert directory.worker() is None
        child = hold(pid_file)
        pid_file.write(str(child.pid).encode())
    assert directory.worker() == child.pid
    with directory.claim() as second:
        assert second is None
    assert directory.worker() == child.pid
    child.kill()
    child.communicate()
    assert not directory.is_running()
    assert directory.worker() is None
    with directory.claim() as third:
        assert third is not None


@pytest.mark.parametrize(
    "content",
    ["", "nonsense", "999999999", pytest.param(str(os.getpid()), id="a process that is there"), "1"],
)
def test_a_pid_file_that_nobody_holds_is_no_worker_whoever_has_that_pid_now(
    directory: RunDirectory, content: str
) -> None:
    directory.pid_path.write_text(content)
    assert not directory.is_running()
    assert directory.worker() is None


def test_the_log_is_read_from_its_end(directory: RunDirectory) -> None:
    assert directory.log_tail() == ""
    directory.log_path.write_bytes(b"\xff first\n" + b"".join(b"%d\n" % number for number in range(20)))
    assert directory.log_tail(2) == "18\n19"
    with directory.log_path.open("ab") as log:
        log.write(b"x" * 2**20 + b"\nthe end\n")
    assert directory.log_tail(1) == "the end"
    assert len(directory.log_tail()) < 2**17


def test_the_unfinished_run_of_the_same_spec_is_found(spec: AuditSpec, directory: RunDirectory) -> None:
    inputs = inputs_digest(spec)
    assert find_unfinished(spec, inputs) == directory
    cut_off = Finished("failed", "the worker was killed", cut_off=True)
    for event in (Launched(), cut_off, Launched(), Finished("cancelled")):
        directory.append(event)
        assert find_unfinished(spec, inputs) == directory
    directory.append(Launched())
    directory.append(Finished("done"))
    assert find_unfinished(spec, inputs) is None


def test_a_run_that_failed_is_not_gone_on_with_unasked(spec: AuditSpec, directory: RunDirectory) -> None:
    directory.append(Finished("failed", "all entries were rejected"))
    assert find_unfinished(spec, inputs_digest(spec)) is None


def test_a_run_that_is_done_hides_those_before_it(spec: AuditSpec, directory: RunDirectory) -> None:
    later = directory.path.with_name("99999999-000000-aaaa")
    shutil.copytree(directory.path, later)
    RunDirectory(later).append(Finished("done"))
    assert find_unfinished(spec, inputs_digest(spec)) is None


def test_another_spec_or_a_changed_input_is_another_run(
    spec: AuditSpec, directory: RunDirectory, tmp_path: Path
) -> None:
    other = spec.model_copy(update={"run": spec.run.model_copy(update={"seed": 1})})
    assert find_unfinished(other, inputs_digest(other)) is None
    (tmp_path / "pairs.csv").write_text("image,caption\na.png,a\n")
    assert find_unfinished(spec, inputs_digest(spec)) is None


def test_what_else_lies_among_the_runs_is_passed_over(spec: AuditSpec, directory: RunDirectory) -> None:
    (directory.path.parent / "zzz-empty").mkdir()
    (directory.path.parent / "zzz-file").touch()
    broken = directory.path.parent / "zzz-broken"
    broken.mkdir()
    (broken / "spec.toml").write_bytes(b"\xff")
    assert find_unfinished(spec, inputs_digest(spec)) == directory


def test_inputs_are_every_file_that_an_audit_reads(tmp_path: Path, spec: AuditSpec) -> None:
    images, model = tmp_path / "images", tmp_path / "model"
    (images / "deep").mkdir(parents=True)
    (images / "deep" / "a.png").touch()
    (images / "dangling.png").symlink_to(tmp_path / "gone.png")
    model.mkdir()
    for name in ("open_clip_config.json", "open_clip_model.safetensors"):
        (model / name).touch()
    (tmp_path / "keys.txt").touch()
    spec = load_spec(
        None,
        {
            "model.architecture": f"local-dir:{model}",
            "pools.candidates.source": str(images),
            "pools.candidates.keys": str(tmp_path / "keys.txt"),
        },
    )
    digests = {inputs_digest(spec)}
    assert inputs_digest(spec) in digests
    for path in (images / "deep" / "a.png", model / "open_clip_model.safetensors", tmp_path / "keys.txt"):
        path.write_text("changed")
        digests.add(inputs_digest(spec))
    (images / "new.png").touch()
    digests.add(inputs_digest(spec))
    (images / os.fsdecode(b"\xff.png")).touch()
    digests.add(inputs_digest(spec))
    assert len(digests) == 6


def test_an_event_of_another_kind_changes_nothing(spec: AuditSpec, directory: RunDirectory) -> None:
    directory.append(Note("hello"))
    assert find_unfinished(spec, inputs_digest(spec)) == directory
