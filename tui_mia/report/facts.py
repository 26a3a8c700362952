"""What a run was, as names and values in words, and the commands that do it again."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime

from tui_mia import __version__
from tui_mia.display.words import duration, short_model
from tui_mia.report.contents import ExposedSample, Report
from tui_mia.report.figure_tables import number

Facts = list[tuple[str, str]]


def title(report: Report) -> str:
    """What the report is about."""
    run = report.summary.run
    return f"Membership audit of {short_model(run.architecture, run.pretrained) or 'a model'}"


def subtitle(report: Report) -> str:
    """Which run it was, when, and of how much."""
    run = report.summary.run
    pools = ", ".join(f"{count:,} {pool}" for pool, count in report.summary.samples.items()) or "no samples"
    when = _time(run.created_at) or "at an unknown time"
    return f"Run {run.run_id}, {when}: {pools}."


def model_facts(report: Report) -> Facts:
    """The model under audit and what tells it from any other."""
    run, reference = report.summary.run, report.spec.reference if report.spec is not None else None
    return _given(
        ("architecture", run.architecture),
        ("pretrained", run.pretrained),
        ("precision", run.precision),
        ("device", run.device),
        ("SHA-256 of the weights", run.weights_sha256),
        ("SHA-256 of the preprocessing", run.preprocess_sha256),
        ("SHA-256 of the tokenizer", run.tokenizer_sha256),
        (
            "reference model",
            " ".join(filter(None, (reference.architecture, reference.pretrained))) if reference else "none",
        ),
    )


def run_facts(report: Report) -> Facts:
    """When and where it ran, and with which versions."""
    run = report.summary.run
    return _given(
        ("run", run.run_id),
        ("status", run.status),
        ("created", _time(run.created_at)),
        ("started", _time(run.started_at)),
        ("finished", _time(run.finished_at)),
        ("took", ", ".join(f"{phase} {duration(seconds)}" for phase, seconds in run.seconds.items())),
        ("versions", ", ".join(f"{name} {version}" for name, version in run.versions.items())),
        ("database", str(report.summary.database.resolve())),
        ("run directory", run.run_directory),
        ("report", f"by tui-mia {__version__}, {_time(report.made_at)}"),
    )


def fit_facts(report: Report) -> list[tuple[str, str]]:
    """What the attacks say of their fits, each wording once with the attacks that share it."""
    shared: dict[str, list[str]] = {}
    for attack, figures in report.summary.attacks.items():
        if figures.facts:
            words = ", ".join(
                f"{name.replace('_', ' ')} {value:,.6g}" for name, value in figures.facts.items()
            )
            shared.setdefault(words, []).append(attack)
    return [(", ".join(attacks), words) for words, attacks in shared.items()]


def rejected(report: Report) -> tuple[list[tuple[str, str, str]], int]:
    """How many pairs of which pool were left out and why, the most common first; and how many otherwise."""
    reasons = report.summary.reject_reasons
    listed = [(f"{found.count:,}", found.pool or "?", found.reason or "?") for found in reasons]
    return listed, report.summary.rejects - sum(found.count for found in reasons)


def commands(report: Report) -> list[tuple[str, str]]:
    """Commands, each with what it does."""
    run_id = shlex.quote(report.summary.run.run_id)
    database = shlex.quote(str(report.summary.database.resolve()))
    return [
        ("tui-mia run audit.toml", "the audit again, from the spec above as audit.toml"),
        (f"tui-mia verify {run_id} --db {database}", "every figure again, from what is stored"),
        (f"tui-mia report {run_id} --db {database}", "this report again"),
    ]


def sample_words(sample: ExposedSample) -> list[str]:
    """Where a candidate stands, and what its pool says of it."""
    labels = {True: "labelled as member", False: "labelled as non-member", None: "no label"}
    compared = [
        f"{name} {number(value)}"
        for name, value in (("p", sample.p_value), ("q", sample.q_value))
        if value is not None
    ]
    place = f"rank {sample.rank:,} of {sample.of:,}"
    return [*compared, f"score {number(sample.score)}", place, labels[sample.label]]


def exposed_words(report: Report) -> str:
    """What the list of samples is, and what it is not."""
    attack = report.decided_by or ""
    order = (
        f"The candidates that are the least like known non-members by {attack}: the lowest p-values first,"
        " of equal ones the highest scores."
        if any(sample.p_value is not None for sample in report.exposed)
        else f"The candidates with the highest scores of {attack}. Nothing says how unusual these scores are."
    )
    verdict = report.summary.verdict
    if verdict is not None and verdict.outcome == "leak":
        return f"{order} A place in this list is evidence, not proof: no pair is ever found to be a member."
    return f"{order} Some pairs always come first: without a finding for the whole set the list says little."


def _given(*facts: tuple[str, str | None]) -> Facts:
    return [(name, value) for name, value in facts if value]


def _time(time: datetime | None) -> str:
    return "" if time is None else f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
