"""A report as JSON, for a program; docs/report.md says what is in it."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

from tui_mia import __version__
from tui_mia.report.contents import ExposedSample, Report
from tui_mia.report.limits import limits
from tui_mia.report.meaning import headline

DOCUMENT_VERSION = 1


def json_report(report: Report) -> str:
    """The document, in ASCII; null where a figure can't be had, never NaN."""
    return json.dumps(document(report), indent=2, allow_nan=False) + "\n"


def document(report: Report) -> dict[str, Any]:
    """That of `tui-mia run --json`, and all else that the report tells, but no picture."""
    summary, run = report.summary, report.summary.run
    said = headline(report)
    times = {"created_at": run.created_at, "started_at": run.started_at, "finished_at": run.finished_at}
    return {
        "report": {
            "version": DOCUMENT_VERSION,
            "tui_mia": __version__,
            "made_at": report.made_at.isoformat(),
        },
        **summary.document(),
        "meaning": {"means": said.means, "does_not_mean": said.not_means, "limits": limits(report)},
        "decided_by": report.decided_by,
        "exposed": [_sample(sample, report.include.captions) for sample in report.exposed],
        "model": {
            "architecture": run.architecture,
            "pretrained": run.pretrained,
            "precision": run.precision,
            "device": run.device,
            "weights_sha256": run.weights_sha256,
            "preprocess_sha256": run.preprocess_sha256,
            "tokenizer_sha256": run.tokenizer_sha256,
        },
        "pools": [asdict(pool) for pool in report.pools],
        "reject_reasons": [asdict(reason) for reason in summary.reject_reasons],
        "times": {name: time and time.isoformat() for name, time in times.items()},
        "versions": {**run.versions},
        "spec": run.spec,
    }


def _sample(sample: ExposedSample, with_caption: bool) -> dict[str, Any]:
    said = asdict(sample)
    del said["picture"]
    # An infinite score has no place in JSON.
    said["score"] = sample.score if math.isfinite(sample.score) else None
    if not with_caption:
        del said["caption"]
    return said
