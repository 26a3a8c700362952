"""The short form of the fuzz run over damaged input files; docs/reliability.md has the long one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

FUZZ = Path(__file__).with_name("fuzz_inputs.py")


def fuzz(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(FUZZ), "--processes", "1", *arguments]
    environment = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment)


def test_hundreds_of_damaged_files_are_read_or_refused_in_words() -> None:
    completed = fuzz("--cases", "300", "--seed", "2")
    assert completed.returncode == 0, completed.stdout
    assert ", 0 failed" in completed.stdout


def test_a_reader_that_raises_loses_dies_or_hangs_is_found_out() -> None:
    completed = fuzz("--cases", "9", "--kinds", "faulty", FUZZ_LONGEST_SECONDS="1")
    assert completed.returncode == 1, completed.stderr
    told = (
        "RAISED: ZeroDivisionError",
        "LOST: Lost: a row",
        "DIED: SIGSEGV",
        "HUNG: no answer within 1 s",
    )
    for words in told:
        assert words in completed.stdout
