"""The queries that a user ran, kept between sessions in a file that only they can read."""

from __future__ import annotations

import json
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from platformdirs import user_state_path

QUERIES_KEPT: Final = 200


def history_path() -> Path:
    """Where the history is, whether or not there is one yet."""
    return user_state_path("tui-mia") / "sql_history.jsonl"


def read_history(path: Path | None = None) -> list[str]:
    """The queries, newest first; lines that are none are left out. Raises `OSError`."""
    lines = _lines(path or history_path())
    return [sql for line in reversed(lines) if (sql := _query(line))][:QUERIES_KEPT]


def remember_query(sql: str, path: Path | None = None) -> None:
    """Make a query the newest of the history, where each is once. Raises `OSError`."""
    path = path or history_path()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    older = [line for line in _lines(path) if _query(line) not in (None, sql)]
    newest = json.dumps({"time": datetime.now(UTC).isoformat(timespec="seconds"), "sql": sql})
    # A temporary file is readable by its owner only.
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".sql_history-", delete=False) as file:
        try:
            file.writelines(f"{line}\n" for line in [*older, newest][-QUERIES_KEPT:])
            file.flush()
            os.replace(file.name, path)
        except OSError:
            os.unlink(file.name)
            raise


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").split("\n")
    except FileNotFoundError:
        return []


def _query(line: str) -> str | None:
    try:
        entry = json.loads(line)
    except json.JSONDecodeError:
        return None
    sql = entry.get("sql") if isinstance(entry, dict) else None
    return sql if isinstance(sql, str) and sql.strip() else None
