"""A line with completions: what each key does to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.widgets import Input

from tui_mia.tui.panes.audit import pane as audit
from tui_mia.tui.panes.audit.completing_input import CompletingInput, Offer

PATHS = ("data/", "data.csv", "[x].csv", "\x1b]2;PWNED\x07.csv")
NAMES = ("ViT-B-32", "ViT-B-32-quickgelu", "RN50")


async def paths(typed: str) -> Offer:
    return Offer(tuple(path for path in PATHS if path.startswith(typed)), by_start=True)


async def names(typed: str) -> Offer:
    return Offer(tuple(name for name in NAMES if typed.lower() in name.lower()))


class Form(App[None]):
    CSS_PATH = Path(audit.__file__).with_suffix(".tcss")

    def __init__(self, complete: Callable[[str], Awaitable[Offer]]) -> None:
        super().__init__()
        self._complete = complete

    def compose(self) -> ComposeResult:
        yield CompletingInput("", "", self._complete)
        yield Input(id="next")


@pytest.fixture
def settled(wait_until: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[CompletingInput]]:
    """Type, and wait until what may come of it is there."""

    async def type_in(pilot: Pilot[None], *keys: str) -> CompletingInput:
        line = pilot.app.query_one(CompletingInput)
        line.input.focus()
        await pilot.press(*keys)
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()
        return line

    return type_in


Settled = Callable[..., Awaitable[CompletingInput]]


async def test_typing_offers_what_fits_and_enter_takes_what_is_chosen(settled: Settled) -> None:
    async with Form(names).run_test() as pilot:
        line = await settled(pilot, *"vit")
        assert line.is_open
        assert line.list.highlighted is None, "enter leaves what was typed as it is until something is chosen"
        await pilot.press("down", "down", "enter")
        assert line.input.value == "ViT-B-32-quickgelu"
        await settled(pilot)
        assert not line.is_open


async def test_a_name_that_is_the_beginning_of_others_can_be_taken(settled: Settled) -> None:
    async with Form(names).run_test() as pilot:
        line = await settled(pilot, *"vit", "down", "enter")
        assert line.input.value == "ViT-B-32"
        assert not line.is_open
        await settled(pilot, "-")
        assert line.is_open


async def test_tab_leaves_a_name_as_it_was_typed_and_goes_on(settled: Settled) -> None:
    async with Form(names).run_test() as pilot:
        line = await settled(pilot, *"ViT-B-32", "tab")
        assert line.input.value == "ViT-B-32"
        assert pilot.app.query_one("#next").has_focus
        assert not line.is_open


async def test_tab_completes_a_path_as_far_as_all_agree_and_then_goes_on(settled: Settled) -> None:
    async with Form(paths).run_test() as pilot:
        line = await settled(pilot, "d", "tab")
        assert line.input.value == "data"
        assert line.input.has_focus
        await settled(pilot, "tab")
        assert pilot.app.query_one("#next").has_focus


async def test_down_opens_the_list_and_escape_closes_it(settled: Settled) -> None:
    async with Form(paths).run_test() as pilot:
        line = await settled(pilot, "down")
        assert line.is_open
        assert line.list.highlighted == 0
        await settled(pilot, "escape")
        assert not line.is_open


async def test_a_folder_that_is_taken_keeps_the_list_open(settled: Settled) -> None:
    async with Form(paths).run_test() as pilot:
        line = await settled(pilot, "d", "down", "enter")
        assert line.input.value == "data/"
        assert line.input.has_focus


async def test_what_is_typed_in_full_offers_nothing(settled: Settled) -> None:
    async with Form(names).run_test() as pilot:
        line = await settled(pilot, *"RN50")
        assert not line.is_open


async def test_names_from_outside_are_shown_not_obeyed(
    settled: Settled, screen_text: Callable[..., str]
) -> None:
    async with Form(paths).run_test() as pilot:
        line = await settled(pilot, "down")
        text = screen_text(pilot)
        assert "[x].csv" in text
        assert "\\x1b]2;PWNED\\x07.csv" in text
        await settled(pilot, "down", "down", "down", "enter")
        assert line.input.value == "\x1b]2;PWNED\x07.csv"
        text = screen_text(pilot)
        assert "\x1b" not in text
        assert "\ufffd]2;PWNED" in text


async def test_clicking_takes_a_completion(settled: Settled) -> None:
    async with Form(names).run_test() as pilot:
        line = await settled(pilot, "down")
        await pilot.click(line.list, offset=(2, 2))
        assert line.input.value == "RN50"
        assert line.input.has_focus
