"""The faces of a headless run: a live bar for a terminal, lines for a log, silence for a program."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Literal, Protocol, TypeAlias

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from tui_mia.clean import printable
from tui_mia.display.words import device_figures, fitting, progress_figures
from tui_mia.runs import Event, Finished, ShardEncoded
from tui_mia.runs import Progress as ProgressEvent
from tui_mia.runs.narration import narrate, phase_times

Face: TypeAlias = Literal["auto", "plain", "quiet"]
SECONDS_BETWEEN_LINES = 10.0
# What a live display needs beside its figures: the phase, the percentage, and a bar that is still one.
CELLS_OF_BAR = 25


class Display(Protocol):
    """Shows the events of a run as they come."""

    def say(self, message: str) -> None:
        """Show a line of narration."""
        ...

    def show(self, event: Event) -> None: ...

    def close(self) -> None:
        """Leave the terminal as it should be for whatever is printed next."""
        ...


def choose_display(face: Face, *, verbose: bool = False) -> Display:
    """The display for stderr as it is: live only on a terminal that can move its cursor.

    With `verbose` it tells of every shard and how long each phase took, with the times.
    """
    console = _NarrationConsole(stderr=True, highlight=False)
    if face == "quiet":
        return QuietDisplay()
    if face == "plain" or not console.is_terminal or console.is_dumb_terminal:
        return PlainDisplay(console, verbose=verbose)
    return LiveDisplay(console, verbose=verbose)


class _NarrationConsole(Console):
    def on_broken_pipe(self) -> None:
        """Whoever read the narration has left: the run goes on without it."""
        self.quiet = True


class QuietDisplay:
    """Says nothing; errors are printed by whoever meets them."""

    def say(self, message: str) -> None: ...

    def show(self, event: Event) -> None: ...

    def close(self) -> None: ...


class PlainDisplay:
    """A line for each new phase and every few seconds; no cursor movement, no colour."""

    def __init__(self, console: Console, *, verbose: bool = False) -> None:
        self._console = console
        self._verbose = verbose
        self._phase = ""
        self._next_line = 0.0

    def say(self, message: str) -> None:
        self._console.print(Text(printable(message)), soft_wrap=True)

    def show(self, event: Event) -> None:
        if isinstance(event, ProgressEvent):
            if event.phase == self._phase and event.time < self._next_line:
                return
            self._phase, self._next_line = event.phase, event.time + SECONDS_BETWEEN_LINES
            figures = ", ".join(progress_figures(event))
            self.say(f"{event.phase} {event.fraction:4.0%}  {figures}".rstrip())
            for name, words in device_figures(event):
                self.say(f"  {name}: {words}")
        elif line := _line(event, self._verbose):
            self.say(line)

    def close(self) -> None: ...


class _BarOverDevices(Progress):
    """A bar, and below it a line for each of several encoders."""

    devices: Sequence[str] = ()

    def get_renderables(self) -> Iterator[RenderableType]:
        yield from super().get_renderables()
        for line in self.devices:
            yield Text(line, no_wrap=True, overflow="ellipsis")


class LiveDisplay:
    """A bar that is redrawn in place; what should stay is printed above it."""

    def __init__(self, console: Console, *, verbose: bool = False) -> None:
        self._console = console
        self._verbose = verbose
        self._bar = _BarOverDevices(
            TextColumn("{task.description:<7}", markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[figures]}", markup=False),
            console=console,
            expand=True,
            transient=True,
        )
        self._task: TaskID | None = None

    def say(self, message: str) -> None:
        self._bar.console.print(Text(printable(message)), soft_wrap=True)

    def show(self, event: Event) -> None:
        if isinstance(event, ProgressEvent):
            if self._task is None:
                self._bar.start()
                self._task = self._bar.add_task("", total=1.0, figures="")
            phase = printable(event.phase)
            figures = printable(fitting(progress_figures(event), self._console.width - CELLS_OF_BAR))
            self._bar.devices = [printable(f"  {name}: {words}") for name, words in device_figures(event)]
            self._bar.update(self._task, description=phase, completed=event.fraction, figures=figures)
        elif line := _line(event, self._verbose):
            self.say(line)

    def close(self) -> None:
        self._bar.stop()
        self._task = None


def _line(event: Event, verbose: bool) -> str | None:
    """What is said of an event, with its time where there is much to say."""
    if not verbose:
        return None if isinstance(event, ShardEncoded) else narrate(event)
    line = f"{event.status}: {phase_times(event.seconds)}" if isinstance(event, Finished) else narrate(event)
    return line and f"{datetime.fromtimestamp(event.time):%H:%M:%S} {line}"
