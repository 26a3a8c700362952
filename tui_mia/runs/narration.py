"""What events say in a line: for the narration of a headless run and for `worker.log`."""

from __future__ import annotations

from collections.abc import Mapping

from tui_mia.runs.events import Event, Loaded, Note, Progress, ReferenceLoaded, ShardEncoded

MB = 2**20


def narrate(event: Event) -> str | None:
    """What a user should see of an event; None of one that says nothing in words."""
    match event:
        case Loaded():
            return f"model {event.weights_sha256[:12]} on {event.device} in {event.number_format}"
        case ReferenceLoaded():
            return f"reference {event.weights_sha256[:12]} in {event.number_format}"
        case Note(level="warning"):
            return f"warning: {event.message}"
        case Note():
            return event.message
        case ShardEncoded():
            return _shard(event)
        case _:
            return None


def phase_line(last: Progress, took: str, seconds: float, encoded: int, memory_bytes: int) -> str:
    """A phase by the last that was told of it, and how many entries were `encoded` in it.

    `took` says how it ended: that it took so long, or broke off after so long.
    """
    parts = [f"{last.phase} {took} {seconds:,.1f} s"]
    if last.samples or last.rejects:
        parts.append(f"{last.samples:,} samples, {last.rejects:,} rejected")
    if encoded:
        parts.append(f"{encoded:,} entries encoded{_at(encoded, seconds)}")
    if last.views_per_second:
        parts.append(f"at last {last.views_per_second:,.0f} views/s")
    return ", ".join([*parts, _memory(memory_bytes)])


def phase_times(seconds: Mapping[str, float]) -> str:
    """How long each phase took, in one line."""
    return ", ".join(f"{phase} {took:,.1f} s" for phase, took in seconds.items())


def _shard(event: ShardEncoded) -> str:
    encoded = event.samples + event.rejects - event.reused
    parts = [
        f"{event.pool} {event.shard} ({event.source}): {event.seconds:,.1f} s{_at(encoded, event.seconds)}"
    ]
    parts.append(f"{event.samples:,} samples, {event.rejects:,} rejected, {event.reused:,} reused")
    if event.memory_bytes:
        parts.append(_memory(event.memory_bytes))
    return ", ".join(parts)


def _at(encoded: int, seconds: float) -> str:
    return f" at {encoded / seconds:,.0f}/s" if encoded and seconds > 0 else ""


def _memory(size: int) -> str:
    return f"{size / MB:,.0f} MB of memory"
