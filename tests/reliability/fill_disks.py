"""Audits on disks that are too small, each made larger afterwards; has to be root, to mount them.

    python -m tests.reliability.fill_disks

An audit of the sample world is carried out undisturbed. Then it is started again on disks of more
and more kilobytes, so that it meets the end of each at another place: in a part, a table, its
journal, the new database, the rows of it, and on the last in nothing. Each time the command
has to fail and say where there is no space; then the disk grows, the same command is given again,
and what comes out has to be that of the undisturbed run. The cache is a disk with no space and no
inode left throughout.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.reliability.kill_runs import make_audit
from tests.reliability.killing import Audit, differences, finished_parts, gone_on_with

KILOBYTES = (8, 48, 200, 500, 700, 1000, 2000, 8000)
ENOUGH = "64m"


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def main() -> None:
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="tui-mia-disks-") as name:
        folder = Path(name)
        spec_path = make_audit(folder)
        (folder / "undisturbed").mkdir()
        undisturbed = Audit(spec_path, folder / "undisturbed" / "audits.duckdb")
        gone_on_with(undisturbed, "run")
        with small_disk(folder / "cache", "4k,nr_inodes=2") as cache:
            (cache / "full").write_bytes(bytes(4096))
            os.environ["XDG_CACHE_HOME"] = str(cache)
            for size in KILOBYTES:
                with small_disk(folder / f"disk-{size}", f"{size}k") as disk:
                    wrong += not _tried(Audit(spec_path, disk / "audits.duckdb"), undisturbed, size)
    print(f"{len(KILOBYTES)} disks, {wrong} of which were not as they should be")
    sys.exit(1 if wrong else 0)


def _tried(audit: Audit, undisturbed: Audit, size: int) -> bool:
    """Whether an audit says that its disk is full, and goes on to the right end when it no more is."""
    disk = audit.database.parent
    command = [sys.executable, "-m", "tui_mia", "run", str(audit.spec_path), "--db", str(audit.database)]
    full = subprocess.run([*command, "--quiet"], capture_output=True, text=True)
    said = [line for line in full.stderr.splitlines() if line.startswith("tui-mia: ")]
    parts = finished_parts(audit)
    subprocess.run(["mount", "-o", f"remount,size={ENOUGH}", str(disk)], check=True)
    gone_on_with(audit, "run")
    found = differences(audit, undisturbed)
    if not finished_parts(audit).items() >= parts.items():
        found.append("a finished part was written again")
    if full.returncode != (0 if not said else 1) or (said and "there is no space left" not in said[0]):
        found.append(f"exit code {full.returncode}: {full.stderr}")
    print(
        f"{size} KB: {len(parts)} parts kept; {said[0] if said else 'enough'}", *found, sep="\n  ", flush=True
    )
    return not found


if __name__ == "__main__":
    main()
