"""The DuckDB file that keeps what audits found; the only room that imports duckdb.

In comes a run as a `RunRow` and a folder of Parquet tables, or a question about
runs; out come plain dataclasses, arrays of numbers and files. What may not enter: the
model, the screen, and a user's SQL that does more than read. Nobody holds the
file open: every function opens it, waits while somebody else has it, and closes it.
"""

from tui_mia.store.connect import WAIT_SECONDS, limit_memory
from tui_mia.store.curves import (
    RocCurve,
    ScoredRun,
    ScoreHistogram,
    roc_curve,
    score_histogram,
    scored_runs,
)
from tui_mia.store.detail import read_sample
from tui_mia.store.errors import (
    DatabaseFull,
    DatabaseLocked,
    DatabaseMissing,
    DatabaseVersion,
    ExportError,
    Interrupted,
    NotADatabase,
    OlderDatabase,
    QueryError,
    RunNotFound,
    SampleNotFound,
    StoreError,
    is_interrupt,
)
from tui_mia.store.export import EXPORTABLE, Format, export_run, export_samples
from tui_mia.store.ingest import delete_run, ingest
from tui_mia.store.live import LiveRun
from tui_mia.store.migrate import bring_up_to_date
from tui_mia.store.pages import (
    attacks_of,
    count_samples,
    find_sample,
    first_samples,
    open_samples,
    order_and_first_samples,
    order_samples,
    peek_samples,
    read_samples,
)
from tui_mia.store.query import QueryResult, export_query, query
from tui_mia.store.read import LATEST, find_run, list_runs, summarise
from tui_mia.store.rows import (
    LOW_P_VALUES,
    AttackFigures,
    CheckRow,
    Figure,
    RejectReason,
    RunOverview,
    RunRow,
    RunSummary,
    VerdictRow,
)
from tui_mia.store.samples import (
    AttackScore,
    SampleDetail,
    SampleFilter,
    SampleOrder,
    SampleRow,
    SampleSort,
    ScoredAttack,
    ScoreRange,
)
from tui_mia.store.source import QueryHandle, SampleSource, StoredRun, stopped_by_control_c

__all__ = [
    "EXPORTABLE",
    "LATEST",
    "LOW_P_VALUES",
    "WAIT_SECONDS",
    "AttackFigures",
    "AttackScore",
    "CheckRow",
    "DatabaseFull",
    "DatabaseLocked",
    "DatabaseMissing",
    "DatabaseVersion",
    "ExportError",
    "Figure",
    "Format",
    "Interrupted",
    "LiveRun",
    "NotADatabase",
    "OlderDatabase",
    "QueryError",
    "QueryHandle",
    "QueryResult",
    "RejectReason",
    "RocCurve",
    "RunNotFound",
    "RunOverview",
    "RunRow",
    "RunSummary",
    "SampleDetail",
    "SampleFilter",
    "SampleNotFound",
    "SampleOrder",
    "SampleRow",
    "SampleSort",
    "SampleSource",
    "ScoreHistogram",
    "ScoreRange",
    "ScoredAttack",
    "ScoredRun",
    "StoreError",
    "StoredRun",
    "VerdictRow",
    "attacks_of",
    "bring_up_to_date",
    "count_samples",
    "delete_run",
    "export_query",
    "export_run",
    "export_samples",
    "find_run",
    "find_sample",
    "first_samples",
    "ingest",
    "is_interrupt",
    "limit_memory",
    "list_runs",
    "open_samples",
    "order_and_first_samples",
    "order_samples",
    "peek_samples",
    "query",
    "read_sample",
    "read_samples",
    "roc_curve",
    "score_histogram",
    "scored_runs",
    "stopped_by_control_c",
    "summarise",
]
