"""The command palette: everything that a key does here, by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from textual.command import DiscoveryHit, Hit, Hits, Provider


class KeyCommands(Provider):
    """The actions of the focused pane and of the app, with the keys that do the same."""

    async def discover(self) -> Hits:
        for name, key, run in self._commands():
            yield DiscoveryHit(name, run, help=key)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for name, key, run in self._commands():
            if (score := matcher.match(name)) > 0:
                yield Hit(score, matcher.highlight(name), run, help=key)

    def _commands(self) -> list[tuple[str, str, Callable[[], object]]]:
        found: dict[str, tuple[str, str, Callable[[], object]]] = {}
        for active in self.screen.active_bindings.values():
            binding = active.binding
            if binding.description and active.enabled and binding.id and not binding.id.startswith("dialog."):
                name = active.tooltip or binding.description
                run = partial(self.app.run_action, binding.action, active.node)
                found.setdefault(name, (name, self.app.get_key_display(binding), run))
        return list(found.values())
