from __future__ import annotations

import asyncio
import io
import sys
import threading
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image
from textual.app import App, ComposeResult
from textual.color import Color
from textual.widget import Widget

from tui_mia.settings import Images, Settings
from tui_mia.tui.widgets import picture
from tui_mia.tui.widgets.graphics import image_widget, prepare_graphics
from tui_mia.tui.widgets.half_cells import UPPER_HALF, Thumbnails
from tui_mia.tui.widgets.picture import Picture

ImageBytes = Callable[..., bytes]
WaitUntil = Callable[..., Awaitable[None]]


class PictureApp(App[int]):
    CSS = "Picture { width: 34; height: 16; }"

    def __init__(self, images: Images = "auto") -> None:
        super().__init__()
        self.settings = Settings(images=images)

    def compose(self) -> ComposeResult:
        yield Picture()

    @property
    def picture(self) -> Picture:
        return self.query_one(Picture)


@pytest.fixture(autouse=True)
def nothing_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture, "_thumbnails", Thumbnails())


def on_screen(app: App[int]) -> list[str]:
    return [strip.text for strip in app.screen._compositor.render_strips()]


def cells(app: App[int]) -> tuple[int, int]:
    """How many columns and rows have a half cell in them."""
    lines = [line for line in on_screen(app) if UPPER_HALF in line]
    return max((line.count(UPPER_HALF) for line in lines), default=0), len(lines)


async def test_a_picture_keeps_its_shape_and_is_in_the_middle(image_bytes: ImageBytes) -> None:
    app = PictureApp()
    async with app.run_test() as pilot:
        await app.picture.show(image_bytes(1, (100, 100)))
        await pilot.pause()
        assert cells(app) == (32, 16)
        assert on_screen(app)[0].startswith(f" {UPPER_HALF * 32} ")


async def test_it_grows_and_shrinks_with_its_widget(image_bytes: ImageBytes, wait_until: WaitUntil) -> None:
    app = PictureApp()
    async with app.run_test(size=(80, 40)) as pilot:
        await app.picture.show(image_bytes(1, (100, 100)))
        for width, height, expected in ((10, 10, (10, 5)), (60, 20, (40, 20)), (34, 16, (32, 16))):
            app.picture.styles.width, app.picture.styles.height = width, height
            await wait_until(pilot, lambda expected=expected: cells(app) == expected)


async def test_a_picture_that_came_before_there_was_room_is_shown_when_there_is(
    image_bytes: ImageBytes, wait_until: WaitUntil
) -> None:
    app = PictureApp()
    async with app.run_test() as pilot:
        app.picture.display = False
        await pilot.pause()
        await app.picture.show(image_bytes(1, (100, 100)))
        app.picture.display = True
        await wait_until(pilot, lambda: cells(app) == (32, 16))


async def test_what_is_behind_a_transparent_picture_follows_the_theme(
    wait_until: WaitUntil,
) -> None:
    buffer = io.BytesIO()
    Image.new("RGBA", (64, 64)).save(buffer, "PNG")
    invisible = buffer.getvalue()

    def behind(app: App[int]) -> object:
        [segment] = app.screen._compositor.render_strips()[0].crop(5, 6)
        color = segment.style.color if segment.style else None
        return tuple(color.get_truecolor()) if color and segment.text == UPPER_HALF else None

    app = PictureApp()
    async with app.run_test() as pilot:
        await app.picture.show(invisible)
        await pilot.pause()
        assert behind(app) == Color.parse(app.theme_variables["background"]).rgb
        app.theme = "textual-light"
        light = app.theme_variables["background"]
        await wait_until(pilot, lambda: behind(app) == Color.parse(light).rgb)


async def test_text_takes_the_place_of_a_picture_and_is_not_obeyed(
    image_bytes: ImageBytes, hostile: str
) -> None:
    app = PictureApp()
    async with app.run_test() as pilot:
        await app.picture.show(image_bytes(1))
        app.picture.say(hostile)
        await pilot.pause()
        assert cells(app) == (0, 0)
        assert "[/x][bold]\\x1b]2;PWNED\\x07\\x1b[2J" in "".join("".join(on_screen(app)).split())
        await app.picture.show(None)
        await pilot.pause()
        assert on_screen(app)[0].strip() == ""


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\xff\xd8\xff\xe0 not a JPEG"])
async def test_what_is_no_picture_is_a_line_of_text(content: bytes) -> None:
    app = PictureApp()
    async with app.run_test() as pilot:
        await app.picture.show(content)
        await pilot.pause()
        assert app.picture.text.startswith("the picture is")
        assert "the picture is" in on_screen(app)[0]


