"""What the evidence says becomes rows."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from tui_mia.evidence import Judgement, Metric
from tui_mia.tables import write_judgement


def test_a_fact_that_is_named_like_a_figure_does_not_pass_for_one(tmp_path: Path) -> None:
    """An attack of another package may call a fact of its fit whatever it likes."""
    facts = {"auc": 0.99, "tpr_at_fpr_0.01": 1.0, "pseudo_members": 12.0}
    write_judgement(tmp_path, Judgement([Metric("theirs", "auc", 0.5)], [], []), [], {"theirs": facts})
    rows = pq.read_table(tmp_path / "metrics.parquet").to_pylist()
    assert {row["metric"]: row["value"] for row in rows} == {
        "auc": 0.5,
        "fact_auc": 0.99,
        "fact_tpr_at_fpr_0.01": 1.0,
        "pseudo_members": 12.0,
    }
