"""Work beside the event handlers of a widget: told where it fails, and never the end of the app."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from textual.dom import DOMNode


def in_background(
    node: DOMNode, work: Callable[[], Awaitable[object]], *, in_place_of: str | None = None
) -> None:
    """Do something in a worker of `node`; with `in_place_of`, whatever it still does under that name ends.

    `work` is a function, since a coroutine that is replaced before it begins
    would never be awaited.
    """

    async def told() -> None:
        try:
            await work()
        except Exception as error:
            if say := getattr(node.app, "say", None):
                say(f"{type(error).__name__}: {error}", "error", toast=True)
            raise

    begin: Callable[[], Awaitable[None]] = told
    replaces = in_place_of is not None
    node.run_worker(begin, group=in_place_of or "default", exclusive=replaces, exit_on_error=False)