async def test_a_picture_that_takes_long_does_not_replace_the_one_after_it(
    image_bytes: ImageBytes, monkeypatch: pytest.MonkeyPatch, wait_until: WaitUntil
) -> None:
    slow, fast, go_on = image_bytes(1, (100, 100)), image_bytes(2, (100, 50)), threading.Event()
    thumbnails = Thumbnails()

    class Waiting:
        def of(self, content: bytes) -> object:
            assert content != slow or go_on.wait(20)
            return thumbnails.of(content)

    monkeypatch.setattr(picture, "_thumbnails", Waiting())
    app = PictureApp()
    async with app.run_test() as pilot:
        first = asyncio.create_task(app.picture.show(slow))
        await pilot.pause()
        await app.picture.show(fast)
        go_on.set()
        await first
        await pilot.pause()
        assert cells(app) == (34, 9)


async def test_in_grey_where_colour_is_not_wanted(
    image_bytes: ImageBytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = PictureApp()
    async with app.run_test() as pilot:
        await app.picture.show(image_bytes(1, (100, 100)))
        await pilot.pause()
        styles = [
            segment.style
            for strip in app.screen._compositor.render_strips()
            for segment in strip
            if UPPER_HALF in segment.text
        ]
        assert len(styles) >= 16
        for style in styles:
            assert style is not None
            for color in (style.color, style.bgcolor):
                assert color is not None
                assert len(set(color.get_truecolor())) == 1


async def test_pictures_can_be_switched_off(image_bytes: ImageBytes) -> None:
    app = PictureApp("off")
    async with app.run_test() as pilot:
        await app.picture.show(image_bytes(1))
        await pilot.pause()
        assert cells(app) == (0, 0)
        assert "switched off" in on_screen(app)[0]


def test_without_the_extra_half_cells_are_used_and_who_asked_for_more_is_told() -> None:
    explicit: list[Images] = ["kitty", "sixel"]
    for images in explicit:
        said = prepare_graphics(images)
        assert said is not None
        assert 'pip install "tui-mia[images]"' in said
        assert image_widget(images) is None
    content: list[Images] = ["auto", "halfcell", "off"]
    for images in content:
        assert prepare_graphics(images) is None
        assert image_widget(images) is None


class Pixels(Widget):
    """Stands in for a widget of textual-image."""

    def __init__(self, image: object) -> None:
        super().__init__()
        self.image = image


class Sixels(Pixels):
    """And for another."""


@pytest.fixture
def extra(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What the app uses of textual-image, in a terminal that can do sixels."""
    modules: Any = sys.modules
    renderable = SimpleNamespace(TGPImage=object(), SixelImage=object(), Image=None)
    renderable.Image = renderable.SixelImage
    widgets = SimpleNamespace(TGPImage=Pixels, SixelImage=Sixels)
    monkeypatch.setitem(modules, "textual_image.widget", widgets)
    monkeypatch.setitem(modules, "textual_image.renderable", renderable)
    return renderable


def test_with_the_extra_the_terminal_or_the_user_decides(extra: SimpleNamespace) -> None:
    def widget(images: Images) -> Any:
        return type(image_widget(images))

    assert [widget("auto"), widget("kitty"), widget("sixel")] == [Sixels, Pixels, Sixels]
    assert [widget("halfcell"), widget("off")] == [type(None)] * 2
    extra.Image = object()  # a terminal that can do neither
    assert widget("auto") is type(None)


async def test_with_the_extra_pixels_are_drawn_and_text_takes_their_place(
    extra: SimpleNamespace, image_bytes: ImageBytes
) -> None:
    app = PictureApp("kitty")
    async with app.run_test() as pilot:
        await app.picture.show(image_bytes(1, (100, 50)))
        await pilot.pause()
        pixels: Any = app.query_one(Pixels)
        assert pixels.display
        assert pixels.image.size == (100, 50)
        assert cells(app) == (0, 0)
        app.picture.say("gone")
        await pilot.pause()
        assert not pixels.display
        assert "gone" in on_screen(app)[0]
