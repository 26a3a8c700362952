"""A run in full, as parts that the screen shows one below the other; pure functions of what is known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, TypeAlias

from rich.columns import Columns
from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

from tui_mia.board import BoardRun
from tui_mia.clean import printable
from tui_mia.display.results import error_parts, summary_parts, verdict_parts
from tui_mia.display.words import amount_figures, device_figures, duration, short_model, speed_figures
from tui_mia.runs import Phase, Progress
from tui_mia.runs.gpu import Gpu
from tui_mia.store import RunSummary
from tui_mia.tui.panes.runs.run_row import SYMBOLS

Part: TypeAlias = Text | Table

LABEL_CELLS: Final = 8
LOG_LINES_BELOW: Final = 6
GIBIBYTE: Final = 2**30
MORE_THAN_ANY_TABLE: Final = 1_000
# The columns of a table of figures that a narrow screen can do without, the first ones first.
DISPENSABLE: Final = ("TPR@0.1%", "TPR@10%", "TPR@1%", "p <= 0.01", "95 %")


@dataclass(frozen=True)
class RunFacts:
    """What was read of a run beside what the board knows.

    `problem` says why the database could not be asked for the summary.
    """

    run_id: str
    summary: RunSummary | None = None
    problem: str | None = None
    log: Sequence[str] = ()


def detail_parts(
    run: BoardRun,
    facts: RunFacts | None,
    now: float,
    gpu: Gpu | None = None,
    place_in_queue: int | None = None,
    log_lines: int = LOG_LINES_BELOW,
) -> Iterator[Part]:
    """What a run is, how far it came, and what was found; below a live one the end of its log."""
    if run.is_live or run.status == "saving":
        yield from _live_parts(run, now, gpu)
        yield from _end_of_log(run, facts, log_lines)
    elif run.status == "queued":
        yield from _queued_parts(run, place_in_queue)
    elif facts and facts.summary:
        yield from _stored_parts(run, facts.summary)
    else:
        yield from _unstored_parts(run, facts)


def log_parts(run: BoardRun, facts: RunFacts | None) -> Iterator[Part]:
    """What the run said and its worker printed, oldest first."""
    for note in run.state.notes if run.state else ():
        warns = "warning: " if note.level == "warning" else ""
        yield _text(f"{datetime.fromtimestamp(note.time):%H:%M:%S} {warns}{note.message}")
    lines = facts.log if facts else ()
    for line in lines:
        yield _text(line)
    if not lines and not (run.state and run.state.notes):
        yield Text("The worker has printed nothing.", style="dim")


def bar(fraction: float, cells: int) -> str:
    """A progress bar that can be read without colours."""
    filled = round(max(0.0, min(1.0, fraction)) * cells)
    return "█" * filled + "░" * (cells - filled)


def phase_times(phases: Sequence[Phase], now: float | None) -> list[str]:
    """What each phase took; the last one is still going on where there is a `now`."""
    words = []
    for number, phase in enumerate(phases, start=1):
        goes_on = now is not None and number == len(phases)
        seconds = max(0.0, now - phase.began) if goes_on and now is not None else phase.seconds
        words.append(_took(phase.name, seconds) + ("…" if goes_on else ""))
    return words


def line(label: str, text: str, style: str = "") -> Table:
    """A labelled line, whose further lines stand below its text."""
    return _labelled(label, Text("\n".join(map(printable, text.split("\n"))), style=style))


def _live_parts(run: BoardRun, now: float, gpu: Gpu | None) -> Iterator[Part]:
    state = run.state
    began = state.launched.time if state and state.launched else None
    so_far = f", {duration(max(0.0, now - began))}" if began and run.is_live else ""
    yield _head(run, f"on {run.device}{so_far}")
    yield from _asked_parts(run)
    progress = state.progress if state else None
    if state and progress:
        yield from _progress_parts(progress)
        if state.rejects:
            yield line("rejects", f"{state.rejects:,} pairs could not be used")
        yield _words("times", phase_times(state.phases, now if run.is_live else None))
        yield line("memory", memory_words(progress, gpu))
    else:
        yield line("", "its worker is starting")
    if run.problem:
        yield line("problem", run.problem)
    for attack, why in (state.skipped if state else {}).items():
        yield line("skipped", f"{attack}: {why}")


def _end_of_log(run: BoardRun, facts: RunFacts | None, lines: int) -> Iterator[Part]:
    if (facts and facts.log) or (run.state and run.state.notes):
        for number, part in enumerate(list(log_parts(run, facts))[-lines:]):
            yield _labelled("log" if number == 0 else "", part)


def _progress_parts(progress: Progress) -> Iterator[Part]:
    grid = Table.grid(padding=(0, 1, 0, 0), expand=True)
    grid.add_column(width=LABEL_CELLS - 1)
    grid.add_column(ratio=1)
    grid.add_column(justify="right", width=4)
    grid.add_row(_text(progress.phase), _Bar(progress.fraction), Text(f"{progress.fraction:.0%}"))
    yield grid
    figures = amount_figures(progress)
    if progress.pool:
        figures.append(f"in {progress.pool}")
    if figures:
        yield line("", ", ".join(figures))
    if speed := speed_figures(progress):
        yield line("speed", ", ".join(speed))
    if devices := device_figures(progress):
        yield line("devices", "\n".join(f"{name}: {words}" for name, words in devices))


class _Bar:
    """As wide as there is room."""

    def __init__(self, fraction: float) -> None:
        self._fraction = fraction

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        yield Text(bar(self._fraction, options.max_width))


def memory_words(progress: Progress, gpu: Gpu | None) -> str:
    """What the worker takes of the machine, and how busy its GPU is."""
    words = []
    if progress.memory_bytes is not None:
        words.append(size_words(progress.memory_bytes))
    if progress.device_memory_bytes is not None:
        words.append(f"{size_words(progress.device_memory_bytes)} of its GPU at most")
    if gpu is not None:
        told = [gpu.name]
        if gpu.memory_used_bytes is not None and gpu.memory_total_bytes:
            used, total = gpu.memory_used_bytes / GIBIBYTE, gpu.memory_total_bytes / GIBIBYTE
            told.append(f"{used:.1f} of {total:.0f} GB in use")
        if gpu.utilisation is not None:
            told.append(f"{gpu.utilisation:.0%} busy")
        words.append(", ".join(told))
    return "; ".join(words) or "not known yet"


def size_words(size_bytes: int) -> str:
    return f"{size_bytes / GIBIBYTE:.1f} GB" if size_bytes >= GIBIBYTE else f"{size_bytes // 2**20} MB"


def _queued_parts(run: BoardRun, place_in_queue: int | None) -> Iterator[Part]:
    place = f", number {place_in_queue} in the queue" if place_in_queue else ""
    yield _head(run, f"waits for {run.device}{place}")
    yield from _asked_parts(run)
    yield line("", "x takes it out of the queue", "dim")


def _stored_parts(run: BoardRun, summary: RunSummary) -> Iterator[Part]:
    verdict = list(verdict_parts(summary.verdict))
    for said in verdict:
        yield _labelled(said.plain[:LABEL_CELLS].strip(), said[LABEL_CELLS:])
    ended = summary.run.finished_at
    when = f"ended {ended.astimezone():%Y-%m-%d %H:%M}" if ended else ""
    yield _head(run, when)
    # The line after the verdict says what the heading here says.
    for part in list(summary_parts(summary))[len(verdict) + 1 :]:
        if isinstance(part, Table):
            part.box = None
            part.header_style = "bold"
            yield _fitting(part)
        else:
            yield _labelled(part.plain[:LABEL_CELLS].strip(), part[LABEL_CELLS:])
    if summary.run.seconds:
        yield _words("times", _times(summary.run.seconds))
    for text in error_parts(summary.run.error):
        yield _labelled(text.plain[:LABEL_CELLS].strip(), text[LABEL_CELLS:])
    if run.status in ("failed", "cut off", "cancelled"):
        yield line("", "r goes on with what it had encoded", "dim")


class _Narrowed:
    """A table of figures without the columns that there is no room for; the others are whole."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Table]:
        table = copy(self._table)
        unlimited = options.update(max_width=MORE_THAN_ANY_TABLE)
        for header in DISPENSABLE:
            if console.measure(table, options=unlimited).maximum <= options.max_width:
                break
            kept = (column for column in table.columns if str(column.header) != header)
            table.columns = [replace(column, _index=place) for place, column in enumerate(kept)]
        yield table


