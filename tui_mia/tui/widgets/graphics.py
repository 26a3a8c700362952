"""Pictures as real pixels, where the terminal can and the extra `tui-mia[images]` is there."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from textual.widget import Widget

    from tui_mia.settings import Images

_PACKAGE: Final = "textual_image"
_WIDGETS: Final = {"kitty": "TGPImage", "sixel": "SixelImage"}


def prepare_graphics(images: Images) -> str | None:
    """Load what `images` asks for; what to tell the user where that can't be had.

    To be called before the app has the terminal: loading the package asks the
    terminal what it can, and later the app would take the answer for keys.
    """
    if images in ("halfcell", "off"):
        return None
    if importlib.util.find_spec(_PACKAGE) is None:
        missing = f'images = "{images}" needs an extra: pip install "tui-mia[images]"; half cells are used'
        return None if images == "auto" else missing
    try:
        importlib.import_module(f"{_PACKAGE}.widget")
    except Exception as error:  # a package of its own, and a terminal that may answer anything
        return f"{_PACKAGE} can't be used, half cells are: {type(error).__name__}: {error}"
    return None


def image_widget(images: Images) -> Widget | None:
    """A widget with an attribute `image` that draws pixels; None where half cells are to be used."""
    module: Any = sys.modules.get(f"{_PACKAGE}.widget")
    if module is None or images in ("halfcell", "off"):
        return None
    name = _WIDGETS.get(images) or _found_out(sys.modules.get(f"{_PACKAGE}.renderable"))
    if name is None:
        return None
    widget: Widget = getattr(module, name)(None)
    return widget


def _found_out(renderables: Any) -> str | None:
    """What the terminal said that it can, when the package was loaded."""
    found = {getattr(renderables, name): name for name in _WIDGETS.values()}
    return found.get(renderables.Image)
