"""The DuckDB file that keeps what audits found; the only room that imports duckdb.

In comes a run as a `RunRow` and a folder of Parquet tables, or a question about
runs; out come plain dataclasses, rows and files. What may not enter: arrays, the
model, the screen, and a user's SQL that does more than read. Nobody holds the
file open: every function opens it, waits while somebody else has it, and closes it.
"""

from tui_mia.store.connect import WAIT_SECONDS
from tui_mia.store.errors import (
    DatabaseLocked,
    DatabaseMissing,
    DatabaseVersion,
    ExportError,
    NotADatabase,
    QueryError,
    RunNotFound,
    StoreError,
)
from tui_mia.store.export import EXPORTABLE, Format, export_run
from tui_mia.store.ingest import delete_run, ingest
from tui_mia.store.query import QueryResult, query
from tui_mia.store.read import LATEST, find_run, list_runs, summarise
from tui_mia.store.rows import LOW_P_VALUES, AttackFigures, RejectReason, RunOverview, RunRow, RunSummary

__all__ = [
    "EXPORTABLE",
    "LATEST",
    "LOW_P_VALUES",
    "WAIT_SECONDS",
    "AttackFigures",
    "DatabaseLocked",
    "DatabaseMissing",
    "DatabaseVersion",
    "ExportError",
    "Format",
    "NotADatabase",
    "QueryError",
    "QueryResult",
    "RejectReason",
    "RunNotFound",
    "RunOverview",
    "RunRow",
    "RunSummary",
    "StoreError",
    "delete_run",
    "export_run",
    "find_run",
    "ingest",
    "list_runs",
    "query",
    "summarise",
]