def _fitting(table: Table) -> Table:
    grid = Table.grid(expand=True)
    grid.add_row(_Narrowed(table))
    return grid


def _unstored_parts(run: BoardRun, facts: RunFacts | None) -> Iterator[Part]:
    yield _head(run, "")
    yield from _asked_parts(run)
    if facts and facts.problem:
        yield line("problem", facts.problem)
    if run.problem:
        yield line("error", run.problem)
    if run.state and run.state.phases:
        yield _words("times", phase_times(run.state.phases, None))
    if run.status in ("failed", "cut off", "cancelled"):
        yield line("", "r goes on with what it had encoded", "dim")


def _asked_parts(run: BoardRun) -> Iterator[Part]:
    yield line("model", _model(run))
    if run.pools:
        yield line("pools", ", ".join(run.pools))
    if run.attacks:
        yield line("attacks", ", ".join(run.attacks))


def _head(run: BoardRun, more: str) -> Part:
    words = f"{SYMBOLS[run.status]} {run.status}"
    return line("run", f"{run.run_id}: {words}{f', {more}' if more else ''}", "bold")


def _model(run: BoardRun) -> str:
    loaded = run.state.loaded if run.state else None
    return short_model(run.architecture, run.pretrained) + (f", {loaded.number_format}" if loaded else "")


def _words(label: str, words: Sequence[str]) -> Table:
    """A labelled line of words that are not torn apart at its end."""
    return _labelled(label, Columns([_text(word) for word in words], padding=(0, 2)))


def _labelled(label: str, part: RenderableType) -> Table:
    grid = Table.grid()
    grid.add_column(width=LABEL_CELLS)
    grid.add_column(overflow="fold")
    grid.add_row(Text(label), part)
    return grid


def _times(seconds: Mapping[str, float]) -> list[str]:
    return [_took(phase, took) for phase, took in seconds.items()]


def _took(phase: str, seconds: float) -> str:
    return f"{phase} {f'{seconds:.1f}s' if seconds < 10 else duration(seconds)}"


def _text(text: str) -> Text:
    return Text(printable(text))
