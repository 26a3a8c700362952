"""What reaches a terminal: nothing that it might obey, and nothing that rich might."""

from __future__ import annotations

import io
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tui_mia.clean import printable
from tui_mia.display import choose_display, print_rows, print_summary
from tui_mia.display.data import write_csv, write_json
from tui_mia.display.progress import LiveDisplay, PlainDisplay, QuietDisplay
from tui_mia.display.words import device_figures, fitting, progress_figures
from tui_mia.runs import (
    Event,
    Finished,
    Launched,
    Loaded,
    Note,
    Progress,
    ReferenceLoaded,
    ShardEncoded,
    Skipped,
    Started,
)
from tui_mia.runs.events import DeviceProgress
from tui_mia.store import AttackFigures, Figure, RunRow, RunSummary

HOSTILE = "\x1b[2J\x1b]0;owned\x07[bold red]not bold[/] :smile: \u202eback\r\nnext"


@given(text=st.text())
def test_nothing_that_a_terminal_might_obey_is_left(text: str) -> None:
    shown = printable(text)
    left = {unicodedata.category(character) for character in shown if character not in "\u200c\u200d"}
    assert not left & {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
    assert shown.encode().decode() == shown


@pytest.mark.parametrize(
    "text",
    [
        "a photo of a cat",
        "naïve café",
        "一只猫",
        "кошка",
        "نقطة",
        "क्षि",
        "می\u200cخواهم",  # noqa: RUF001
        "👩\u200d👩\u200d👧 🐈\u200d⬛ 🇫🇷",
    ],
)
def test_scripts_and_emoji_are_shown_as_they_are(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31m", r"\x1b[31m"),
        ("a\nb", r"a\nb"),
        ("\u202e", r"\u202e"),
        ("\x9b1m", r"\x9b1m"),
        ("\udcff", r"\udcff"),
        ("\u2028", r"\u2028"),
    ],
)
def test_what_is_hidden_is_shown_as_its_escape(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.fixture
def terminal() -> Console:
    """A terminal of 80 columns that keeps what it is sent."""
    return Console(
        file=io.StringIO(),
        force_terminal=True,
        width=80,
        highlight=False,
        color_system="truecolor",
        legacy_windows=False,
    )


@pytest.fixture
def pipe() -> Console:
    return Console(file=io.StringIO(), width=80, highlight=False)


def sent(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_markup_and_escapes_in_a_message_are_shown_not_obeyed(pipe: Console) -> None:
    PlainDisplay(pipe).show(Note(HOSTILE, "warning"))
    assert sent(pipe) == (
        r"warning: \x1b[2J\x1b]0;owned\x07[bold red]not bold[/] :smile: \u202eback\r\nnext" + "\n"
    )


def test_a_live_display_shows_the_same(terminal: Console) -> None:
    display = LiveDisplay(terminal)
    display.show(Progress("[red]x\x1b[2J", 0.1))
    display.show(Note(HOSTILE))
    display.close()
    shown = sent(terminal)
    assert r"\x1b[2J\x1b]0;owned\x07[bold red]not bold[/] :smile:" in shown
    assert "\x1b[2J" not in shown
    assert "[red]x" in shown


def test_a_live_display_leaves_the_cursor_visible(terminal: Console) -> None:
    display = LiveDisplay(terminal)
    display.show(Progress("encode", 0.5, 100, 2, 50.0, 3.0, "candidates", "cpu", 2**30, None))
    display.close()
    display.close()
    shown = sent(terminal)
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")
    assert "100 at 50/s, 2 rejected, 3s left" in shown


def busy(samples: int, rejects: int = 0, share: float = 0.4567) -> Progress:
    """Of a run that knows all of its figures."""
    return Progress(
        "encode", 0.5, samples, rejects, 1234.5, 4000.0, "candidates", "cpu", 2**30, None,
        7407.0, 8641.5, share, "decoding",
    )  # fmt: skip


def test_the_figures_of_encoding_come_with_the_most_telling_first() -> None:
    assert progress_figures(busy(123_456, 12)) == [
        "123,456 at 1,234/s",
        "12 rejected",
        "1h06m left",
        "decoding-bound",
        "46% of peak",
        "7,407 views/s",
        "8,642 encodings/s",
        "1.0 GB",
    ]
    assert "0.4% of peak" in progress_figures(busy(1, share=0.004))
    slow = Progress("encode", 0.5, 3, per_second=0.25, views_per_second=1.5)
    assert progress_figures(slow) == ["3 at 0.2/s", "1.5 views/s"]


@pytest.mark.parametrize("event", [busy(40), busy(123_456_789, 98_765)])
def test_a_live_bar_has_one_line_with_whole_figures(event: Progress, terminal: Console) -> None:
    display = LiveDisplay(terminal)
    display.show(event)
    display.close()
    lines = re.split(r"[\r\n]", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", sent(terminal)))
    shown = [line for line in lines if line.startswith("encode")]
    assert shown
    for line in shown:
        assert len(line) == 80
        figures = line.partition("% ")[2].strip().split(", ")
        assert len(figures) >= 3
        assert figures == progress_figures(event)[: len(figures)]


@pytest.mark.parametrize(
    ("cells", "shown"), [(0, "aaa"), (3, "aaa"), (7, "aaa"), (8, "aaa, bbb"), (99, "aaa, bbb, c")]
)
def test_of_figures_as_many_are_shown_as_there_is_room_for(cells: int, shown: str) -> None:
    assert fitting(["aaa", "bbb", "c"], cells) == shown
    assert fitting([], cells) == ""


def on_devices(count: int) -> Progress:
    devices = [DeviceProgress(f"cuda:{number}", 1_000, 12.5, 2**30, 2**31) for number in range(count)]
    devices[1:2] = [DeviceProgress("cuda:1", 40, is_lost=True)]
    return Progress("encode", 0.5, 1_040 * count, per_second=12.5 * count, devices=tuple(devices))


def test_each_of_several_devices_has_a_line(pipe: Console, terminal: Console) -> None:
    assert device_figures(busy(40)) == []
    lines = ["  cuda:0: 1,000 at 12/s, GPU 2.0 GB, 1.0 GB", "  cuda:1: 40, then lost"]
    PlainDisplay(pipe).show(on_devices(2))
    assert sent(pipe).splitlines()[1:] == lines
    live = LiveDisplay(terminal)
    live.show(on_devices(2))
    live.close()
    for line in lines:
        assert line in sent(terminal)


def test_of_many_devices_the_first_have_lines_and_the_others_one() -> None:
    shown = device_figures(on_devices(64))
    assert len(shown) == 9
    assert shown[-1] == ("others", "56 at 700/s")


def test_a_plain_display_tells_each_phase_and_then_every_ten_seconds(pipe: Console) -> None:
    display = PlainDisplay(pipe)
    for second in range(25):
        display.show(Progress("encode", second / 25, samples=second, time=float(second)))
    display.show(Progress("attack", 0.0, time=25.0))
    display.close()
    lines = sent(pipe).splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["encode", "0%"],
        ["encode", "40%"],
        ["encode", "80%"],
        ["attack", "0%"],
    ]
    assert "\x1b" not in sent(pipe)


def test_what_a_user_should_know_is_told(pipe: Console) -> None:
    display = PlainDisplay(pipe)
    for event in (
        Launched(),
        Started(1, {}),
        Loaded("cpu", "fp32", "0123456789abcdef", "b", "c"),
        ReferenceLoaded("bf16", "fedcba9876543210", "b", "c"),
        Note("waiting for cpu"),
        Skipped("wsa", "told with the result"),
        Finished("failed", "told by whoever prints the result"),
    ):
        display.show(event)
    assert sent(pipe).splitlines() == [
        "model 0123456789ab on cpu in fp32",
        "reference fedcba987654 in bf16",
        "waiting for cpu",
    ]


def test_long_lines_are_not_wrapped(pipe: Console) -> None:
    PlainDisplay(pipe).say("x" * 500)
    assert sent(pipe) == "x" * 500 + "\n"


def test_the_display_fits_what_stderr_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert isinstance(choose_display("quiet"), QuietDisplay)
    assert isinstance(choose_display("auto"), PlainDisplay)  # stderr is no terminal here
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    assert isinstance(choose_display("auto"), LiveDisplay)
    assert isinstance(choose_display("plain"), PlainDisplay)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(choose_display("auto"), PlainDisplay)


def test_a_quiet_display_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    display = choose_display("quiet")
    display.say("a")
    display.show(Note("b", "warning"))
    display.close()
    assert capsys.readouterr() == ("", "")


def test_rows_to_look_at_show_hostile_text_as_it_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(["[bold]y"], [("\x1b[2J[red]x",), (None,), (0.123456789,)])
    shown = capsys.readouterr().out
    assert next(line.strip() for line in shown.splitlines() if line.strip()) == "[bold]y"
    assert r"\x1b[2J[red]x" in shown
    assert "0.123457" in shown
    assert "\x1b" not in shown


def test_rows_for_a_program_are_csv_or_json(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [(1, 'a "b", c'), (None, "ä\n")]
    write_csv(["n", "text"], rows)
    assert capsys.readouterr().out == 'n,text\n1,"a ""b"", c"\n,"ä\n"\n'
    write_json(["n", "text"], rows)
    assert capsys.readouterr().out == (
        '[\n{"n": 1, "text": "a \\"b\\", c"},\n{"n": null, "text": "\\u00e4\\n"}\n]\n'
    )


def test_rows_with_more_columns_than_fit_are_told_a_line_a_value(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    columns = [f"column_{number}" for number in range(12)]
    print_rows(columns, [range(12), range(12, 24)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["column_0   0", "column_1   1"]
    assert "column_11  23" in lines


def test_without_labels_low_p_values_are_counted_beside_what_chance_would_give(
    capsys: pytest.CaptureFixture[str],
) -> None:
    auc = Figure(0.71, 0.64, 0.77, 400)
    low_p_values = {"0.05": 44, "0.01": 12}
    found = AttackFigures(compared=200, low_p_values=low_p_values, figures={"group_auc": auc})
    run = RunRow(run_id="r", status="done")
    print_summary(RunSummary(Path("a.duckdb"), run, {"candidates": 200}, 0, [], {"csa": found}))
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["of", "non-members", "0.500", "10", "2"] in shown
    assert ["csa", "0.710", "0.640-0.770", "44", "12", "-"] in shown


def test_scores_that_nothing_can_be_compared_with_are_said_to_be_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = RunRow(run_id="r", status="done", skipped={"loss": "needs known non-members"})
    summary = RunSummary(Path("a.duckdb"), run, {"candidates": 200}, 0, [], {"csa": AttackFigures()})
    print_summary(summary)
    shown = capsys.readouterr().out
    assert "no labels and no known non-members" in shown
    assert "skipped loss: needs known non-members" in shown
    assert "TPR" not in shown


def test_shards_and_the_times_of_phases_are_told_to_those_who_ask(pipe: Console) -> None:
    shard = ShardEncoded("general", 2, "c-2.tar", 4.0, 990, 10, 0, 2**30)
    events: list[Event] = [
        shard,
        Note("some note"),
        Finished("done", seconds={"load": 1.25, "encode": 1200.0}),
    ]
    quiet, verbose = (PlainDisplay(pipe, verbose=verbose) for verbose in (False, True))
    for event in events:
        quiet.show(event)
    assert sent(pipe) == "some note\n"
    for event in events:
        verbose.show(event)
    _, *lines = sent(pipe).splitlines()
    assert all(re.match(r"\d\d:\d\d:\d\d ", line) for line in lines)
    assert [line[9:] for line in lines] == [
        "general 2 (c-2.tar): 4.0 s at 250/s, 990 samples, 10 rejected, 0 reused, 1,024 MB of memory",
        "some note",
        "done: load 1.2 s, encode 1,200.0 s",
    ]
